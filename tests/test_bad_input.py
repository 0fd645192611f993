"Bad input: each case by name, with the message it must give, and nothing half-written left behind."
import json, warnings
from pathlib import Path
import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lpm_nb.cli import main, predict_table, read_input
from lpm_nb.core import (DataError, DataWarning, FetchError, ModelError, StorageError, UnknownSymbolError)
from lpm_nb.data import sources
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.data.split import split_pairs
from lpm_nb.model.learner import fit_lpm, load_lpm
from lpm_nb.model.lpm import LPMConfig

TINY = LPMConfig(width=8, hidden=8, rank=8, epochs=2, members=1, transfer=4)

def table(**changes):
    t = pd.DataFrame(dict(perturbation=['A', 'B', 'A', 'B'], context=['x', 'x', 'y', 'y'], readout='g', value=[1., 2., 3., 5.]))
    for k, v in changes.items(): t[k] = v
    return t

def long(t, **kwargs): return lambda: Screen.from_long(t, name='s', **kwargs)
def arrays(X, **changes):
    return lambda: Screen.from_arrays(X, **{**dict(perturbation=['A', 'B'], context=['x', 'x'], readouts=['g'], name='s'), **changes})

ERRORS = {
    'infinite value in a table': (long(table(value=[1, np.inf, 2, 3])), DataError, "1 infinite in column 'value'"),
    'infinite value in a matrix': (arrays([[1.], [-np.inf]]), DataError, "1 infinite (first: experiment 1, readout 'g')"),
    'all values NaN': (long(table(value=np.nan)), DataError, "all NaN"),
    'empty table': (long(table()[:0]), DataError, "is empty"),
    'empty matrix': (arrays(np.empty((0, 1)), perturbation=[], context=[]), DataError, "at least one experiment and one readout"),
    'text in the value column': (long(table(value=['1', '2', 'low', '4'])), DataError, "got 'low' and 0 more"),
    'matrix of text': (arrays([['a'], ['b']]), DataError, "numeric matrix"),
    'complex matrix': (arrays([[1j], [2.]]), DataError, "numeric matrix"),
    'matrix of the wrong dimension': (arrays(np.ones(2)), DataError, "(n_experiments, n_readouts)"),
    'duplicate rows': (long(pd.concat([table(), table()[:1]])), DataError,
        "1 values of screen 's' are repeated (first: 'g' of 'A' in 'x'); if they are replicates"),
    'duplicate by spelling': (long(table(perturbation=['A+B', 'B+A', 'A', 'B'], context='x')), DataError, "'A+B' in 'x'"),
    'duplicate by whitespace': (arrays([[1.], [2.]], perturbation=['A', ' A ']), DataError, "repeat an experiment"),
    'unknown way with replicates': (arrays([[1.], [2.]], perturbation=['A', 'A'], replicates='sum'), DataError,
        "None, 'mean' or 'median', got 'sum'"),
    'missing column': (long(table().drop(columns='context')), DataError, "missing: context"),
    'missing context': (long(table(context=['x', None, 'y', 'y'])), DataError, "1 empty ones (first at row 1)"),
    'empty part of a context': (long(table(context='x|')), DataError, "empty part"),
    'empty member': (long(table(perturbation='A++B')), DataError, "empty member"),
    'readouts not unique': (arrays([[1., 2.], [2., 3.]], readouts=['g', 'g ']), DataError, "repeated names (first: 'g')"),
    'readout without a name': (arrays([[1., 2.], [2., 3.]], readouts=['g', '']), DataError, "a name for every readout"),
    'readout never measured': (arrays([[1., np.nan], [2., np.nan]], readouts=['g', 'h']), DataError,
        "1 readout is never measured in screen 's' (first: 'h'); drop it"),
    'experiment never measured': (arrays([[1.], [np.nan]]), DataError, "1 experiments of screen 's' have no measured value"),
    'mixed units': (long(table(unit=['nM', 'uM', 'uM', 'uM'])), DataError, "several units: nM, uM"),
    'dose as text': (long(table(dose=['1', '10 uM', '1', '1'])), DataError, "expected dose as numbers in µM, got '10 uM'"),
    'negative dose': (long(table(dose=[1, -1, 1, 1])), DataError, "expected dose ≥ 0 in µM"),
    'infinite time': (long(table(time=[1, np.inf, 1, 1])), DataError, "expected time ≥ 0 in h"),
    'labels of the wrong length': (arrays([[1.], [2.]], context=['x']), DataError, "expected 2 contexts"),
    'name with a slash': (arrays([[1.], [2.]], name='a/b'), DataError, "without '/'"),
    'unknown column of obs': (lambda: Screen.from_anndata(ad.AnnData(np.ones((1, 1)), obs=pd.DataFrame(dict(drug=['a']), index=['0'])),
        perturbation_key='drg', context_key='drug', name='s'), UnknownSymbolError, "nearest: 'drug'"),
    'unknown screen of the catalogue': (lambda: read_input('neurips'), UnknownSymbolError, "nearest: 'neurips2023'"),
    'two screens of one name': (lambda: Atlas([long(table())(), long(table())()]), DataError, "'s' twice"),
    'no screen': (lambda: Atlas([]), DataError, "at least one screen"),
    'not a screen': (lambda: Atlas([table()]), DataError, "got DataFrame; build one with"),
    'hold out everything': (lambda: split_pairs(Atlas(long(table())()), test=1.), DataError, "test + valid < 1"),
    'fit a table': (lambda: fit_lpm(table()), DataError, "expected an Atlas or a Screen, got DataFrame"),
    'impossible setting': (lambda: LPMConfig(epochs=0), DataError, "epochs ≥ 1, got 0"),
    'unknown decoder': (lambda: LPMConfig(decoder='transformer'), UnknownSymbolError, "unknown decoder: 'transformer'"),
}

