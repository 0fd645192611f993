"""Building Screens of files that are larger than memory: peak memory and time beside a plain h5py read of the same bytes.

    python benchmarks/build_memory.py --work FOLDER      # sparse files of the full public sizes (46 GB as the reader sees them, ~1 GB on disk)

Every row is a process of its own under an address-space limit (`ulimit -v`): 3 GB for the L1000 compounds, 4 GB for the Replogle cells.
"""
import argparse, json, resource, subprocess, sys, time
from pathlib import Path
import h5py, numpy as np, pandas as pd

CP, CELLS = (720_216, 12_328), (310_385, 8_563)

def sparse_matrix(f, name, shape, rows, rng):
    "A contiguous float32 dataset of full size, of which only some rows are written; the rest are holes of the file."
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    p.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    f.require_group(name.rpartition('/')[0]) if '/' in name else None
    d = h5py.Dataset(h5py.h5d.create(f.id, name.encode(), h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple(shape), p))
    for r in rows: d[r:r + 500] = rng.normal(size=(min(500, shape[0] - r), shape[1])).astype(np.float32)

def make_lincs(work):
    rng = np.random.default_rng(0)
    n, k = CP
    drugs, lines = [f'compound {i}' for i in range(30_000)], [f'LINE{i}' for i in range(100)]
    ids = np.array([f'PLT{i // 384:05d}_{lines[i // 384 % 100]}_24H:A{i % 384:03d}' for i in range(n)])
    with h5py.File(work/'level5.gctx', 'w') as f:
        f.attrs['version'] = np.bytes_('GCTX1.0')
        sparse_matrix(f, '0/DATA/0/matrix', CP, range(0, n, 40_000), rng)
        f['0/META/COL/id'] = ids.astype('S')
        f['0/META/ROW/id'] = np.arange(1000, 1000 + k).astype('S')
    m = 1_201_944
    t = pd.DataFrame(dict(bead_batch='b17', pert_dose='10',
        pert_idose=rng.choice(['10 uM', '3.33 uM', '1.11 uM', '0.37 uM'], m, p=[.4, .2, .2, .2]),
        pert_itime=rng.choice(['24 h', '6 h'], m, p=[.7, .3]), is_hiq=rng.choice([0, 1], m), qc_pass=1, distil_ids='A|B|C',
        det_plates='P|Q|R', det_wells='A01|B02', wt='0.3,0.3,0.4', project_code='REP', build_name='', tas=.2,
        sig_id=[*ids, *(f'OTHER{i}' for i in range(m - n))], pert_type='trt_cp',
            cell_iname=[*(lines[i // 384 % 100] for i in range(n)), *['A375'] * (m - n)],
            cmap_name=np.array(drugs)[rng.integers(0, len(drugs), m)], **{f'more_{i}': '-666' for i in range(18)}))
    t.to_csv(work/'siginfo_beta.txt', sep='\t', index=False)
    pd.DataFrame(dict(gene_id=np.arange(1000, 1000 + k), gene_symbol=[f'S{i}' for i in range(k)],
        feature_space=np.where(rng.permutation(k) < 978, 'landmark', 'inferred'))).to_csv(work/'geneinfo_beta.txt', sep='\t', index=False)

def make_cells(work):
    rng = np.random.default_rng(0)
    n, k = CELLS
    genes = np.array([*(f'GENE{i}' for i in range(2057)), 'non-targeting'])
    import anndata as ad
    with h5py.File(work/'cells.h5ad', 'w') as f:
        f.attrs['encoding-type'], f.attrs['encoding-version'] = 'anndata', '0.1.0'
        sparse_matrix(f, 'X', CELLS, range(0, n, 20_000), rng)
        f['X'].attrs['encoding-type'], f['X'].attrs['encoding-version'] = 'array', '0.2.0'
        ad.io.write_elem(f, 'obs', pd.DataFrame(dict(gene=pd.Categorical(genes[rng.integers(0, len(genes), n)]),
            gem_group=rng.integers(1, 49, n)), index=[f'c{i}' for i in range(n)]))
        ad.io.write_elem(f, 'var', pd.DataFrame(dict(gene_name=[f'S{i}' for i in range(k)]), index=[f'ENSG{i}' for i in range(k)]))

def plain(path, name, width):
    "A plain h5py read of the same bytes, block by block."
    with h5py.File(path) as f:
        d = f[name]
        step = max(1, int(64e6 / (4 * width)))
        for i in range(0, d.shape[0], step): d[i:i + step, :width]

def one(job, work):
    "One measured job; runs in its own process."
    if job == 'lincs: plain read of all': plain(work/'level5.gctx', '0/DATA/0/matrix', CP[1])
    if job == 'lincs: Screen of compounds':
        from lpm_nb.data.signatures import read_gctx
        s = read_gctx(work/'level5.gctx', name='lincs', siginfo=work/'siginfo_beta.txt', geneinfo=work/'geneinfo_beta.txt', good=True,
            dose=10, time=24, landmark=True)
        print(s, file=sys.stderr)
    if job == 'cells: plain read of all': plain(work/'cells.h5ad', 'X', CELLS[1])
    if job.startswith('cells: Screen'):
        from lpm_nb.data.cells import read_cells
        s = read_cells(work/'cells.h5ad', name='k562', perturbation='gene', context='K562', assay='Replogle2022', kind='CRISPRi',
            genes='gene_name', checkpoint=work/'build' if 'restartable' in job else None)
        print(s, file=sys.stderr)

# job -> GB
JOBS = {'lincs: plain read of all': 3, 'lincs: Screen of compounds': 3, 'cells: plain read of all': 4, 'cells: Screen of means': 4,
    'cells: Screen of means, restartable': 4}

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--job')
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    if a.job:
        resource.setrlimit(resource.RLIMIT_AS, (JOBS[a.job] * 10**9,) * 2)
        t, c = time.perf_counter(), time.process_time()
        one(a.job, a.work)
        return print(json.dumps(dict(seconds=time.perf_counter() - t, cpu=time.process_time() - c,
            peak_GB=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)))
    if not (a.work/'level5.gctx').exists(): make_lincs(a.work)
    if not (a.work/'cells.h5ad').exists(): make_cells(a.work)
    rows = []
    for job, limit in JOBS.items():
        run = subprocess.run([sys.executable, __file__, '--work', str(a.work), '--job', job], capture_output=True, text=True)
        if run.returncode:
            print(run.stderr[-2000:], file=sys.stderr)
            rows.append(dict(job=job, limit_GB=limit, died=run.returncode))
            continue
        print(run.stderr.strip().splitlines()[-1:] or '', file=sys.stderr)
        rows.append(dict(job=job, limit_GB=limit, **json.loads(run.stdout.strip().splitlines()[-1])))
    t = pd.DataFrame(rows)
    base = t.groupby(t['job'].str.partition(':')[0])['seconds'].transform('first')
    t['times the plain read'] = t['seconds'] / base
    print(t.round(2).to_string(index=False))
    print(f"on disk: {sum(f.stat().st_blocks * 512 for f in a.work.glob('*.*')) / 1e9:.1f} GB")

if __name__ == '__main__': main()
