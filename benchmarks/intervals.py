"""Are intervals what they say, where little is known? Held-out values inside the 50, 90 and 95 % interval, and the root mean square of errors in units of the predicted standard deviation.

python benchmarks/intervals.py [--cases elsewhere few triples own little] [--seeds 3]

elsewhere   simulated: drugs that one assay has tried, asked in another (they act alike with r .5)
few         simulated: a handful of pairs in all
triples     simulated: singles and pairs known, three at a time asked
own         CRISPRa in macrophages, a fifth of the genes withheld: their own transcripts
little      GDSC2, 150 drugs in 220 lines: forty lines have 8 % of the drugs, 25 drugs 7 % of the lines
"""
import argparse, warnings
from itertools import combinations
import numpy as np
import pandas as pd
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import fit_lpm

def plates(g, perturbations, contexts, readouts, noise=.3):
    "Perturbations × contexts × readouts: sums, two interactions, noise."
    shape = perturbations, contexts, readouts
    sums = g.normal(size=(perturbations, 1, readouts)) + g.normal(size=(1, contexts, readouts))
    mixed = np.einsum('pk,ckr->pcr', g.normal(size=(perturbations, 2)), g.normal(size=(contexts, 2, readouts))) * .5 / 2**.5
    return sums + mixed + noise * g.normal(size=shape)

def as_screen(Y, mask, assay='s', name='s'):
    "The marked cells of such a table; (screen, a table of the others)."
    def labels(k):
        i, j = np.nonzero(k)
        return dict(perturbation=[f'drug:{x:03}' for x in i], context=[f'line{x}|{assay}' for x in j])
    rest = ~mask
    return (Screen.from_arrays(Y[mask], **labels(mask), readouts=[f'{assay}{r}' for r in range(Y.shape[2])], name=name, unit=assay),
        pd.DataFrame(labels(rest)), Y[rest])

def z_of(model, screen, asked, y):
    mean, std = model.predict_screen(screen, asked, unknown='prior')
    return (mean - y) / std

def elsewhere(seed):
    for readouts in (1, 30):
        g = np.random.default_rng(seed)
        A, B = plates(g, 80, 10, readouts), plates(g, 80, 10, readouts)
        B = .75**.5 * B + .5 * A.mean(1, keepdims=True)
        in_a, in_b = np.zeros((80, 10), bool), np.zeros((80, 10), bool)
        in_a[:60] = True
        in_b[20:] = g.random((60, 10)) > .15
        a, b = as_screen(A, in_a, 'A', 'A')[0], as_screen(B, in_b, 'B', 'B')
        model = fit_lpm(Atlas([a, b[0]]), seed=seed)
        new = b[1]['perturbation'] < 'drug:020'
        for what, k in (('pairs of the second assay', ~new), ('drugs of the first, in the second', new)):
            yield f'{what}, {readouts} readout{"s" * (readouts > 1)}', z_of(model, 'B', b[1][k], b[2][k])

def few(seed):
    for p, c, r in ((3, 2, 1), (4, 3, 1), (5, 4, 1), (8, 4, 1), (3, 3, 5)):
        g = np.random.default_rng(seed)
        Y = plates(g, p, c, r)
        mask = np.random.default_rng(100 + seed).random((p, c)) > .25
        if mask.all() or mask.sum() < 4: continue
        s, asked, y = as_screen(Y, mask)
        yield f'about {round(p * c * .75)} pairs known, {r} readout{"s" * (r > 1)}', z_of(fit_lpm(s, seed=seed), 's', asked, y)