@pytest.mark.parametrize('case', ERRORS)
def test_error(case):
    run, kind, message = ERRORS[case]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with pytest.raises(kind) as e: run()
    assert message in str(e.value), str(e.value)

WARNINGS = {
    'NaN value': (long(table(value=[1, np.nan, 2, 3])), "1 of 4 values of screen 's' are NaN and taken as not measured"),
    'whitespace': (long(table(perturbation=['A ', 'B', 'A ', 'B'])), "surrounding whitespace removed from 1 perturbation labels: 'A '"),
    'case variants': (long(table(perturbation=['A', 'a', 'A', 'a'])), "differ only in case and are kept apart: 'A/a'"),
    'constant readout': (arrays([[1.], [1.]]), "1 readout has one constant value in screen 's' (first: 'g'); nothing can be learned of it"),
    'plus inside brackets': (long(table(perturbation=['(+)-JQ1', 'B', 'C', 'D'])), "split at a '+' inside brackets"),
}

@pytest.mark.parametrize('case', WARNINGS)
def test_warning(case):
    run, message = WARNINGS[case]
    with pytest.warns(DataWarning) as told: run()
    assert any(message in str(w.message) for w in told), [str(w.message) for w in told]

def test_context_with_one_experiment_and_constant_readout_train():
    "Odd but legal: the model stays finite."
    s = Screen.from_arrays([[1., 7.], [2., 7.], [3., 7.], [9., 7.]], perturbation=list('ABCA'), context=['x', 'x', 'x', 'lonely'],
        readouts=['g', 'flat'], name='s')
    p = fit_lpm(s, config=TINY, device='cpu').predict(s.obs)
    assert np.isfinite(p.X).all() and np.allclose(p.X[:, 1], 7, atol=1.5) and (p.std >= 0).all()

@pytest.fixture(scope='module')
def screen(): return simulate_atlas(seed=0, n_genes=12, n_systems=2, n_drugs=2, n_doubles=4).atlas['sim-rna']

