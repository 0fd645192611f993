"""The loader alone: values a second from memory and from zarr, beside a plain copy, a plain read of the zarr, and torch's DataLoader over rows of strings.

    python benchmarks/loader_speed.py --work FOLDER [--experiments 60000] [--readouts 978]
"""
import argparse, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from torch.utils.data import DataLoader, Dataset
from lpm_nb.data.blocks import atlas_blocks
from lpm_nb.data.loaders import BlockLoader
from lpm_nb.data.scaling import standardise
from lpm_nb.data.vocab import build_vocab
from lpm_nb.data.screen import Atlas, Screen

class Tuples(Dataset):
    "A row of strings for each value, looked up one by one."
    def __init__(self, s):
        i, j = np.unravel_index(np.arange(200_000), s.X.shape)
        self.P, self.C, self.R, self.y = list(s.obs['perturbation'].astype(str).to_numpy()[i]), list(
            s.obs['context'].astype(str).to_numpy()[i]), list(np.array(s.readouts)[j]), list(s.X[i, j])
        self.books = [{x: k for k, x in enumerate(sorted(set(v)))} for v in (self.P, self.C, self.R)]
    def __len__(self): return len(self.y)
    def __getitem__(self, i): return self.books[0][self.P[i]], self.books[1][self.C[i]], self.books[2][self.R[i]], self.y[i]

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--experiments', type=int, default=60_000)
    p.add_argument('--readouts', type=int, default=978)
    a = p.parse_args()
    torch.set_num_threads(1)
    a.work.mkdir(parents=True, exist_ok=True)
    n, r = a.experiments, a.readouts
    rows = []
    def measure(name, f, values):
        f()
        w, c = time.perf_counter(), time.process_time()
        f()
        w, c = time.perf_counter() - w, time.process_time() - c
        rows.append(dict(what=name, million_values_per_s=values / w / 1e6, million_values_per_cpu_s=values / c / 1e6,
            GB_per_s=4 * values / w / 1e9))
    X = np.random.default_rng(0).normal(size=(n, r)).astype(np.float32)
    s = Screen.from_arrays(X, perturbation=[f'drug:d{i % (n // 10)}' for i in range(n)],
        context=[f'line{i // (n // 10)}' for i in range(n)], readouts=[f'expr:g{j}' for j in range(r)], name='simulated')
    path = a.work/'loader.zarr'
    disk = Screen.open(s.write(path)) if not path.exists() else Screen.open(path)
    vocab = build_vocab(Atlas(s))
    scaling = {s.name: standardise(s, np.ones(n, bool))}
    order = np.random.default_rng(0).permutation(n)
    measure('copy of the matrix', lambda: X.copy(), X.size)
    measure('its rows in random order', lambda: [X[i] for i in np.array_split(order, n // 1024)], X.size)
    memory, stream = (atlas_blocks(Atlas(x), vocab, None, scaling) for x in (s, disk))
    measure('loader, from memory', lambda: [None for _ in BlockLoader(memory, shuffle=True)], X.size)
    z = disk.X
    measure('plain read of the zarr', lambda: [z[i:i + 1024] for i in range(0, n, 1024)], X.size)
    measure('loader, from zarr', lambda: [None for _ in BlockLoader(stream, shuffle=True)], X.size)
    d = Tuples(s)
    measure('rows of strings, DataLoader', lambda: [None for _ in DataLoader(d, batch_size=5000, shuffle=True)], len(d))
    t = pd.DataFrame(rows)
    t['times the strings'] = t['million_values_per_cpu_s'] / t['million_values_per_cpu_s'].iloc[-1]
    print(t.to_string(index=False, float_format='{:,.3g}'.format))

if __name__ == '__main__': main()
