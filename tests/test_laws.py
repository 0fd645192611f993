"Laws that hold for all inputs, and round trips between processes."
import json, signal, subprocess, sys, time
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from lpm_nb.analysis.contexts import embed_contexts
from lpm_nb.analysis.embedding import Embedding, embed_profiles, neighbours
from lpm_nb.analysis.graph import build_graph, find_routes
from lpm_nb.analysis.mechanism import compare_kinds, explain_likeness
from lpm_nb.analysis.metrics import bootstrap, discrimination, mse, pearson, spearman
from lpm_nb.analysis.network import gene_effects, infer_edges
from lpm_nb.core import DataError, format_perturbation, parse_perturbation
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.data.split import prove_split, split_folds, split_pairs

LPM = [str(Path(sys.executable).with_name('lpm'))]
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')   # a busy machine breaks no law

atom = st.text(st.characters(blacklist_categories=['Cs', 'Cc', 'Zs', 'Zl', 'Zp']), min_size=1, max_size=8).filter(lambda s: s.strip() == s)

@given(st.lists(atom, max_size=4))
def test_a_perturbation_survives_its_text(atoms): assert parse_perturbation(format_perturbation(atoms)) == tuple(sorted(atoms))

@given(st.lists(atom, min_size=2, max_size=4), st.randoms())
def test_order_does_not_matter(atoms, r):
    other = list(atoms)
    r.shuffle(other)
    assert format_perturbation(atoms) == format_perturbation(other)

@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(['context', 'system']))
def test_no_split_leaks(seed, by):
    s = Screen.from_arrays(np.random.default_rng(seed).normal(size=(24, 1)), perturbation=['A', 'B', 'A+B', 'C', '', 'A+A'] * 4,
        context=[c for c in ('x|1', 'x|2', 'y|1', 'y|2') for _ in range(6)], readouts=['g'], name='s')
    proof = prove_split(Atlas(s), split_pairs(Atlas(s), test=.2, seed=seed, by=by))
    assert (proof.perturbation != '').all() and (by == 'context' or not proof.same_system_other_assay.any())

@given(st.integers(0, 10_000))
def test_metrics_are_symmetric_and_bounded(seed):
    g = np.random.default_rng(seed)
    a, b = g.normal(size=(2, 4, 9))
    order = g.permutation(9)
    np.testing.assert_allclose(pearson(a, b), pearson(b, a))
    assert (np.abs(pearson(a, b)) <= 1 + 1e-9).all()
    np.testing.assert_allclose(pearson(a, b), pearson(a[:, order], b[:, order]))
    np.testing.assert_allclose(spearman(np.exp(a), b), spearman(a, b))
    np.testing.assert_allclose(mse(a, a), 0)
    d = discrimination(a, b)
    assert ((d >= 0) & (d <= 1)).all()
    lo = bootstrap(a.ravel(), seed=seed)
    assert lo[1] <= lo[0] <= lo[2]

def test_long_round_trip():
    s = simulate_atlas(seed=3, n_genes=10, n_systems=2, n_drugs=3, n_doubles=5).atlas['sim-rna']
    t = s.to_long().sample(frac=1, random_state=0)
    b = Screen.from_long(t.drop(columns='n_replicates'), name=s.name)
    key = lambda x: [f'{p}/{c}/{d}' for p, c, d in zip(x.obs.perturbation, x.obs.context, x.obs.dose)]
    np.testing.assert_array_equal(b.X[np.argsort(key(b))][:, np.argsort(b.readouts)], s.X[np.argsort(key(s))][:, np.argsort(s.readouts)])

@pytest.fixture(scope='module')
def small(): return simulate_atlas(seed=3, n_genes=12, n_systems=3, n_drugs=6, n_doubles=5).atlas

def _plain(x):
    "What a function answered, to compare."
    if isinstance(x, Embedding): return x.vectors
    if hasattr(x, 'values') and isinstance(x.values, pd.DataFrame): return x.values
    if hasattr(x, 'test'): return pd.DataFrame({n: pd.Series(m) for n, m in x.test.items()})
    if isinstance(x, list): return pd.concat([_plain(y) for y in x])
    return x

@pytest.mark.parametrize('ask', [
    lambda a, e, f, one: embed_profiles(a, perturbations=e.symbols, readouts=one(a['sim-rna'].readouts[0])),
    lambda a, e, f, one: embed_contexts(a['sim-rna'], readouts=one(a['sim-rna'].readouts[0])),
    lambda a, e, f, one: split_pairs(a, screens=one('sim-rna'), seed=0),
    lambda a, e, f, one: split_folds(a, 3, screens=one('sim-rna')),
    lambda a, e, f, one: neighbours(e, e.symbols[0], among=one(e.symbols[3])),
    lambda a, e, f, one: e.keep(one(e.symbols[2])),
    lambda a, e, f, one: compare_kinds(e, drugs=one(next(s for s in e.symbols if s.startswith('drug:'))), kinds=one('CRISPRi')),
    lambda a, e, f, one: explain_likeness(e, e.symbols[0], one(e.symbols[1])),
    lambda a, e, f, one: f.keep(one(f.sources[1])),
    lambda a, e, f, one: infer_edges(f, targets=one(f.genes[2])),
    lambda a, e, f, one: find_routes(build_graph(infer_edges(f)), one(f.sources[0]), f.genes[3]),
])
def test_one_name_is_a_text_or_a_list_of_one(small, ask):
    e, f = embed_profiles(small), gene_effects(small['sim-rna'], context=small['sim-rna'].contexts[0], kind='CRISPRi')
    pd.testing.assert_frame_equal(_plain(ask(small, e, f, str)), _plain(ask(small, e, f, lambda x: [x])))