@pytest.fixture(scope='module')
def model(screen, tmp_path_factory):
    folder = tmp_path_factory.mktemp('m')/'model'
    fit_lpm(screen, config=TINY, device='cpu').save(folder)
    return folder

@pytest.mark.parametrize('suffix', ['.parquet', '.h5ad', '.zarr'])
def test_truncated_file(suffix, screen, tmp_path):
    p = tmp_path/f'a{suffix}'
    screen.to_long().to_parquet(p) if suffix == '.parquet' else screen.write(p)
    if suffix == '.zarr':
        chunk = max((f for f in p.rglob('*') if f.is_file() and 'zarr.json' not in f.name), key=lambda f: f.stat().st_size)
        chunk.write_bytes(chunk.read_bytes()[:7])
    else: p.write_bytes(p.read_bytes()[:p.stat().st_size // 2])
    with pytest.raises(StorageError, match='damaged or of another kind'): read_input(str(p))

def test_wrong_dtype_on_disk(tmp_path):
    p = tmp_path/'a.csv'
    p.write_text('perturbation,context,readout,value\nA,x,g,one\n')
    with pytest.raises(DataError, match="got 'one'"): read_input(str(p))

def test_checksum_mismatch(tmp_path, monkeypatch):
    monkeypatch.setenv('LPM_DATA_HOME', str(tmp_path))
    for f in sources.CATALOGUE['gdsc2'].files: (tmp_path/f).write_bytes(b'changed')
    with pytest.raises(FetchError, match='checksum mismatch'): sources.read_screen('gdsc2')

def test_fetch_without_network(tmp_path, monkeypatch):
    monkeypatch.setenv('LPM_DATA_HOME', str(tmp_path))
    monkeypatch.setenv('LPM_CACHE_HOME', str(tmp_path/'cache'))
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)
    with pytest.raises(FetchError, match='pip could not download'): sources.read_screen('gdsc1')
    assert not list((tmp_path/'cache').rglob('*.whl'))

@pytest.mark.parametrize('errno, why', [(28, 'No space left on device'), (30, 'Read-only file system')])
def test_disk(errno, why, screen, tmp_path, monkeypatch):
    def fail(self, path, **kwargs):
        Path(path).write_bytes(b'half')
        raise OSError(errno, why)
    monkeypatch.setattr(ad.AnnData, 'write_h5ad', fail)
    (tmp_path/'a.h5ad').write_bytes(b'the old file')
    with pytest.raises(StorageError, match=f'{why}; nothing was left behind'): screen.write(tmp_path/'a.h5ad')
    assert [f.name for f in tmp_path.iterdir()] == ['a.h5ad'] and (tmp_path/'a.h5ad').read_bytes() == b'the old file'

def test_unknown_symbols_in_a_request(model):
    m = load_lpm(model)
    with pytest.raises(UnknownSymbolError, match="unknown perturbation: 'CRISPRi:G99'"):
        predict_table(m, pd.DataFrame(dict(perturbation=['CRISPRi:G99'], context='line1|sim-rna')))
    with pytest.raises(UnknownSymbolError, match="unknown context: 'line7|sim-rna'".replace('|', r'\|')):
        predict_table(m, pd.DataFrame(dict(perturbation=['CRISPRi:G01'], context='line7|sim-rna')))
    with pytest.raises(UnknownSymbolError, match="unknown readout"):
        predict_table(m, pd.DataFrame(dict(perturbation=['CRISPRi:G01'], context='line1|sim-rna', readout='expr:G77')))
    with pytest.raises(DataError, match='missing: context'): predict_table(m, pd.DataFrame(dict(perturbation=['A'])))

@pytest.mark.parametrize('file', ['weights.safetensors', 'vocab.json', 'config.json', 'history.csv'])
def test_tampered_model(file, model, tmp_path):
    import shutil
    m = tmp_path/'m'
    shutil.copytree(model, m)
    b = bytearray((m/file).read_bytes())
    b[len(b)//2] ^= 1
    (m/file).write_bytes(bytes(b))
    with pytest.raises(ModelError, match=f'{file} is not the file that was saved'): load_lpm(m)

def test_weights_of_another_model(model, screen, tmp_path):
    import shutil
    other = fit_lpm(screen, config=TINY.but(width=4), device='cpu').save(tmp_path/'other')
    m = tmp_path/'m'
    shutil.copytree(model, m)
    shutil.copy(other/'weights.safetensors', m)
    with pytest.raises(ModelError, match='checksum differs'): load_lpm(m)
    p = json.loads((m/'provenance.json').read_text())
    from lpm_nb.core import sha256
    from lpm_nb.model.folder import _seal
    p['files']['weights.safetensors'] = sha256(m/'weights.safetensors')
    p['seal'] = _seal(p)
    (m/'provenance.json').write_text(json.dumps(p))
    with pytest.raises(ModelError, match='do not fit'): load_lpm(m)

def run(*args):
    with pytest.raises(SystemExit) as e: main([str(a) for a in args])
    return e.value.code

def test_nothing_is_left_behind_by_a_failed_command(model, screen, tmp_path, capsys):
    (tmp_path/'bad.csv').write_text('perturbation,context\nX,y\n')
    before = sorted(p.name for p in tmp_path.iterdir())
    assert run('predict', model, tmp_path/'bad.csv', '--out', tmp_path/'out.csv') == 4
    assert run('train', tmp_path/'bad.csv', '--out', tmp_path/'m') == 3
    assert run('predict', tmp_path/'nothing', tmp_path/'bad.csv', '--out', tmp_path/'out.csv') == 5
    assert run('train', tmp_path/'none.csv', '--out', tmp_path/'m') == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert 'Traceback' not in capsys.readouterr().err

def test_a_folder_that_is_no_model_is_not_overwritten(screen, tmp_path):
    (tmp_path/'mine').mkdir()
    (tmp_path/'mine/thesis.txt').write_text('years')
    screen.write(tmp_path/'s.h5ad')
    assert run('train', tmp_path/'s.h5ad', '--out', tmp_path/'mine', '-q') == 6
    assert (tmp_path/'mine/thesis.txt').read_text() == 'years'

@pytest.mark.parametrize('gap', ['few singles', 'one line', 'pairs of one gene'])
def test_a_gap_in_one_readout_of_pairs_leaves_no_hole(gap):
    g = np.random.default_rng(0)
    genes = [f'KO:G{i:02d}' for i in range(14)]
    e = g.normal(size=(14, 2))
    rows = [(c, m) for c in (0, 1) for m in [*((i,) for i in range(14)),
        *((i, j) for i in range(14) for j in range(i))]]
    y = np.array([e[list(m)].sum(0) * (1 + c) for c, m in rows]) + .1 * g.normal(size=(len(rows), 2))
    size = np.array([len(m) for _, m in rows])
    line = np.array([c for c, _ in rows])
    lost = {'few singles': (size == 1) & (np.arange(len(rows)) % 9 > 0), 'one line': line == 1, 'pairs of one gene': np.array([len(m) == 2 and 0 in m for _, m in rows])}[gap]
    y[lost, 1] = np.nan
    s = Screen.from_arrays(y, perturbation=['+'.join(genes[k] for k in m) for _, m in rows], context=[f'line{c}' for c, _ in rows], readouts=['x', 'y'], name='pairs')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = fit_lpm(s, config=LPMConfig(width=16, hidden=16, rank=16, epochs=8, members=2), seed=0, device='cpu')
    mean, std = model.predict_screen('pairs', s.obs)
    assert np.isfinite(mean).all() and (std > 0).all()
    known = ~np.isnan(y)
    assert ((mean - y)[known]**2).mean() < .5 * y[known].var()
