"The public layouts in small, as they are on disk, odd values included; each reader gives the known answer. And what is broken ends in a clear error."
import gzip
import anndata as ad, h5py, numpy as np, pandas as pd, pytest, scipy.sparse as sp
from lpm_nb.core import StorageError
from lpm_nb.data.cells import read_cells
from lpm_nb.data.matrices import MatrixFile, read_gct
from lpm_nb.data.own import understand
from lpm_nb.data.public import PUBLIC, get_public
from lpm_nb.data.signatures import read_gctx

pytestmark = pytest.mark.filterwarnings('ignore')

def old_categorical(g, name, values):
    "A column as anndata wrote it before 0.8: integer codes, and the categories in a group beside."
    cats, codes = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    d = g.create_dataset(name, data=codes.astype(np.int16))
    g.require_group('__categories')
    c = g['__categories'].create_dataset(name, data=cats.astype(object), dtype=h5py.string_dtype())
    d.attrs['categories'] = c.ref

def replogle_file(path, X, gene, gem, **how):
    "K562_essential_normalized_singlecell_01.h5ad in small: dense float32, old encoding of categories, two symbols that occur twice."
    with h5py.File(path, 'w') as f:
        x = f.create_dataset('X', data=X.astype(np.float32), **how)
        x.attrs['encoding-type'], x.attrs['encoding-version'] = 'array', '0.2.0'
        o = f.create_group('obs')
        o.attrs['encoding-type'], o.attrs['encoding-version'], o.attrs['_index'] = 'dataframe', '0.1.0', 'cell_barcode'
        columns = ['gem_group', 'gene', 'gene_id', 'transcript', 'gene_transcript', 'sgID_AB', 'mitopercent', 'UMI_count', 'z_gemgroup_UMI',
            'core_scale_factor', 'core_adjusted_UMI_count']
        o.attrs['column-order'] = np.array(columns, dtype=object)
        n = len(X)
        o.create_dataset('cell_barcode', data=np.array([f'AAACCC-{i}' for i in range(n)], dtype=object), dtype=h5py.string_dtype())
        o['gem_group'] = np.asarray(gem, np.int64)
        old_categorical(o, 'gene', gene)
        old_categorical(o, 'gene_id', ['nan' if g == 'TP53' else g for g in gene])
        old_categorical(o, 'transcript', ['P1P2' if g != 'non-targeting' else g for g in gene])
        old_categorical(o, 'gene_transcript', [f'1_{g}_P1P2_X' for g in gene])
        old_categorical(o, 'sgID_AB', [f'{g}_a|{g}_b' for g in gene])
        for c in columns[6:]: o[c] = np.ones(n)
        v = f.create_group('var')
        v.attrs['encoding-type'], v.attrs['encoding-version'], v.attrs['_index'] = 'dataframe', '0.1.0', 'gene_id'
        v.attrs['column-order'] = np.array(['gene_name', 'mean'], dtype=object)
        k = X.shape[1]
        v.create_dataset('gene_id', data=np.array([f'ENSG{i:011d}' for i in range(k)], dtype=object), dtype=h5py.string_dtype())
        old_categorical(v, 'gene_name', ['TBCE' if i in (1, 2) else f'G{i}' for i in range(k)])
        v['mean'] = np.ones(k)
    return path

@pytest.mark.parametrize('how', [{}, dict(chunks=(7, 3)), dict(chunks=(7, 3), compression='gzip')], ids=['contiguous', 'chunked', 'gzip'])
def test_replogle_cells(tmp_path, how):
    g = np.random.default_rng(0)
    n = 300
    gene = g.choice(['STAT1', 'TP53', 'HLA-A', 'non-targeting'], n)
    X = g.normal(size=(n, 9))
    X[g.random((n, 9)) < .01] = np.inf
    X[0, 0], X[1, 1] = -np.inf, np.nan
    s = read_cells(replogle_file(tmp_path/'a.h5ad', X, gene, g.integers(1, 5, n), **how), name='k', perturbation='gene', context='K562',
        assay='Replogle2022', kind='CRISPRi', genes='gene_name')
    truth = pd.DataFrame(np.where(np.isfinite(X.astype(np.float32)), X, np.nan)).groupby(gene).mean()
    for p, row in zip(s.obs['perturbation'], s.X):
        np.testing.assert_allclose(row, truth.loc[p.partition(':')[2] or 'non-targeting'], atol=1e-5)
    assert s.readouts[1:3] == ['expr:TBCE (ENSG00000000001)', 'expr:TBCE (ENSG00000000002)'] and s.obs['n_replicates'].sum() == n

