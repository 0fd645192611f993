"""Pairs from all single perturbations and a few pairs: the LPM, and the sum of the measured singles.

python benchmarks/few_pairs.py [--screens horlbeck-jurkat norman-gamma] [--pairs 0 10 40 150 600 2500] [--seed 0]
python benchmarks/few_pairs.py --screens cells --pairs 0 5 20 50   # a simulated Perturb-seq screen of one line, 60 cells of each
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.data.screen import Screen
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import fit_lpm

def cells(seed, *, genes=300, targets=24, share=.3, n=60):
    "Counts of cells with one or two genes activated, whose effects multiply; z-scores of log counts, averaged."
    g = np.random.default_rng(seed)
    base = 2 * g.gamma(1., 1., genes)
    E = np.where(g.random((targets, genes)) < .15, g.normal(0, .8, (targets, genes)), 0)
    E[np.arange(targets), np.arange(targets)] = 2
    groups = [()] * 10 + [(i,) for i in range(targets)] + [(i, j) for i in range(targets) for j in range(i) if g.random() < share]
    what = [m for m in groups for _ in range(n)]
    depth = g.lognormal(0, .3, (len(what), 1))
    X = g.poisson(base * np.exp([sum((E[i] for i in m), np.zeros(genes)) for m in what]) * depth)
    X = np.log1p(1e4 * X / X.sum(1, keepdims=True))
    none = X[:10 * n]
    Z = (X - none.mean(0)) / np.maximum(none.std(0), .05)
    return Screen.from_arrays(Z.astype(np.float32), perturbation=['+'.join(f'CRISPRa:G{i}' for i in sorted(m)) for m in what], context=['A549|cells'] * len(what),
        readouts=[f'expr:G{i}' for i in range(genes)], name='cells', unit='z', replicates='mean')

def alike(a, b):
    "Correlation: of growth over the pairs, of profiles over the readouts of each pair, in the mean."
    return np.corrcoef(a[:, 0], b[:, 0])[0, 1] if a.shape[1] == 1 else np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b)])

def table(name, pairs, seed):
    "One row for each number of known pairs, judged on the same 3,000 others (or half of them all)."
    s = cells(seed) if name == 'cells' else read_screen(name)
    P = s.obs['perturbation'].astype(str).to_numpy()
    size = np.array([len(s.members[p]) for p in P])
    alone = {p: v for p, v in zip(P[size == 1], s.X[size == 1])}
    control = s.X[size == 0].mean(0) if (size == 0).any() else 0.
    two = np.random.default_rng(seed).permutation(np.flatnonzero(size == 2))
    rest = two[-3000:] if len(two) > 6000 else two[len(two) // 2:]
    asked = np.array([i for i in rest if all(a in alone for a in P[i].split('+'))])
    y = s.X[asked]
    added = np.array([sum(alone[a] - control for a in P[i].split('+')) + control for i in asked])
    for k in (k for k in pairs if k <= len(two) - len(rest)):
        seen = size < 2
        seen[two[:k]] = True
        start = time.process_time()
        mean, std = fit_lpm(s.select(seen), seed=seed).predict_screen(name, s.obs.iloc[asked])
        yield dict(screen=name, pairs=k, r=alike(mean, y), mse=((mean - y)**2).mean(), within_90=(np.abs(mean - y) < 1.645 * std).mean(),
            sum_r=alike(added, y), sum_mse=((added - y)**2).mean(), cpu_s=time.process_time() - start)

if __name__ == '__main__':
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument('--screens', nargs='+', default=['horlbeck-jurkat', 'norman-gamma'])
    ask.add_argument('--pairs', nargs='+', type=int, default=[0, 10, 40, 150, 600, 2500])
    ask.add_argument('--seed', type=int, default=0)
    a = ask.parse_args()
    warnings.simplefilter('ignore')
    print(pd.DataFrame([r for n in a.screens for r in table(n, a.pairs, a.seed)]).round(5).to_string(index=False))
