"""Where one split cannot decide between two methods: every pair of the judged screen withheld once, all of them judged together.

A task of the suite (`lpm_nb.suite.TASKS`) withholds 10 to 20 % of the pairs of one screen. Here its pairs are divided into folds of
that size (`split_folds`); each fold is predicted by methods that were trained without it, and the score is that of all predictions:
each experiment's own score for profiles, the correlation over all cell lines of a drug for growth. Intervals resample perturbations,
and differences are paired.

    python benchmarks/every_pair.py 'PRISM/GDSC/CTD2' 'Macrophage CRISPRi' 'Macrophage CRISPRa' --keep folds
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from lpm_nb.analysis.metrics import bootstrap, mse, pearson
from lpm_nb.data.split import split_folds
from lpm_nb.suite import TASKS, _fit

FOLDS = {'PRISM/GDSC/CTD2': 7, 'NeurIPS drugs': 7}        # as many as the task's share of test pairs makes; others hold out a fifth
RIVALS = {'PRISM/GDSC/CTD2': ['factor analysis', 'additive + low rank', 'nearest perturbations', 'additive'],
    'DepMap knock-outs': ['factor analysis', 'additive + low rank'],
    'NeurIPS drugs': ['factor analysis', 'nearest perturbations', 'bilinear ridge', 'additive + low rank', 'additive'],
    'Replogle RPE1': ['factor analysis', 'bilinear ridge', 'random forest', 'nearest perturbations'],
    'Replogle K562': ['factor analysis', 'bilinear ridge', 'random forest', 'nearest perturbations'],
    'Macrophage CRISPRi': ['on-target'], 'Macrophage CRISPRa': ['on-target']}

def predict(task, method, atlas, split, *, seed, file):
    "(n, n_readouts) what a method says of the withheld experiments, kept in a file."
    if file is not None and file.exists(): return np.load(file)
    model = _fit(method, atlas, split, task, seed, None, None, None, None)
    P = model.predict_screen(task.screen, atlas[task.screen].obs[split.test[task.screen]],
        **({'unknown': 'prior'} if method == 'LPM' else {}))[0]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, P)
    return P

def judge(task, name, o):
    "One row for each method: scores, and what the LPM has beyond it."
    atlas = task.read(o.seed)
    s = atlas[task.screen]
    folds = split_folds(atlas, FOLDS.get(name, 5), screens=[task.screen], seed=o.seed)
    methods, said, base = ['LPM', *RIVALS[name]], {}, np.full(s.X.shape, np.nan, np.float32)
    for m in methods:
        said[m] = np.full(s.X.shape, np.nan, np.float32)
        t = time.process_time()
        for i, f in enumerate(folds):
            file = o.keep/f'{name.replace("/", "-")}_{m}_{o.seed}_{i}.npy' if o.keep else None
            said[m][f.test[task.screen]] = predict(task, m, atlas, f, seed=o.seed, file=file)
        print(f'  {name}, {m}: {time.process_time() - t:.0f} CPU-s', flush=True)
    wide, P, C = len(s.readouts) >= 20, *(s.obs[c].astype(str).to_numpy() for c in ('perturbation', 'context'))
    judged = np.any([f.test[task.screen] for f in folds], 0)
    if wide:
        for f in folds:                                            # each fold against the means of its own training part
            train, test = f.train[task.screen] & (P != ''), f.test[task.screen]
            for c in set(C): base[test & (C == c)] = np.nanmean(s.X[train & (C == c)], 0)
        rows = np.flatnonzero(judged)
        who = P[rows]
        scores = {'delta r': {m: pearson(said[m][rows] - base[rows], s.X[rows] - base[rows]) for m in methods},
            'mse': {m: mse(said[m][rows], s.X[rows]) for m in methods}}
    else:
        j = s.readouts.index(task.readout)
        known = judged & ~np.isnan(s.X[:, j])
        who = np.unique(P[known])
        rows = [np.flatnonzero(known & (P == p)) for p in who]
        keep = np.array([len(r) >= 5 for r in rows])
        who = who[keep]
        rows = [r for r, k in zip(rows, keep) if k]
        scores = {f'within r {task.readout}': {m: np.array([pearson(said[m][r, j][None], s.X[r, j][None])[0] for r in rows])
            for m in methods},
            f'mse {task.readout}': {m: np.array([np.mean((said[m][r, j] - s.X[r, j])**2) for r in rows]) for m in methods}}
    out = []
    for metric, by in scores.items():
        sign = -1 if metric.startswith('mse') else 1
        for m in methods:
            (v, lo, hi), (g, gl, gh) = (bootstrap(x, groups=who, seed=o.seed) for x in (by[m], sign * (by['LPM'] - by[m])))
            out.append(dict(task=name, metric=metric, method=m, value=v, low=lo, high=hi, gain=g, gain_low=gl, gain_high=gh))
    return pd.DataFrame(out).assign(folds=len(folds), experiments=int(judged.sum()), perturbations=len(np.unique(who)))

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('tasks', nargs='*', default=list(RIVALS))
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--keep', type=Path, help='folder that keeps the predictions: a second run only scores them')
    a.add_argument('--out', type=Path, default=Path('every_pair.csv'))
    o = a.parse_args()
    warnings.simplefilter('ignore')
    rows = []
    for name in o.tasks:
        rows.append(judge(TASKS[name], name, o))
        pd.concat(rows).to_csv(o.out, index=False)
        t = rows[-1]
        first = t.iloc[0]
        print(f"\n{name}: {first['folds']} folds, {first['experiments']:,} experiments of {first['perturbations']} perturbations")
        t = t.assign(score=[f'{v:.4f} [{l:.4f}, {h:.4f}]' for v, l, h in zip(t['value'], t['low'], t['high'])],
            gain=['' if m == 'LPM' else f'{v:+.4f} [{l:+.4f}, {h:+.4f}]'
                for m, v, l, h in zip(t['method'], t['gain'], t['gain_low'], t['gain_high'])])
        for metric, g in t.groupby('metric', sort=False):
            print(g.set_index('method')[['score', 'gain']].rename(columns=dict(score=metric, gain='LPM better by')).to_string(), flush=True)

if __name__ == '__main__': main()
