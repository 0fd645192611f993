"""Experiments that are means of few and of many cells, and controls that are exact, simulated: what it gives to weigh them by what the screen tells.

python benchmarks/replicates.py [--seeds 0 1 2]              # half of the experiments few cells, half many; error against the truth
python benchmarks/replicates.py --controls [--seeds 0 1 2]   # lines with a control and one, three or five perturbations; new measurements
"""
import argparse, warnings
import numpy as np
import pandas as pd
from lpm_nb.data.screen import Screen
from lpm_nb.model.learner import fit_lpm

def simulate(seed, *, P, C, r, eff=.5, line=.5, inter=.35, rank=4):
    "A generator, levels (C, r), and effects (P, C, r): what a perturbation does everywhere, by the line's sensitivity, and an interaction of both."
    g = np.random.default_rng(seed)
    level = g.normal(0, 1, r) * 2 + g.normal(0, line, (C, r))
    load = g.normal(0, 1, (rank, r))
    E = (g.normal(0, 1, (P, rank)) @ load / np.sqrt(rank) * .7 + g.normal(0, .7, (P, r))) * eff * np.exp(g.normal(0, .5, (P, 1)))
    sensitive = np.exp(g.normal(0, .3, C))
    both = np.einsum('pk,ck,kr->pcr', g.normal(0, 1, (P, rank)), g.normal(0, 1, (C, rank)), load) / rank * inter * .7 + g.normal(0, inter * .3, (P, C, r))
    return g, level, E[:, None] * sensitive[:, None] + both * np.exp(g.normal(0, .3, (P, 1, 1)))

def screen(pairs, X, n=None):
    "Pairs (perturbation, context), -1 = control."
    return Screen.from_arrays(np.asarray(X, np.float32), perturbation=['' if p < 0 else f'CRISPRi:G{p}' for p, _ in pairs],
        context=[f'L{c}|a' for _, c in pairs], readouts=[f'expr:R{k}' for k in range(X.shape[1])], name='s', n_replicates=n)

def ask(pairs): return pd.DataFrame([dict(perturbation=f'CRISPRi:G{p}', context=f'L{c}|a') for p, c in pairs])

def ridge(pairs, X, asked, w, alpha=.3):
    "Weighted least squares of perturbation + context."
    P, C = 1 + max(p for p, _ in pairs), 1 + max(c for _, c in pairs)
    def design(q):
        M = np.zeros((len(q), P + C))
        for i, (p, c) in enumerate(q):
            if p >= 0: M[i, p] = 1
            M[i, P + c] = 1
        return M
    A, centre = design(pairs), np.average(X, axis=0, weights=w)
    G = A.T @ (A * w[:, None]) + np.diag(np.r_[np.full(P, alpha), np.full(C, .01)])
    return design(asked) @ np.linalg.solve(G, A.T @ ((X - centre) * w[:, None])) + centre

def rmse(a, b): return float(np.sqrt(np.mean((a - b)**2)))

def of_replicates(few, many, r, seed, P=40, C=6, sd=3.):
    g, level, D = simulate(seed, P=P, C=C, r=r, eff=.6)
    n = np.where(g.random((P, C)) < .5, few, many)
    T = level + D
    Y = T + g.normal(0, 1, T.shape) * sd / np.sqrt(n)[..., None]
    control = level + g.normal(0, 1, level.shape) * sd / np.sqrt(300)
    out = g.random((P, C)) < .2
    pairs, asked = ([x for x in np.ndindex(P, C) if out[x] == q] for q in (False, True))
    rows, bare = pairs + [(-1, c) for c in range(C)], np.r_[[n[x] for x in pairs], np.full(C, 300)]
    X, t = np.r_[np.array([Y[x] for x in pairs]), control], np.array([T[x] for x in asked])
    good = bare > few
    def lpm(rows, X, n): return rmse(fit_lpm(screen(rows, X, n), seed=0).predict(ask(asked), unknown='prior').X, t)
    return dict(few=few, many=many, readouts=r, seed=seed, alike=lpm(rows, X, None), weighted=lpm(rows, X, bare),
        many_only=lpm([x for x, k in zip(rows, good) if k], X[good], None), ridge=rmse(ridge(rows, X, asked, bare / bare.mean()), t))

def of_controls(noise, seed, P=40, C=12, r=1, known=(1, 1, 3, 3, 5, 5)):
    g, level, D = simulate(seed, P=P, C=C, r=r)
    Y = level + D
    Y = Y + g.normal(0, noise, Y.shape)
    control = level + g.normal(0, noise * .5, level.shape)
    out = np.zeros((P, C), bool)
    for c, k in enumerate(known):
        out[:, c] = True
        out[g.choice(P, k, replace=False), c] = False
    pairs, asked = ([x for x in np.ndindex(P, C) if out[x] == q] for q in (False, True))
    X = np.array([Y[x] for x in pairs])
    said = fit_lpm(screen(pairs + [(-1, c) for c in range(C)], np.r_[X, control]), seed=0).predict(ask(asked)).X
    effect = np.full((P, C, r), np.nan)
    for p, c in pairs: effect[p, c] = Y[p, c] - control[c]
    by_hand = np.array([control[c] + np.nanmean(effect[p], 0) for p, c in asked])
    y, k = np.array([Y[x] for x in asked]), np.array([known[c] for _, c in asked])
    return [dict(noise=noise, known=q, seed=seed, LPM=rmse(said[k == q], y[k == q]), control_and_mean_effect=rmse(by_hand[k == q], y[k == q])) for q in sorted(set(known))]

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument('--controls', action='store_true')
    a.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    a = a.parse_args()
    warnings.simplefilter('ignore')
    if a.controls:
        t = pd.DataFrame([q for noise in (.15, .4) for s in a.seeds for q in of_controls(noise, s)])
        print(t.groupby(['noise', 'known'])[['LPM', 'control_and_mean_effect']].agg(lambda x: np.sqrt((x**2).mean())).round(4).to_string())
    else:
        t = [of_replicates(*q, s) for q in ((2, 200, 40), (10, 100, 40)) for s in a.seeds]
        t += [of_replicates(2, 200, 2, s, P=80, C=10) for s in a.seeds]
        print(pd.DataFrame(t).round(3).to_string(index=False))