def triples(seed):
    for r in (1, 30):
        g = np.random.default_rng(seed)
        effect, level = g.normal(size=(14, r)), g.normal(size=(2, r))
        W = g.normal(size=(14, 14, r)) * .3
        W += W.transpose(1, 0, 2)
        rows = [(m, c) for c in range(2) for k in range(4) for m in combinations(range(14), k)]
        size = np.array([len(m) for m, _ in rows])
        Y = np.array([level[c] + sum((effect[i] for i in m), np.zeros(r)) + sum((W[i, j] for i, j in combinations(m, 2)), np.zeros(r)) for m, c in rows])
        Y += .2 * g.normal(size=Y.shape)
        t = pd.DataFrame(dict(perturbation=['+'.join(f'KO:g{i:02}' for i in m) for m, _ in rows], context=[f'c{c}' for _, c in rows]))
        asked = (size == 3) | ((size == 2) & (g.random(len(size)) < .2))
        s = Screen.from_arrays(Y[~asked], **t[~asked], readouts=[f'r{k}' for k in range(r)], name='s')
        model = fit_lpm(s, seed=seed)
        for what, k in (('pairs', asked & (size == 2)), ('three at a time', size == 3)): yield f'{what}, {r} readout{"s" * (r > 1)}', z_of(model, 's', t[k], Y[k])

def own(seed):
    a, g = read_screen('macrophage-crispra'), np.random.default_rng(seed + 3)
    genes = [p for p in a.perturbations if p]
    held = a.obs['perturbation'].isin(set(g.choice(genes, 35, replace=False))).to_numpy()
    z = z_of(fit_lpm(Atlas([a.select(~held), read_screen('macrophage-crispri')]), seed=seed), a.name, a.obs[held], a.X[held])
    at = {r.removeprefix('expr:'): j for j, r in enumerate(a.readouts)}
    mine = [at.get(p.partition(':')[2], -1) for p in a.obs['perturbation'][held].astype(str)]
    yield 'own transcripts of new genes', np.array([row[j] for row, j in zip(z, mine) if j >= 0])
    yield 'all that is read of them', z.ravel()

def little(seed):
    s, g = read_screen('gdsc2'), np.random.default_rng(seed + 5)
    drugs, lines = (set(g.choice(x, n, replace=False)) for x, n in (([p for p in s.perturbations if p], 150), (s.contexts, 220)))
    s = s.select((s.obs['perturbation'].isin(drugs) & s.obs['context'].isin(lines)).to_numpy())
    o = s.obs
    line, drug = (o[c].isin(g.choice(x, n, replace=False)).to_numpy() for c, x, n in (('context', s.contexts, 40), ('perturbation', s.perturbations, 25)))
    train = g.random(len(o)) < np.where(line & drug, .05, np.where(line, .08, np.where(drug, .07, .85)))
    model = fit_lpm(s.select(train), seed=seed)
    met = o['perturbation'].isin(set(o['perturbation'][train])) & o['context'].isin(set(o['context'][train]))
    ask = ~train & met.to_numpy()
    z = z_of(model, s.name, o[ask], s.X[ask])
    for what, k in (('others', ~line & ~drug), ('lines with 8 % of the drugs', line & ~drug), ('drugs tried in 7 % of the lines', drug & ~line), ('both', line & drug)):
        for j, r in enumerate(s.readouts): yield f'{what}, {r.partition(":")[2]}', z[k[ask], j]

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = dict(elsewhere=elsewhere, few=few, triples=triples, own=own, little=little)
    p.add_argument('--cases', nargs='+', choices=cases, default=list(cases))
    p.add_argument('--seeds', type=int, default=3)
    a = p.parse_args()
    warnings.simplefilter('ignore')
    for case in a.cases:
        found = {}
        for seed in range(a.seeds):
            for what, z in cases[case](seed): found.setdefault(what, []).append(z[~np.isnan(z)].ravel())
        print(f'\n{case}')
        found = {k: np.concatenate(v) for k, v in found.items()}
        print(pd.DataFrame([dict(asked=k, values=len(z), **{f'in {w} %': (np.abs(z) < q).mean() for w, q in ((50, .674), (90, 1.645), (95, 1.96))}, rms_z=np.sqrt((z**2).mean()))
            for k, z in found.items()]).round(2).to_string(index=False), flush=True)
