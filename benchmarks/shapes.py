"""Screens of many shapes, simulated so that the best answer is known: does the LPM stay behind something simple?

Pairs in several lines, lines with singles only, profiles of combinations, dose curves and single doses of them, sparse signatures, knock-outs of many genes, small profile screens, effects with heavy tails. Mean squared error on held-out experiments (of combinations where there are some), beside the best of the baselines and the noise; how many values lie in the 90 % interval, and the mean square of errors in units of the predicted standard deviation (1 = honest).
    python benchmarks/shapes.py [--seeds 2] [--only pairs] [--out shapes]
"""
import argparse, itertools, time, warnings
from pathlib import Path
import numpy as np, pandas as pd
from lpm_nb.core import LPMError
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.split import Split, split_pairs
from lpm_nb.model.baselines import BASELINES, INFORMED, fit_baseline
from lpm_nb.model.learner import fit_lpm
warnings.simplefilter('ignore')

def drug_pairs(seed, drugs=30, lines=12, shared=1., causes=2, last=False):
    "All pairs and singles of some drugs; what a pair adds is shared by the lines, the rest of it has some causes. last: the last line has singles only."
    g = np.random.default_rng(seed)
    alone = .7 * g.normal(size=(drugs, 1)) + .4 * g.normal(size=(drugs, lines))
    two = list(itertools.combinations(range(drugs), 2))
    add = .5 * (np.sqrt(shared) * g.normal(size=(len(two), 1)) + np.sqrt((1 - shared) / causes) * g.normal(size=(len(two), causes)) @ g.normal(
        size=(causes, lines)))
    rows = [(m, c) for c in range(lines) for m in [*two, *((i,) for i in range(drugs))]]
    where = {m: k for k, m in enumerate(two)}
    y = np.array([alone[list(m), c].sum() + (add[where[m], c] if len(m) == 2 else 0) for m, c in rows]) + .3 * g.normal(size=len(rows))
    s = Screen.from_arrays(y[:, None], perturbation=['+'.join(f'drug:d{i:02}' for i in m) for m, _ in rows],
        context=[f'line{c:02}' for _, c in rows], readouts=['viability'], name='shape')
    pair = np.array([len(m) == 2 for m, _ in rows])
    return s, (pair & np.array([c == lines - 1 for _, c in rows])) if last else pair, last, .09

def gene_pairs(seed, genes=100, pairs=130, contexts=1, readouts=1000, noise=.7, add=.5):
    "Profiles of singles and of some pairs: sums along eight programmes, and what pairs add."
    g = np.random.default_rng(seed)
    B = g.normal(size=(8, readouts)) / np.sqrt(8)
    own = g.normal(size=(genes, 8)) * g.gamma(1, 1, (genes, 1))
    here = .4 * g.normal(size=(contexts, genes, 8))
    every = list(itertools.combinations(range(genes), 2))
    two = [every[i] for i in g.choice(len(every), pairs, replace=False)]
    more = add * g.normal(size=(pairs, 8))
    level = g.normal(size=(contexts, readouts))
    rows, X = [], []
    for c in range(contexts):
        for m, plus in [*(((i,), 0) for i in range(genes)), *zip(two, more)]:
            rows.append((m, c))
            X.append(level[c] + (sum(own[i] + here[c, i] for i in m) + plus) @ B + noise * g.normal(size=readouts))
    s = Screen.from_arrays(np.array(X), perturbation=['+'.join(f'KO:g{i:03}' for i in m) for m, _ in rows], context=[f'c{c}' for _, c in rows],
        readouts=[f'r{i}' for i in range(readouts)], name='shape')
    return s, np.array([len(m) == 2 for m, _ in rows]), False, noise**2

def dose_curves(seed, drugs=60, lines=30, readouts=1, noise=.1):
    "Hill curves over five doses; height and EC50 of a drug differ between lines."
    g = np.random.default_rng(seed)
    d = np.array([.1, .3, 1, 3, 10.])
    high = g.normal(size=(drugs, 1, readouts)) + .5 * g.normal(size=(drugs, lines, readouts))
    ec = g.normal(size=(drugs, 1)) + .5 * g.normal(size=(drugs, lines))
    curve = 1 / (1 + np.exp(-2 * (np.log(d) - ec[..., None])))
    Y = high[:, :, None] * curve[..., None] + noise * g.normal(size=(drugs, lines, 5, readouts)) + g.normal(size=(1, lines, 1, readouts))
    i, c, k = np.indices((drugs, lines, 5)).reshape(3, -1)
    s = Screen.from_arrays(Y[i, c, k], perturbation=[f'drug:d{x:03}' for x in i], context=[f'line{x:02}' for x in c], dose=d[k],
        readouts=[f'r{q}' for q in range(readouts)] if readouts > 1 else ['viability'], name='shape')
    return s, np.ones(len(i), bool), False, noise**2