def test_the_entry_builds_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv('LPM_CACHE_HOME', str(tmp_path/'cache'))
    g = np.random.default_rng(0)
    n = 2000
    gene = g.choice(['STAT1', 'TP53', 'non-targeting'], n)
    X = g.normal(size=(n, 2000))
    f = {'K562_essential_normalized_singlecell_01.h5ad': replogle_file(tmp_path/'a.h5ad', X, gene, np.ones(n), chunks=(100, 2000))}
    import lpm_nb.data.summarise as S
    plain = S.sum_groups
    seen = []
    def small(*a, **k): return plain(*a, **{**k, 'megabytes': 1.})
    monkeypatch.setattr(S, 'sum_groups', small)
    def stop(done, total):
        seen.append(done)
        if done > total // 2: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): get_public('replogle-k562-essential', files=f, on_rows=stop)
    first = []
    s = get_public('replogle-k562-essential', files=f, on_rows=lambda d, t: first.append(d))
    assert first[0] > n // 3, 'it began where it had stopped'
    truth = pd.DataFrame(X).groupby(gene).mean()
    for p, row in zip(s.obs['perturbation'], s.X):
        np.testing.assert_allclose(row, truth.loc[p.partition(':')[2] or 'non-targeting'], atol=1e-5)
    assert s.meta['licence'] == 'CC BY 4.0' and not list((tmp_path/'cache/screens').glob('.*build'))

SIG = ('sig_id pert_id cmap_name bead_batch nearest_dose pert_dose pert_dose_unit pert_idose pert_itime pert_time pert_time_unit '
    'cell_mfc_name pert_mfc_id nsample cc_q75 ss_ngene tas pct_self_rank_q25 wt median_recall_rank_spearman median_recall_rank_wtcs_50 '
    'median_recall_score_spearman median_recall_score_wtcs_50 batch_effect_tstat batch_effect_tstat_pct is_hiq qc_pass pert_type '
    'cell_iname det_wells det_plates distil_ids build_name project_code is_exemplar_sig is_ncs_sig is_null_sig'.split())

def lincs_files(folder, n=400, genes=30, landmarks=12, seed=0, order=None, **how):
    "CMap 2020 in small: 37 columns of siginfo, ids in another order than the matrix, -666, quotes, doses as text."
    g = np.random.default_rng(seed)
    X = g.normal(size=(n, genes)).astype(np.float32)
    ids = np.array([f'REP.A{i:03d}_{c}_24H:B{i % 24:02d}' for i, c in enumerate(g.choice(['A375', 'MCF7'], n))])
    name = g.choice(['vorinostat', 'BRD-K123', "5'-deoxy \"x\"", '-666', 'tretinoin'], n)
    dose = g.choice(['10 uM', '0.04 uM', '500 nM', '-666'], n, p=[.6, .2, .1, .1])
    kind = g.choice(['trt_cp', 'ctl_vehicle'], n, p=[.9, .1])
    t = pd.DataFrame({c: ['-666'] * n for c in SIG})
    t['sig_id'], t['cmap_name'], t['pert_idose'], t['pert_itime'], t['pert_type'] = ids, name, dose, g.choice(['24 h', '6 h'], n), kind
    t['cell_iname'] = [i.split('_')[1] for i in ids]
    t['is_hiq'] = g.integers(0, 2, n)
    t['distil_ids'] = 'a|b|c'
    t.sample(frac=1, random_state=0)[order or SIG].to_csv(folder/'siginfo_beta.txt', sep='\t', index=False, quoting=3, quotechar='\x00')
    entrez = g.permutation(np.arange(100, 100 + genes)).astype(str)
    lm = g.permutation(genes) < landmarks
    pd.DataFrame(dict(gene_id=entrez, gene_symbol=[f'S{e}' for e in entrez], ensembl_id='', gene_title='a, "b"', gene_type='protein-coding',
        src='NCBI', feature_space=np.where(lm, 'landmark', 'best inferred'))).sample(frac=1,
        random_state=1).to_csv(folder/'geneinfo_beta.txt', sep='\t', index=False)
    with h5py.File(folder/'level5.gctx', 'w') as f:
        f.attrs['version'] = np.array([b'GCTX1.0'])
        f.attrs['src'] = 'x'
        f.create_dataset('0/DATA/0/matrix', data=X, **how)
        f['0/META/COL/id'] = ids.astype('S')
        f['0/META/ROW/id'] = entrez.astype('S')
    return X, t.set_index('sig_id').loc[ids], entrez, lm

@pytest.mark.parametrize('how', [{}, dict(chunks=(50, 30)), dict(chunks=(50, 7), compression='gzip')],
    ids=['contiguous', 'chunked', 'gzip'])
@pytest.mark.parametrize('order', [None, [*SIG[3:], *SIG[:3]]], ids=['one order', 'another'])
def test_lincs(tmp_path, how, order):
    X, t, entrez, lm = lincs_files(tmp_path, order=order, **how)
    s = read_gctx(tmp_path/'level5.gctx', name='l', siginfo=tmp_path/'siginfo_beta.txt', geneinfo=tmp_path/'geneinfo_beta.txt', good=True,
        dose=10, time=24, landmark=True)
    use = ((t['is_hiq'] == 1) & (t['pert_idose'] == '10 uM') & (t['pert_itime'] == '24 h') & (t['pert_type'] == 'trt_cp')
        & (t['cmap_name'] != '-666')).to_numpy()
    truth = pd.DataFrame(X[use][:, lm]).groupby([t['cmap_name'].str.lower().to_numpy()[use], t['cell_iname'].to_numpy()[use]]).agg(['mean',
        'size'])
    assert s.readouts == [f'expr:S{e}' for e in entrez[lm]] and s.n_experiments == len(truth) and set(s.obs['dose']) == {10.}
    for (p, c, n), row in zip(s.obs[['perturbation', 'context', 'n_replicates']].itertuples(index=False), s.X):
        k = truth.loc[(p.removeprefix('drug:'), c.split('|')[0])]
        np.testing.assert_allclose(row, k.xs('mean', level=1), atol=1e-5)
        assert n == k.iloc[1]

