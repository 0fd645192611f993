"What the claims rest on: metrics that would be missed if broken, splits that cannot leak, an order of methods that has to hold."
import importlib.util, json, types
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_squared_error, r2_score
from lpm_nb.core import LeakageError
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.sources import data_home, read_screen
from lpm_nb.data.split import Split, prove_split
from lpm_nb.model.learner import fit_lpm, load_lpm
from lpm_nb.model.lpm import LPMConfig
from lpm_nb.model.members import measure_sums, members_alone
from lpm_nb.suite import Task, run_suite, suite_table

SOURCE = Path(importlib.util.find_spec('lpm_nb.analysis.metrics').origin).read_text()

def metrics(*changes):
    "The metrics module, with a mistake in it."
    text = SOURCE
    for old, new in changes:
        assert text.count(old) >= 1, f'{old!r} is no longer in the metrics'
        text = text.replace(old, new)
    m = types.ModuleType('lpm_nb.analysis.metrics_under_test')
    m.__package__ = 'lpm_nb.analysis'
    exec(compile(text, 'metrics', 'exec'), m.__dict__)
    return m

def check(m):
    "Every metric against a library's definition, or a value worked out by hand."
    g = np.random.default_rng(0)
    t = g.normal(size=(6, 40))
    p = t + g.normal(size=t.shape)
    ref = g.normal(size=t.shape) * .3
    np.testing.assert_allclose(m.mse(p, t), [mean_squared_error(a, b) for a, b in zip(t, p)])
    np.testing.assert_allclose(m.r2(p, t), [r2_score(a, b) for a, b in zip(t, p)])
    np.testing.assert_allclose(m.pearson(p, t), [pearsonr(a, b)[0] for a, b in zip(p, t)])
    ties = np.round(p)
    np.testing.assert_allclose(m.spearman(ties, t), [spearmanr(a, b)[0] for a, b in zip(ties, t)])
    np.testing.assert_allclose(m.delta_pearson(p, t, reference=ref), [pearsonr(a, b)[0] for a, b in zip(p - ref, t - ref)])
    np.testing.assert_allclose(m.direction_accuracy(p, t, reference=ref), (np.sign(p - ref) == np.sign(t - ref)).mean(1))
    same = np.tile(t[:1], (6, 1))
    np.testing.assert_allclose(m.discrimination(same, t), [1, *(m.discrimination(same, t)[1:])])  # the profile itself is the nearest
    np.testing.assert_allclose(m.discrimination(t, t), 1)
    np.testing.assert_allclose(m.discrimination(t, same), .5)  # all alike: chance
    np.testing.assert_allclose(m.discrimination(-t, t), 0)
    short = np.array([[1., 2, np.nan, 4]])
    np.testing.assert_allclose(m.mse(short, np.array([[2., 2, 9, 6]])), 5 / 3)                               # a gap is left out
    mean, low, high = m.bootstrap(np.arange(100.), seed=0)
    assert mean == 49.5 and 43 < low < 45.5 < 53 < high < 56

def test_the_metrics(): check(metrics())

def test_peers_say_the_same():
    "Equality with cell-eval and scperteval on the fixture of benchmarks/peer_scores.py."
    said = json.loads((Path(__file__).parent/'peer_scores.json').read_text())
    cell, sc = said['cell-eval'], said['scperteval']
    m = metrics()
    g = np.random.default_rng(7)
    true = g.normal(size=(12, 30))
    pred = .15 * true + g.normal(size=true.shape)
    control = g.normal(size=30)
    n = len(true)
    def close(a, b): np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    close(m.mse(pred, true), cell['mse'])
    close(m.mse(pred, true), sc['mse'])
    close(m.r2(pred, true), sc['r2'])
    close(m.pearson(pred, true), sc['pearson'])
    delta = m.delta_pearson(pred, true, reference=np.tile(control, (n, 1)))
    close(delta, cell['pearson_delta'])
    close(delta, sc['pearson_delta'])
    ours = {by: m.discrimination(pred, true, reference=np.tile(control, (n, 1)), by=by) for by in ('l1', 'l2', 'cosine')}
    for by, v in ours.items(): close(1 - (1 - v) * (n - 1) / n, cell[f'discrimination_{by}'])  # cell-eval counts itself among the others
    close(m.discrimination(pred, true, by='l2'), sc['nir'])
    assert len({tuple(v) for v in ours.values()}) == 3, 'the fixture must tell the three apart'

