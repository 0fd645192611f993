"Networks: equality with CausalBench's own evaluation, laws of inference and of scores, and planted truth."
import random, warnings
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from lpm_nb.analysis.edge_scores import score_cells, score_network, score_relations
from lpm_nb.analysis.network import EDGE_METHODS, GeneEffects, gene_effects, infer_edges, profile_correlation
from lpm_nb.analysis.interactions import fit_expectation, genetic_interactions
from lpm_nb.data.effects import nearest_interactions, profile_similarity
from lpm_nb.data.simulate import simulate_atlas, simulate_cells

SIM = simulate_atlas(seed=3, n_genes=12, n_drugs=4, n_doubles=10)
CELLS = simulate_cells(SIM, 'line1', n_cells=25, seed=3)
GENES = [v.removeprefix('expr:') for v in CELLS.var_names]

def effects(values, direction=-1):
    names = pd.Index(GENES[:len(values)])
    return GeneEffects(pd.DataFrame(values, names, pd.Index(GENES[:values.shape[1]])), pd.Series(direction, names),
        pd.Series(0., GENES[:values.shape[1]]), 'c', 's', 'KO', origin=pd.Series('measured', names))

@pytest.mark.parametrize('edges', [12, 40, 80])
def test_equals_causalbench(edges):
    "True and false positives, Wasserstein distances and the false omission rate of the reference implementation, on one fixture."
    reference = pytest.importorskip('causalscbench.evaluation.statistical_evaluation', reason='causalbench is not installed')
    net = infer_edges(CELLS, 'wasserstein', top=edges)
    pairs = list(zip(net['source'].astype(str), net['target'].astype(str)))
    labels = ['non-targeting' if p == '' else p.split(':')[1] for p in CELLS.obs['perturbation']]
    judge = reference.Evaluator(np.asarray(CELLS.X, float), labels, GENES)
    own = score_cells(net, CELLS, omissions=10**6).iloc[0]
    state = random.getstate()
    # all omitted pairs: then it draws each of them
    theirs = judge.evaluate_network(pairs, max_path_length=3, check_false_omission_rate=own['omitted'] > 0,
        omission_estimation_size=int(own['omitted']))
    random.setstate(state)
    assert own['true_positives'] == theirs['output_graph']['true_positives'] and own['false_positives'] == theirs['output_graph'][
        'false_positives']
    assert own['mean_wasserstein'] == pytest.approx(theirs['output_graph']['wasserstein_distance']['mean'], rel=1e-6)
    if own['omitted']:
        assert own['false_omission_rate'] == pytest.approx(theirs['false_omission_rate']) and own['omitted_wasserstein'] == pytest.approx(
            theirs['negative_mean_wasserstein'], rel=1e-6)

def test_complete_graph_ends():
    "Where CausalBench's own estimate would draw for ever."
    net = pd.DataFrame([(a, b, 1.) for a in GENES for b in GENES if a != b], columns=['source', 'target', 'score'])
    s = score_cells(net, CELLS, omissions=100).iloc[0]
    assert s['omitted'] == s['tested'] == 0 and np.isnan(s['false_omission_rate']) and s['k'] == len(net)

def test_sampled_omissions_estimate_the_rate():
    net = infer_edges(CELLS, 'wasserstein', top=6)
    exact = score_cells(net, CELLS, omissions=10**6)['false_omission_rate'][0]
    some = [score_cells(net, CELLS, omissions=40, seed=s)['false_omission_rate'][0] for s in range(30)]
    assert abs(np.mean(some) - exact) < .04 and len(set(some)) > 3

@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_laws_of_inference(seed):
    g = np.random.default_rng(seed)
    V = g.normal(size=(8, 12))
    V[np.arange(8), np.arange(8)] -= 4
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for m in ('mean difference', 'robust z', 'ridge', 'direct effects', 'correlation', 'co-function'):
            t = infer_edges(effects(V), m)
            assert (t['source'].astype(str) != t['target'].astype(str)).all() and not t.duplicated(['source',
                'target']).any() and t['score'].is_monotonic_decreasing
            assert np.allclose(t['score'], t['weight'].abs())
            one = t.set_index(['source', 'target'])['weight'].sort_index()
            double = infer_edges(effects(2 * V), m).set_index(['source', 'target'])['weight'].sort_index()
            assert np.allclose(double, one * (2 if m == 'mean difference' else 1), atol=1e-4), m       # a unit is no edge
            order = g.permutation(8)
            e = effects(V)
            shuffled = GeneEffects(e.values.iloc[order], e.direction.iloc[order], e.reference, 'c', 's', 'KO', origin=e.origin.iloc[order])
            assert np.allclose(infer_edges(shuffled, m).astype({'source': str, 'target': str}).set_index(['source',
                'target'])['weight'].sort_index(), infer_edges(e, m).astype({'source': str, 'target': str}).set_index(['source',
                'target'])['weight'].sort_index(), atol=1e-4), m