def test_a_gctx_that_is_cut_or_turned(tmp_path):
    X, *_ = lincs_files(tmp_path)
    raw = (tmp_path/'level5.gctx').read_bytes()
    for n in (0, 100, len(raw) // 2, len(raw) - 10):
        (tmp_path/'cut.gctx').write_bytes(raw[:n])
        with pytest.raises(StorageError): MatrixFile(tmp_path/'cut.gctx')

def test_norman_scperturb_counts_by_columns(tmp_path):
    "NormanWeissman2019_filtered.h5ad: counts, sparse by columns, pairs as A_B, guides NegCtrl, eight gem groups."
    g = np.random.default_rng(0)
    n = 800
    label = g.choice(['control', 'KLF1', 'SET', 'KLF1_SET', 'NegCtrl0_NegCtrl1'], n, p=[.3, .2, .2, .2, .1])
    gem = g.integers(0, 3, n)
    C = g.poisson(2 + gem[:, None], (n, 40)).astype(np.float32)
    C[np.char.find(label, 'KLF1') >= 0, 0] += 8
    ad.AnnData(sp.csc_matrix(C), pd.DataFrame(dict(perturbation=pd.Categorical(label), gemgroup=gem, cell_line='K562', nperts=1,
        perturbation_type='CRISPR'), index=[f'c{i}' for i in range(n)]),
        pd.DataFrame(dict(ensemble_id='ENSG'), index=[f'G{i}' for i in range(40)])).write_h5ad(tmp_path/'n.h5ad')
    s = read_cells(tmp_path/'n.h5ad', name='n', perturbation='perturbation', context='K562', assay='Norman2019', kind='CRISPRa', joined='_',
        scale='z', batch='gemgroup')
    control = np.isin(label, ['control', 'NegCtrl0_NegCtrl1'])
    L = np.log1p(C / C.sum(1, keepdims=True) * 1e4)
    Z = np.concatenate([(L[gem == k] - L[(gem == k) & control].mean(0)) / L[(gem == k) & control].std(0, ddof=1) for k in range(3)])
    lab = np.concatenate([label[gem == k] for k in range(3)])
    assert s.perturbations == ['', 'CRISPRa:KLF1', 'CRISPRa:KLF1+CRISPRa:SET', 'CRISPRa:SET']
    for p, l in (('CRISPRa:KLF1', 'KLF1'), ('CRISPRa:KLF1+CRISPRa:SET', 'KLF1_SET')):
        np.testing.assert_allclose(s.X[(s.obs['perturbation'] == p).to_numpy()][0], Z[lab == l].mean(0), atol=2e-3)
    u = understand(tmp_path/'n.h5ad', kind='CRISPRa', joined='_')
    assert u.form == 'cells' and u.columns['batch'] == 'gemgroup'
    np.testing.assert_allclose(u.screen().X, s.X, atol=1e-5)

def test_gct_as_written_by_others(tmp_path):
    text = ('#1.3\r\n2\t3\t2\t1\r\nid\tpr_gene_symbol\tdesc\ts:1\ts:2\ts:3\r\npert_iname\tna\tna\tDMSO\tvorinostat\t-666\r\n1\tSTAT1\t"a" '
        'b\t1\t2\t#N/A\r\n2\t1-Mar\t\t-1\t3e2\t4\r\n')
    (tmp_path/'a.gct').write_text(text.replace('#N/A', 'NA'), newline='')
    a = read_gct(tmp_path/'a.gct')
    assert np.isnan(a.X[2, 0]) and a.X[1, 1] == 300 and a.var['pr_gene_symbol'].tolist() == ['STAT1', '1-Mar']
    with gzip.open(tmp_path/'a.gct.gz', 'wt') as f: f.write(text.replace('#N/A', '').replace('\r', ''))
    assert np.isnan(read_gct(tmp_path/'a.gct.gz').X[2, 0])

def test_the_catalogue_is_sound():
    names = {}
    for n, e in PUBLIC.items():
        assert e.licence and e.citation and e.unit and e.traps and e.remotes, n
        for r in e.remotes:
            assert r.url.startswith('https://') and (not r.digest or r.digest.split(':')[0] in ('md5', 'sha256')
                and len(r.digest.split(':')[1]) == (32 if r.digest.startswith('md5') else 64)), r
            assert names.setdefault(r.name, r.url) == r.url, f'two files are called {r.name}'