def test_a_table_of_another_kind_is_told_of_its_columns(small):
    from lpm_nb.analysis.edge_scores import score_network, score_relations
    from lpm_nb.analysis.embedding import annotate_function, recover_relations
    from lpm_nb.analysis.graph import layout_graph, name_communities
    from lpm_nb.analysis.interactions import call_interactions, interaction_map
    other, e = pd.DataFrame(dict(x=[1.])), {'e': embed_profiles(small)}
    G = build_graph(pd.DataFrame(dict(source=['A'], target=['B'], score=[1.])))
    for ask in (lambda: recover_relations(e, other), lambda: annotate_function(e, other), lambda: interaction_map(other),
            lambda: call_interactions(other), lambda: score_relations(other, other), lambda: score_network(other, other, genes=['A']),
            lambda: layout_graph(G, other), lambda: name_communities(other, other, background=['A'])):
        with pytest.raises(DataError, match='missing'): ask()

@pytest.fixture(scope='module')
def table(tmp_path_factory):
    d = tmp_path_factory.mktemp('run')
    simulate_atlas(seed=1, n_genes=25, n_systems=3, n_drugs=8,
        n_doubles=20).atlas['sim-rna'].to_long().drop(columns='n_replicates').to_parquet(d/'s.parquet')
    pd.DataFrame(dict(perturbation=['CRISPRi:G03', 'CRISPRi:G05+CRISPRi:G01', ''], context='line2|sim-rna')).to_csv(d/'want.csv',
        index=False)
    return d

def train(table, out):
    return [*LPM, 'train', str(table/'s.parquet'), '--out', str(table/out), '--members', '2', '--epochs', '16', '--seed', '3', '-q']

@pytest.fixture(scope='module')
def whole(table):
    subprocess.run(train(table, 'whole'), check=True)
    return table/'whole'

one_process = pytest.mark.xdist_group('laws')

@one_process
def test_killed_and_resumed_equals_uninterrupted(table, whole):
    "kill -9 in the middle of a training; the same command goes on, repeats no finished epoch, and ends at the same model."
    p = subprocess.Popen(train(table, 'killed'))
    keep = table/'.killed.checkpoint/member1/state.json'
    def epoch():
        try: return json.loads(keep.read_text())['epoch']
        except (FileNotFoundError, NotADirectoryError, ValueError): return -1
    end = time.time() + 120
    while epoch() < 3 and p.poll() is None and time.time() < end: time.sleep(.01)
    assert p.poll() is None, 'finished before it could be killed'
    p.send_signal(signal.SIGKILL)
    p.wait()
    done = epoch()
    assert done >= 3 and not (table/'killed').exists()
    before = json.loads(keep.read_text())['history'][0]
    subprocess.run(train(table, 'killed'), check=True)
    h = pd.read_csv(table/'killed/history.csv')
    assert h[h.member == 1].epoch.tolist() == list(range(16)) and not (table/'.killed.checkpoint').exists()
    assert [r['seconds'] for r in before] == h[h.member == 1].seconds.tolist()[:len(before)], 'a finished epoch was run again'
    a, b = (subprocess.run([*LPM, 'predict', str(table/m), str(table/'want.csv'), '--out', str(table/f'{m}.csv'), '-q'], check=True)
        and pd.read_csv(table/f'{m}.csv') for m in ('whole', 'killed'))
    np.testing.assert_allclose(a.value, b.value, atol=1e-5)
    np.testing.assert_allclose(a['std'], b['std'], atol=1e-5)

@one_process
def test_saved_here_loaded_there_bit_for_bit(table, whole):
    code = (f"from lpm_nb.model.learner import load_lpm; import pandas as pd, numpy as np; m = load_lpm(r'{whole}'); s = "
        f"m.predict(pd.read_csv(r'{table}/want.csv', keep_default_na=False)); np.save(r'{table}/there.npy', np.stack([s.X, "
        "s.std]))")
    subprocess.run([sys.executable, '-c', code], check=True)
    from lpm_nb.model.learner import load_lpm
    s = load_lpm(whole).predict(pd.read_csv(table/'want.csv', keep_default_na=False))
    np.testing.assert_array_equal(np.load(table/'there.npy'), np.stack([s.X, s.std]))

@one_process
def test_equal_seed_equal_model(table, whole):
    subprocess.run(train(table, 'twin'), check=True)
    assert (table/'twin/weights.safetensors').read_bytes() == (whole/'weights.safetensors').read_bytes()
