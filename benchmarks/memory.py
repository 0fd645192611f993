"""Memory: bytes a value of a training in memory, and training on an atlas that does not fit.

    python benchmarks/memory.py --work FOLDER [--gigabytes 4] [--limit 1.5] [--epochs 2]

1. A training in memory: peak resident memory above that of the imported library, by value of the atlas (the atlas included), beside the bytes of network and optimiser.
2. A zarr atlas of --gigabytes is trained on from disk under a limit of --limit GB on the whole process (a memory cgroup where this user may make one, else `ulimit -d`), and once more in memory without a limit. Same seed, same settings.

Every row is a process of its own. The values are those of a simulated screen: 32 directions of response, a perturbation's effect alike in all 20 contexts but not the same, and noise.
"""
import argparse, json, os, resource, subprocess, sys, time
from pathlib import Path
import numpy as np, pandas as pd

READOUTS, CONTEXTS = 978, 20

def rss(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]) * 1024
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def make(path, n):
    from lpm_nb.data.stored import ScreenWriter
    g = np.random.default_rng(0)
    per = n // CONTEXTS
    z, U, level = g.normal(size=(per, 32)).astype(np.float32), g.normal(size=(32,
        READOUTS)).astype(np.float32) / 6, g.normal(size=(CONTEXTS, READOUTS)).astype(np.float32)
    own = np.eye(32, dtype=np.float32) + .3 * g.normal(size=(CONTEXTS, 32, 32)).astype(np.float32) / 32**.5
    order = g.permutation(per * CONTEXTS)
    table = pd.DataFrame(dict(perturbation=np.char.add('drug:d', (order % per).astype(str)),
        context=np.char.add('line', (order // per).astype(str))))
    w = ScreenWriter(path, table, readouts=[f'expr:g{j}' for j in range(READOUTS)], name='simulated', chunk=1024)
    for a, b in w.missing(16384):
        p, c = order[a:b] % per, order[a:b] // per
        w.put(a, level[c] + np.einsum('nk,nkl->nl', z[p], own[c]) @ U + g.normal(size=(b - a, READOUTS)).astype(np.float32))
    return w.close()

def limited(gigabytes):
    "Put this process under a limit; how."
    for base, file in (('/sys/fs/cgroup/memory', 'memory.limit_in_bytes'), ('/sys/fs/cgroup', 'memory.max')):
        try:
            group = Path(base)/f'lpm_{os.getpid()}'
            group.mkdir()
            (group/file).write_text(str(int(gigabytes * 1e9)))
            (group/'cgroup.procs').write_text(str(os.getpid()))
            return f'cgroup of {gigabytes} GB'
        except OSError: pass
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9),) * 2)
    return f'ulimit -d of {gigabytes} GB'

def one(job, path, epochs, limit):
    how = limited(limit) if job == 'from disk' else 'none'
    import torch
    from lpm_nb.data.screen import Screen
    from lpm_nb.model.learner import default_config, fit_lpm
    from lpm_nb.data.screen import Atlas
    torch.set_num_threads(1)
    imported = rss()
    t, c = time.perf_counter(), time.process_time()
    s = Screen.open(path)
    if job != 'from disk': s = s.load()
    opened, rows = time.perf_counter() - t, []
    m = fit_lpm(s, config=default_config(Atlas(s), members=1, epochs=epochs), seed=0, device='cpu',
        on_epoch=lambda i, row: rows.append(row))
    h = m.history
    # network, gradient, two moments; effects, and those transferred
    n = s.n_experiments * READOUTS
    weights = sum(p.numel() * 4 for p in m.networks[0].parameters()) * 4 + sum(e.values.nbytes + e.basis.nbytes for e in m.effects) * 2
    print(json.dumps(dict(job=job, limit=how, values=n, read_s=round(opened, 1), seconds=round(time.perf_counter() - t),
        cpu_s=round(time.process_time() - c), s_per_epoch=round(h['seconds'].mean(), 1), peak_GB=peak() / 1e9, imported_GB=imported / 1e9,
        model_GB=weights / 1e9, bytes_a_value=(peak() - imported - weights) / n, valid_loss=[round(x, 4) for x in h['valid_loss']])))

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--gigabytes', type=float, default=4.)
    p.add_argument('--limit', type=float, default=1.5)
    p.add_argument('--epochs', type=int, default=2)
    p.add_argument('--job')
    p.add_argument('--path', type=Path)
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    if a.job: return one(a.job, a.path, a.epochs, a.limit)
    rows = []
    for gb, jobs in ((.5, ['in memory']), (a.gigabytes, ['from disk', 'in memory'])):
        path = a.work/f'{gb}GB.zarr'
        if not path.exists(): make(path, int(gb * 1e9 / 4 / READOUTS) // CONTEXTS * CONTEXTS)
        for job in jobs:
            run = subprocess.run([sys.executable, __file__, '--work', str(a.work), '--path', str(path), '--job', job, '--limit',
                str(a.limit), '--epochs', str(a.epochs)], capture_output=True, text=True)
            if run.returncode:
                print(run.stderr[-3000:], file=sys.stderr)
                rows.append(dict(job=job, died=run.returncode))
                continue
            rows.append(json.loads(run.stdout.strip().splitlines()[-1]))
            print(rows[-1], flush=True)
    print(pd.DataFrame(rows).round(2).to_string(index=False))

if __name__ == '__main__': main()
