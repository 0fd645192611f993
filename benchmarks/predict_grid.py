"""Every perturbation in every context at every readout, to zarr: speed and memory beside the bare products and a plain write of as many values.

    python benchmarks/predict_grid.py --work FOLDER [--perturbations 2000] [--contexts 50] [--readouts 978] [--members 2]
"""
import argparse, shutil, time
from pathlib import Path
import numpy as np, pandas as pd, torch, zarr
from lpm_nb.data.screen import Atlas, Screen
import lpm_nb.model.grid  # noqa: F401  (adds TrainedLPM.predict_grid)
from lpm_nb.model.learner import default_config, fit_lpm

def rss(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]) * 1024

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--perturbations', type=int, default=2000)
    p.add_argument('--contexts', type=int, default=50)
    p.add_argument('--readouts', type=int, default=978)
    p.add_argument('--members', type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(1)
    a.work.mkdir(parents=True, exist_ok=True)
    # each perturbation was measured in five contexts
    g = np.random.default_rng(0)
    P, C, r = a.perturbations, a.contexts, a.readouts
    per = np.repeat(np.arange(P), 5)
    con = (per % max(1, C // 5)) * 5 + np.tile(np.arange(5), P)
    s = Screen.from_arrays(g.normal(size=(len(per), r)).astype(np.float32), perturbation=[f'drug:d{k}' for k in per],
        context=[f'line{k}' for k in con], readouts=[f'expr:g{j}' for j in range(r)], name='simulated')
    model = fit_lpm(s, config=default_config(Atlas(s), members=a.members, epochs=1), seed=0, device='cpu')
    n = P * len(s.contexts) * r
    rows = []
    def measure(name, f):
        w, c = time.perf_counter(), time.process_time()
        f()
        rows.append(dict(what=name, seconds=time.perf_counter() - w, million_values_per_cpu_s=n / (time.process_time() - c) / 1e6))
    # the peak counts from here
    path = a.work/'grid.zarr'
    shutil.rmtree(path, ignore_errors=True)
    before = rss()
    Path('/proc/self/clear_refs').write_text('5')
    measure('predict_grid: means and deviations', lambda: model.predict_grid(path))
    peak = int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024 - before
    h, U = torch.randn(4096, model.config.rank), torch.randn(r, model.config.rank)
    measure('the products alone', lambda: [h @ U.T for _ in range(a.members) for _ in range(0, P * len(s.contexts), 4096)])
    def plain():
        for _ in range(2):
            z = zarr.create_array(a.work/'plain.zarr', shape=(P * len(s.contexts), r), chunks=(1024, r), dtype='f4', overwrite=True)
            for b in range(0, z.shape[0], 8192): z[b:b + 8192] = X[:len(z[b:b + 8192])]
    X = g.normal(size=(8192, r)).astype(np.float32)
    measure('plain write of as many values', plain)
    t = pd.DataFrame(rows)
    t['times the write'] = t['seconds'] / t['seconds'].iloc[-1]
    print(f'{P * len(s.contexts):,} experiments × {r:,} readouts, twice: {8 * n / 1e9:.1f} GB; memory on top of the model at its peak: '
        f'{peak / 1e9:.2f} GB')
    print(t.to_string(index=False, float_format='{:,.3g}'.format))

if __name__ == '__main__': main()