def signatures(seed, drugs=150, lines=20, readouts=100, noise=1.):
    "As in a public collection of signatures: of each drug some doses, times and lines, 15 drugs in all lines; both make an effect grow."
    g = np.random.default_rng(seed)
    doses, times = np.array([.04, .12, .37, 1.1, 3.3, 10.]), np.array([6., 24.])
    B = 1.5 * g.normal(size=(8, readouts)) / np.sqrt(8)
    z = g.normal(size=(drugs, 8)) * g.gamma(1, 1, (drugs, 1))
    here = .5 * g.normal(size=(lines, drugs, 8)) * np.abs(z).mean(1)[:, None]
    level, ec, slow, rows = g.normal(size=(lines, readouts)), .7 * g.normal(size=drugs), g.uniform(.3, 1, drugs), []
    for i in range(drugs):
        for l in np.arange(lines) if i < 15 else g.choice(lines, g.integers(3, 6), replace=False):
            for d in doses if i < 40 else doses[np.sort(g.choice(6, g.integers(1, 4), replace=False))]:
                rows += [(i, l, d, t) for t in (times if g.random() < .5 else times[[g.integers(0, 2)]])]
    (i, l), (d, t) = np.array([r[:2] for r in rows]).T, np.array([r[2:] for r in rows]).T
    size = np.where(t < 10, slow[i], 1) / (1 + np.exp(-1.5 * (np.log(d) - ec[i])))
    s = Screen.from_arrays(level[l] + (size[:, None] * (z[i] + here[l, i])) @ B + noise * g.normal(size=(len(i), readouts)), perturbation=[f'drug:d{k:03}' for k in i],
        context=[f'line{k:02}' for k in l], dose=d, time=t, readouts=[f'r{k}' for k in range(readouts)], name='shape')
    return s, np.ones(len(i), bool), False, noise**2

def one_amount(made, seed, share=.2):
    "Of a share of the pairs that were tried at several doses or times, one of them is to be predicted from the others."
    s, _, _, noise = made
    g = np.random.default_rng(seed + 99)
    asked = np.zeros(s.n_experiments, bool)
    for rows in s.obs.reset_index(drop=True).groupby(['perturbation', 'context'], observed=True).indices.values():
        if len(rows) > 1 and g.random() < share: asked[g.choice(rows)] = True
    return s, asked, True, noise

def neighbours(s, test):
    "The mean of the two nearest doses or times of the same pair."
    o = s.obs.reset_index(drop=True)
    x = np.log(np.nan_to_num(o[['dose', 'time']].to_numpy(float), nan=1.))
    of = {k: rows[~test[rows]] for k, rows in o.groupby(['perturbation', 'context'], observed=True).indices.items()}
    def mean(i):
        rows = of[o.perturbation[i], o.context[i]]
        return s.X[rows[np.argsort(np.abs(x[rows] - x[i]).sum(1))[:2]]].mean(0)
    return np.array([mean(i) for i in np.flatnonzero(test)])

def sums(seed, genes=60, contexts=6, readouts=100, noise=.3):
    "Additive profiles."
    g = np.random.default_rng(seed)
    i, c = np.indices((genes, contexts)).reshape(2, -1)
    Y = g.normal(size=(genes, 1, readouts)) + 1.5 * g.normal(size=(contexts, readouts)) + noise * g.normal(size=(genes, contexts, readouts))
    s = Screen.from_arrays(Y[i, c], perturbation=[f'KO:g{k:03}' for k in i], context=[f'c{k}' for k in c], readouts=[f'r{k}' for k in range(readouts)],
        name='shape')
    return s, np.ones(len(i), bool), False, noise**2

def heavy_tails(seed, genes=30, contexts=12, readouts=50, noise=.7):
    "Most genes do little and a few very much; what contexts add is as large for all."
    g = np.random.default_rng(seed)
    i, c = np.indices((genes, contexts)).reshape(2, -1)
    B = g.normal(size=(5, readouts))
    Y = (g.normal(size=(genes, 1, 5)) * g.gamma(1, 1, (genes, 1, 1)) + .6 * g.normal(size=(genes, contexts, 5))) @ B + 1.5 * g.normal(
        size=(contexts, readouts)) + noise * g.normal(size=(genes, contexts, readouts))
    s = Screen.from_arrays(Y[i, c], perturbation=[f'KO:g{k:03}' for k in i], context=[f'c{k}' for k in c], readouts=[f'r{k}' for k in range(readouts)],
        name='shape')
    return s, np.ones(len(i), bool), False, noise**2

