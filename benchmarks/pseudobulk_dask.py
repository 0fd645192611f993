"""Pseudo-bulk of a million cells on two Dask workers, one of which is killed in the middle, beside the same function in this process.

    python benchmarks/pseudobulk_dask.py --work FOLDER [--cells 1000000] [--genes 2000] [--memory 2GB]

The file is a simulated sparse zarr of counts (a tenth of the values are not zero), 500 perturbations in 20 lanes; the profiles are z-scores against the control cells of each lane.
"""
import argparse, os, resource, signal, threading, time
from pathlib import Path
import anndata as ad, numpy as np, pandas as pd, scipy.sparse as sp, zarr

def make(path, n, k, step=20_000):
    g = np.random.default_rng(0)
    rate = g.gamma(.5, .2, k).astype(np.float32)
    gene = np.array(['non-targeting', *(f'G{i}' for i in range(500))])[np.where(g.random(n) < .1, 0, g.integers(1, 501, n))]
    lane = g.integers(0, 20, n)
    obs = pd.DataFrame(dict(gene=pd.Categorical(gene), gem_group=pd.Categorical(lane.astype(str))),
        index=np.char.add('c', np.arange(n).astype(str)))
    hit = g.integers(0, k, 501)
    code = obs['gene'].cat.codes.to_numpy()
    ad.AnnData(sp.csr_matrix((n, k), dtype=np.float32), obs, pd.DataFrame(index=[f'G{i}' for i in range(k)])).write_zarr(path)
    root = zarr.open_group(path, mode='r+', use_consolidated=False)
    ptr, have = [0], 0
    x = root['X']
    del x['data'], x['indices'], x['indptr']
    most = int(n * k * .3)
    x.create_array('data', shape=(most,), chunks=(1 << 20,), dtype='f4')
    x.create_array('indices', shape=(most,), chunks=(1 << 20,), dtype='i4')
    for a in range(0, n, step):
        b = min(a + step, n)
        lam = np.tile(rate, (b - a, 1)) * (1 + .5 * (lane[a:b, None] % 3))
        lam[np.arange(b - a), hit[code[a:b]]] *= .2
        m = sp.csr_matrix(g.poisson(lam).astype(np.float32))
        nnz = m.nnz
        x['data'][have:have + nnz] = m.data
        x['indices'][have:have + nnz] = m.indices
        ptr += (m.indptr[1:].astype(np.int64) + have).tolist()
        have += nnz
    x['data'].resize((have,))
    x['indices'].resize((have,))
    p = x.create_array('indptr', shape=(n + 1,), chunks=(n + 1,), dtype='i8')
    p[:] = np.array(ptr, np.int64)
    for z in ('data', 'indices', 'indptr'): x[z].attrs.update({'encoding-type': 'array', 'encoding-version': '0.2.0'})
    zarr.consolidate_metadata(str(path))
    print(f'{n:,} cells × {k:,} genes, {have:,} counts that are not zero')

def watch(client, top, stop):
    "The largest memory of each worker so far."
    while not stop.wait(.25):
        for w in client.scheduler_info(n_workers=-1)['workers'].values():
            top[w['name']] = max(top.get(w['name'], 0), w['metrics'].get('memory', 0))

def main():
    from distributed import Client
    from lpm_nb.data.summarise import pseudobulk
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--cells', type=int, default=1_000_000)
    p.add_argument('--genes', type=int, default=2000)
    p.add_argument('--memory', default='2GB')
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    path = a.work/f'cells_{a.cells}.zarr'
    if not path.exists(): make(path, a.cells, a.genes)
    control = (ad.io.read_elem(zarr.open_group(path, mode='r')['obs'])['gene'] == 'non-targeting').to_numpy()
    ask = dict(scale='z', batch='gem_group', control=control)
    rows = []
    def run(name, **more):
        t, c = time.perf_counter(), time.process_time()
        out = pseudobulk(path, 'gene', **ask, **more)
        rows.append(dict(run=name, seconds=time.perf_counter() - t, cpu_here=time.process_time() - c))
        return out
    truth = run('in this process')
    for name, kill in (('two workers', False), ('two workers, one killed in the middle', True)):
        with Client(n_workers=2, threads_per_worker=1, memory_limit=a.memory, dashboard_address=None) as client:
            pids, top, stop = client.run(os.getpid), {}, threading.Event()
            threads = [threading.Thread(target=watch, args=(client, top, stop)),
                *([threading.Timer(.5 * rows[1]['seconds'], os.kill, (next(iter(pids.values())), signal.SIGKILL))] if kill else [])]
            [t.start() for t in threads]
            got = run(name, client=client)
            gone = sum(not Path(f'/proc/{x}').exists() for x in pids.values())
            stop.set()
            [t.join() for t in threads]
        rows[-1] |= dict(worker_peak_GB=max(top.values()) / 1e9, workers_killed=gone,
            largest_difference=float(np.nanmax(np.abs(got.X - truth.X))),
            same=bool((got.obs['n_cells'].to_numpy() == truth.obs['n_cells'].to_numpy()).all()
            and np.allclose(got.X, truth.X, atol=1e-5, equal_nan=True)))
    print(pd.DataFrame(rows).round(7).to_string(index=False))
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB")

if __name__ == '__main__': main()