def test_linear_network_is_recovered_exactly():
    "Modular response analysis on noise-free linear total effects gives back every direct edge and its sign, for losses and gains."
    g = np.random.default_rng(0)
    B = np.where(g.random((12, 12)) < .2, g.normal(0, .4, (12, 12)), 0)
    np.fill_diagonal(B, 0)
    for direction in (-1, 1):
        R = np.zeros((12, 12))
        for s in range(12):                                            # clamp s; the others follow x = xB
            rest = np.delete(np.arange(12), s)
            x = np.linalg.solve((np.eye(11) - B[np.ix_(rest, rest)]).T, 2. * direction * B[s, rest])
            R[s, rest], R[s, s] = x, 2. * direction
        t = infer_edges(effects(R, direction), 'direct effects', penalty=1e-10).set_index(['source', 'target'])['weight']
        found = np.array([[t.get((a, b), 0.) for b in GENES] for a in GENES])
        assert np.allclose(found, B, atol=1e-5)

def test_nan_effects_make_no_edges():
    V = np.random.default_rng(0).normal(size=(8, 12))
    V[2, 5] = np.nan
    V[:, 7] = np.nan
    for m in EDGE_METHODS:
        if m in ('GIES', 'boosted trees', 'lasso', 'shrunken t', 'co-function'): continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            t = infer_edges(effects(V), m)
        assert np.isfinite(t['score']).all() and not ((t['source'] == GENES[2]) & (t['target'] == GENES[5])).any() and not (t['target']
            == GENES[7]).any(), m

def test_relations_symmetric_and_bounded():
    net = infer_edges(gene_effects(SIM.atlas['sim-rna'], context='line1|sim-rna', kind='CRISPRi', reference='median'))
    rel = pd.DataFrame(dict(gene1=GENES[:6], gene2=GENES[6:]))
    a, b = score_relations(net, rel, k=[10, 50], permutations=3), score_relations(net, rel.rename(columns=dict(gene1='gene2', gene2='gene1')),
        k=[10, 50], permutations=3)
    pd.testing.assert_frame_equal(a, b)
    assert a[['precision', 'recall', 'random']].apply(lambda c: c.between(0, 1).all()).all() and a['recall'].is_monotonic_increasing

def test_shuffled_scores_find_nothing():
    "The score of a network whose labels are shuffled is chance."
    e = gene_effects(SIM.atlas['sim-rna'], context='line1|sim-rna', kind='CRISPRi', reference='median')
    truth, net = SIM.network[SIM.network['line1']], infer_edges(e)
    real, g = score_network(net, truth, genes=GENES), np.random.default_rng(0)
    null = [score_network(net.assign(score=g.permutation(net['score'])), truth, genes=GENES)['auprc'] for _ in range(30)]
    assert real['auprc'] > max(null) and abs(np.mean(null) - real['chance']) < .05

def test_profiles_of_predictions_are_not_rewarded_for_being_smooth():
    V = np.random.default_rng(0).normal(size=(8, 12))
    e = effects(V)
    from dataclasses import replace
    p = replace(e, std=e.values * 0 + 1, origin=pd.Series('predicted', e.values.index))
    a, b = profile_correlation(e).to_numpy(), profile_correlation(p).to_numpy()
    off = ~np.eye(8, dtype=bool)
    assert (np.abs(b[off]) < np.abs(a[off])).all() and np.allclose(a, a.T, equal_nan=True)

def test_mutated_expectation_is_noticed():
    "A gene's own effect left out of the expectation shows as interactions of all its pairs."
    s = SIM.atlas['sim-growth']
    e = fit_expectation(s, context='line1|sim-growth', how='additive')
    t = genetic_interactions(s, expectation=e)
    from dataclasses import replace
    worst = t['gene1'].value_counts().index[0]
    wrong = genetic_interactions(s, expectation=replace(e, single=e.single.where(e.single.index != worst, e.single + 1)))
    moved = (wrong['gi'] - t['gi']).abs() > .9
    assert moved.equals((t['gene1'] == worst) | (t['gene2'] == worst))

def test_pair_predictions_do_not_see_the_pair():
    "The prediction of a hidden pair is the same whatever its true value was."
    g = np.random.default_rng(0)
    u = g.normal(size=(20, 2))
    M = u @ u.T
    np.fill_diagonal(M, np.nan)
    M[3, 5] = M[5, 3] = np.nan
    a = nearest_interactions(M, k=4)
    assert np.isfinite(a[3, 5]) and np.allclose(a, a.T) and np.allclose(profile_similarity(M), profile_similarity(M).T)