def knock_outs(seed, genes=600, lines=120, noise=.12, causes=30):
    "Growth after the loss of every gene: one in eight is essential, most do next to nothing, and one in twenty matters in a few lines only."
    g = np.random.default_rng(seed)
    tissue = g.integers(0, 12, lines)
    i, c = np.indices((genes, lines)).reshape(2, -1)
    state = (.6 * g.normal(size=(12, causes))[tissue] + .8 * g.normal(size=(lines, causes))) * np.linspace(1, .2, causes)
    essential = g.random(genes) < .12
    size = 1.4 * np.where(essential, .25, .08) * g.gamma(2, .5, genes) / np.sqrt(causes)
    Y = -1. * essential[:, None] + size[:, None] * g.normal(size=(genes, causes)) @ state.T + .03 * g.normal(size=lines) + noise * g.normal(size=(genes, lines))
    Y -= .8 * ((g.random(genes) < .05)[:, None] & (g.random((genes, lines)) < .03))
    s = Screen.from_arrays(Y[i, c, None], perturbation=[f'KO:g{k:03}' for k in i], context=[f'line{k:03}' for k in c], readouts=['growth'], name='shape')
    return s, np.ones(len(i), bool), False, noise**2

SHAPES = {
    'pairs of 30 drugs, 12 lines, alike in all': drug_pairs, 'pairs of 30 drugs, 3 lines, alike in all': lambda s: drug_pairs(s, lines=3),
    'pairs of 30 drugs, 3 lines, nothing alike': lambda s: drug_pairs(s, lines=3, shared=0, causes=435),
    'pairs of 40 drugs, 30 lines, half alike': lambda s: drug_pairs(s, drugs=40, lines=30, shared=.5),
    'pairs of 30 drugs, 12 lines, of the last singles only': lambda s: drug_pairs(s, last=True),
    'pairs of 30 drugs, 3 lines, of the last singles only': lambda s: drug_pairs(s, lines=3, last=True),
    'pairs: profiles of 100 genes and 130 pairs, one context': gene_pairs,
    'pairs: profiles of 40 genes and 120 pairs, 3 contexts': lambda s: gene_pairs(s, 40, 120, 3, 300, 1., .7),
    'doses: 60 drugs, 30 lines, growth': dose_curves, 'doses: 60 drugs, 4 lines, 100 readouts': lambda s: dose_curves(s, lines=4, readouts=100, noise=.5),
    'signatures: 150 drugs, 20 lines, 6 doses, 2 times': signatures,
    'one dose of a pair: 60 drugs, 30 lines, growth': lambda s: one_amount(dose_curves(s), s),
    'one dose or time of a pair: 150 drugs, 20 lines': lambda s: one_amount(signatures(s), s),
    'knock-outs of 600 genes, 120 lines, growth': knock_outs, 'sums: 60 genes, 6 contexts, 100 readouts': sums, 'tails: 30 genes, 12 contexts, 50 readouts': heavy_tails,
    'tails: 200 genes, 4 contexts, 100 readouts': lambda s: heavy_tails(s, 200, 4, 100)}

def main():
    ask = argparse.ArgumentParser()
    ask.add_argument('--seeds', type=int, default=2)
    ask.add_argument('--only', default='')
    ask.add_argument('--out', type=Path, default=Path('shapes'))
    a = ask.parse_args()
    lines = []
    for name, make in SHAPES.items():
        if a.only not in name: continue
        for seed in range(a.seeds):
            s, asked, whole, noise = make(seed)
            atlas = Atlas(s)
            test = asked if whole else split_pairs(atlas, test=.2, seed=seed).test['shape'] & asked
            Y = s.X[test]
            split = Split('shape', {'shape': ~test}, {'shape': np.zeros(len(test), bool)}, {'shape': test}, seed)
            partly = name.startswith('one dose')
            if partly:
                atlas, none = Atlas(s.select(~test)), np.zeros((~test).sum(), bool)
                split = Split('shape', {'shape': ~none}, {'shape': none}, {'shape': none}, seed) # known in part
            start = time.process_time()
            model = fit_lpm(atlas, split=split, seed=seed)
            cost = time.process_time() - start
            mean, std = model.predict_screen('shape', s.obs[test], unknown='prior')
            z = (mean - Y) / std
            others = {}
            if partly: others['two nearest amounts'] = float(((neighbours(s, test) - Y)**2).mean())
            for b in BASELINES:
                if b in INFORMED: continue
                try: others[b] = float(((fit_baseline(b, atlas, split=split).predict_screen('shape', s.obs[test])[0] - Y)**2).mean())
                except LPMError: pass                                          # it does not fit the shape
            best = min(others, key=others.get)
            lines.append(dict(shape=name, seed=seed, LPM=((mean - Y)**2).mean(), best=others[best], baseline=best, noise=noise,
                in_90=(np.abs(z) < 1.645).mean(), z2=(z**2).mean(), cpu_seconds=cost))
            print(lines[-1], flush=True)
    t = pd.DataFrame(lines)
    a.out.mkdir(parents=True, exist_ok=True)
    t.to_csv(a.out/'shapes.csv', index=False)
    print(t.round(4).to_string(index=False))

if __name__ == '__main__': main()