MISTAKES = {
    'sign of the delta': (("p, t = np.asarray(pred, np.float64) - reference, np.asarray(true, np.float64) - reference",
        "p, t = reference - np.asarray(pred, np.float64), np.asarray(true, np.float64) - reference"),),
    'one reference forgotten': (("np.asarray(true, np.float64) - reference\n    p = np.where",
        "np.asarray(true, np.float64)\n    p = np.where"),),
    'ties in order of appearance': (("rankdata(np.where(seen, x, np.inf), axis=1)",
        "rankdata(np.where(seen, x, np.inf), axis=1, method='ordinal')"),),
    'ties of the discrimination lost': ((".5 * ((np.abs(sim - own)", ".0 * ((np.abs(sim - own)"),),
    'discrimination upside down': (("(sim < own - 1e-12)", "(sim > own + 1e-12)"),),
    'mean over the wrong axis': (("n = seen.sum(1)\n    return np.where(n > 0, np.where(seen, x, 0).sum(1)", "n = np.full(len(x), "
        "seen.sum() / len(x))\n    return np.where(n > 0, np.where(seen, x, 0).sum(0)[:len(x)]"),),
    'gaps counted as zero': (("gap = np.isnan(pred) | np.isnan(true)",
        "pred, true = np.nan_to_num(pred), np.nan_to_num(true); gap = np.isnan(pred)"),),
    'variance around zero': (("total = _mean((t - _mean(t, seen)[:, None])**2, seen)", "total = _mean(t**2, seen)"),),
    'interval far too narrow': (("np.quantile(means, [(1 - level) / 2, (1 + level) / 2])",
        "np.quantile(means, [level / 2, 1 - level / 2])"),),
}

@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_broken_metric_is_noticed(mistake):
    with pytest.raises(AssertionError): check(metrics(*MISTAKES[mistake]))

def leaky():
    s = Screen.from_arrays(np.random.default_rng(0).normal(size=(24, 1)), perturbation=['A', 'B', 'A+B', 'C', 'D', 'E'] * 4,
        context=[c for c in 'wxyz' for _ in range(6)], readouts=['g'], name='s')
    twin = Screen.from_arrays(s.X, perturbation=[f'{p[2]}+{p[0]}' if len(p) == 3 else p for p in s.obs['perturbation'].astype(str)],
        context=s.obs['context'].astype(str), readouts=['g'], name='twin')
    atlas = Atlas([s, twin])
    test = np.arange(24) % 6 == 2  # A+B held out in one screen, B+A trained on in the other
    return atlas, Split('leaky', {'s': ~test, 'twin': np.ones(24, bool)}, {n: np.zeros(24, bool) for n in atlas},
        {'s': test, 'twin': np.zeros(24, bool)})

def test_a_leaky_split_is_caught(tmp_path):
    atlas, split = leaky()
    with pytest.raises(LeakageError, match=r'4 test experiments .* are also trained on'): prove_split(atlas, split)
    with pytest.raises(LeakageError):
        run_suite(tmp_path, tasks={'leaky': Task(lambda seed: atlas, lambda a, seed: split, 's', 'pooled r', 'g')}, device='cpu')
    assert not list((tmp_path/'cells').iterdir())

def test_the_quick_suite_orders_the_methods(tmp_path):
    "The default recipe with two members, on two simulated screens: what it must be better than, and by more than chance."
    t = run_suite(tmp_path, suite='quick', members=2, paper_values=0, device='cpu')
    lead = t.set_index(['task', 'metric', 'readout', 'method'])['lead_low']
    for m in ('control', 'context mean', 'perturbation mean', 'on-target', 'nearest perturbations', 'bilinear ridge', 'additive'):
        assert lead['simulated pairs', 'delta r', 'all', m] > 0, m
    for m in ('control', 'context mean', 'additive', 'nearest perturbations', 'members in context'):
        assert lead['simulated growth', 'pooled r', 'growth', m] > 0, m
    value = t.set_index(['task', 'metric', 'method'])['value']
    assert value['simulated pairs', 'delta r', 'LPM'] > value['simulated pairs', 'delta r', 'additive'] > value['simulated pairs',
        'delta r', 'context mean']
    assert value['simulated pairs', 'mse', 'LPM'] < min(value['simulated pairs', 'mse', m]
        for m in ('additive', 'additive + low rank', 'nearest perturbations', 'bilinear ridge'))
    assert suite_table(t).loc['simulated pairs: delta r', 'LPM']

def test_two_processes_make_only_what_is_missing(tmp_path):
    small = dict(suite='quick', config=LPMConfig(width=32, hidden=64, rank=32, epochs=3, members=2), paper_values=0, device='cpu')
    first = run_suite(tmp_path, **small)
    cells = {p: p.stat().st_mtime_ns for p in (tmp_path/'cells').iterdir()}
    lost = {next(p for p in cells if m in p.name) for m in ('simulated_growth_0_LPM', 'simulated_pairs_0_additive_')}
    for p in lost: p.unlink()
    lines = []
    again = run_suite(tmp_path, jobs=2, on_cell=lines.append, **small)
    assert {p for p in cells if p.stat().st_mtime_ns != cells[p]} == lost and len(lines) == 3 and lines[0] == '2 cells to make, 2 at a time'
    pd.testing.assert_frame_equal(again.drop(columns='cpu_seconds'), first.drop(columns='cpu_seconds'), atol=1e-3)

@pytest.mark.skipif(not (data_home()/'horlbeck_jurkat_gamma.parquet').exists(), reason='no data folder: set LPM_DATA_HOME')
@pytest.mark.parametrize('name,share', [('horlbeck-jurkat', .2), ('horlbeck-k562', .15), ('norman-gamma', .3)])
def test_measured_pairs_grow_as_independent_ones(name, share):
    "Bliss independence, its end read from the singles alone, leaves so much of the sum's squared error."
    s = read_screen(name)
    size = np.array([len(s.members[p]) for p in s.obs['perturbation']])
    unit = np.zeros(1), np.ones(1)
    sums = measure_sums(s, size < 2, scaling=unit)
    pairs = s.obs[size == 2]
    rows, alone, A = members_alone(pairs, never=sums.never)
    two = np.asarray(A.sum(1)).ravel() == 2
    rows, A = rows[two], A[two]
    known = sums.measured(alone)
    added, joint, _ = sums.predict(A, known, ground=sums.level(pairs['context'].iloc[rows].astype(str)), known=known, who=alone['perturbation'])
    y = s.X[size == 2][rows]
    assert np.mean((joint - y)**2) < share * np.mean((added - y)**2)
    assert pearsonr(joint[:, 0], y[:, 0])[0] > pearsonr(added[:, 0], y[:, 0])[0] + .01

def test_pairs_of_one_line_are_told_by_measured_profiles(tmp_path):
    "A Perturb-seq screen of one line, no pair known: nothing but what was measured says what a gene does; the same after saving."
    g = np.random.default_rng(0)
    true = g.standard_normal((14, 60))
    pairs = [(i, j) for i in range(14) for j in range(i)][::3]
    cells = np.repeat(np.concatenate([np.zeros((1, 60)), true]), 20, 0) + g.standard_normal((300, 60))
    s = Screen.from_arrays(cells, perturbation=np.repeat(['', *(f'CRISPRa:G{i:02d}' for i in range(14))], 20), context=['K562|cells'] * 300,
        readouts=[f'expr:R{i}' for i in range(60)], name='cells', unit='z', replicates='mean')
    model = fit_lpm(s, config=LPMConfig(width=32, hidden=64, rank=32, epochs=5, members=2), device='cpu')
    asked = pd.DataFrame(dict(perturbation=[f'CRISPRa:G{j:02d}+CRISPRa:G{i:02d}' for i, j in pairs], context='K562|cells'))
    mean = model.predict(asked).X
    model.save(tmp_path/'model')
    assert np.array_equal(load_lpm(tmp_path/'model').predict(asked).X, mean)
    at = {p: x for p, x in zip(s.obs['perturbation'].astype(str), s.X)}
    added = np.stack([at[f'CRISPRa:G{i:02d}'] + at[f'CRISPRa:G{j:02d}'] - at[''] for i, j in pairs])
    y = np.stack([true[i] + true[j] for i, j in pairs])
    assert np.mean((mean - y)**2) < 1.02 * np.mean((added - y)**2) < .3 * np.mean(y**2)
