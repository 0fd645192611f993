"""Genes, drugs and cell lines that no screen has, predicted from what is known of them beforehand: does it work, and is it as sure as it says?

A fifth of the perturbations is withheld from every screen and context; those that have a vector are judged. The LPM is given relations of genes (STRING, CORUM, Reactome),
structures of molecules (Morgan fingerprints) or targets and mechanisms (Drug Repurposing Hub, DrugBank); beside it a random forest
on the same vectors where it fits into memory, the mean of the five most similar known perturbations, and the context's mean.
Pairs of genes, of which one or both are among a fifth of the genes withheld in all their pairs and alone; beside it the sum of what the model says of the known member and of the mean gene.
Then a fifth of GDSC2's lines, of which the tissue is known, or GDSC1's measurements; beside it the drug's mean over the tissue, shrunk towards its mean over all lines,
and what the model says for GDSC1 of the drug in the line. Last a context of which nothing is known: each seed leaves out another one;
beside it the mean of the perturbation over the others, as it is and shrunk. Intervals resample perturbations.

    python benchmarks/unseen.py --seeds 0 1 2
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.analysis.benchmark import evaluate
from lpm_nb.analysis.knowledge import read_mechanisms, read_targets
from lpm_nb.core import DataError, parse_context, rng
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_annotation, read_screen
from lpm_nb.data.split import Split, split_perturbations
from lpm_nb.model.baselines import fit_baseline
from lpm_nb.model.descriptors import check_vectors, find_vectors, line_vectors, relation_vectors, set_vectors, structure_vectors
from lpm_nb.model.learner import fit_lpm

def structures(): return structure_vectors(read_annotation('gdsc-structures').set_index('drug')['smiles'])

def pharmacology():
    "Targets and mechanisms of action of drugs."
    return pd.concat([set_vectors(read_mechanisms()), set_vectors(read_targets().rename(columns=dict(gene='set', drug='gene')))],
        axis=1).fillna(0)

def both():
    "Structures, and what is known of the drugs, of equal length."
    a, b = structures(), pharmacology()
    b.index = [i.partition(':')[2] for i in b.index]
    return pd.concat([x.div(np.linalg.norm(x, axis=1), axis=0) for x in (a, b[~b.index.duplicated()])], axis=1).fillna(0)

CASES = {'Replogle K562, relations': (('replogle-k562', 'replogle-rpe1'), relation_vectors, 'delta r'),
    'Replogle RPE1, relations': (('replogle-rpe1', 'replogle-k562'), relation_vectors, 'delta r'),
         'macrophage CRISPRi, relations': (('macrophage-crispri', 'macrophage-crispra'), relation_vectors, 'delta r'),
             'NeurIPS, targets and mechanisms': (('neurips2023',), pharmacology, 'delta r'),
         'GDSC2, structures': (('gdsc2', 'gdsc1'), structures, 'within r'),
             'GDSC2, structures, targets, mechanisms': (('gdsc2', 'gdsc1'), both, 'within r')}

LINES = {'GDSC2 lines, tissues': (('gdsc2',), 'tissues'), 'GDSC2 lines, known from GDSC1': (('gdsc2', 'gdsc1'), 'screens')}

PAIRS = {'Norman, pairs with an unseen gene': ('norman-gamma',), 'Horlbeck Jurkat, pairs with an unseen gene': ('horlbeck-jurkat', 'horlbeck-k562')}

CONTEXTS = {'NeurIPS, a new cell type': 'neurips2023'}

class Given:
    "Predictions that are there already."
    def __init__(self, mean, std=None): self.mean, self.std = mean, std
    def predict_screen(self, screen, table): return self.mean, self.std

def most_similar(atlas, split, vectors, screen, k=5):
    "Mean effect of the most similar known perturbations in the same context, shrunk towards none."
    s = atlas[screen]
    train, o = split.train[screen], s.obs
    known = sorted({p for p in o['perturbation'][train].astype(str) if p})
    at = find_vectors(vectors, known)
    known, at = np.array(known, object)[at >= 0], at[at >= 0]
    U = vectors.to_numpy() / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    C = o['context'].astype(str).to_numpy()
    P = o['perturbation'].astype(str).to_numpy()
    mean = {c: np.nanmean(s.X[train & (C == c)], 0) for c in s.contexts}
    row = {(p, c): i for i, (p, c, m) in enumerate(zip(P, C, train)) if m}
    out = []
    for p, c in zip(P[split.test[screen]], C[split.test[screen]]):
        j = find_vectors(vectors, [p])[0]
        best = known[np.argsort(-(U[at] @ U[j]))] if j >= 0 else []
        near = [row[q, c] for q in best if (q, c) in row][:k]
        out.append(mean[c] + (np.nan_to_num(s.X[near] - mean[c]).sum(0) / (len(near) + 1) if near else 0))
    return np.array(out, np.float32)

def one(name, seed):
    screens, read, metric = CASES[name]
    atlas = Atlas([read_screen(n) for n in screens])
    split = split_perturbations(atlas, test=.2, valid=0., seed=seed)
    screen, vectors = screens[0], check_vectors(read())
    described = {n: split.test[n] & (find_vectors(vectors, s.obs['perturbation'].astype(str)) >= 0) for n, s in atlas.items()}
    share = described[screen].sum() / split.test[screen].sum()
    split = Split(split.name, split.train, split.valid, described, seed)
    model = fit_lpm(atlas, split=split, seed=seed, device='cpu')
    start = time.process_time()
    told = model.with_descriptors(vectors)
    o = atlas[screen].obs[split.test[screen]]
    mean, std = told.predict_screen(screen, o)
    cost = time.process_time() - start
    z = (atlas[screen].X[split.test[screen]] - mean) / std
    z = z[~np.isnan(z)]
    methods = {'LPM with descriptors': Given(mean, std), 'LPM without': Given(*model.predict_screen(screen, o, unknown='prior'))}
    rest = {n: split.train[n] | split.valid[n] for n in atlas}
    seen = atlas.select(rest)
    blind = Split(split.name, *({n: part[n][rest[n]] for n in atlas} for part in (split.train, split.valid, split.test)), split.seed)
    if sum(s.n_experiments for s in seen.values()) * vectors.shape[1] < 1e8:
        methods['random forest'] = fit_baseline('random forest', seen, split=blind, seed=seed,
            knowledge=vectors.rename(index=lambda x: x.rpartition(':')[2]))
    methods['five most similar'] = Given(most_similar(atlas, split, vectors, screen))
    methods['context mean'] = fit_baseline('context mean', seen, split=blind, seed=seed)
    t = evaluate(methods, atlas, split=split, screens=[screen], seed=seed).summary
    t = t[t['metric'].isin([metric, 'mse', 'discrimination'])]
    s = told.descriptors.smoothers[screen, next(k for n, k in told.descriptors.smoothers if n == screen)]
    return t.assign(case=name, seed=seed, described=share, known=len(s.known), explained=s.explained, rms_z=np.sqrt((z**2).mean()),
        in_90=(np.abs(z) < 1.645).mean(), cpu_seconds=cost)

def of_pairs(name, seed):
    screens = PAIRS[name]
    atlas = Atlas([read_screen(n) for n in screens])
    screen, vectors = screens[0], check_vectors(relation_vectors())
    atoms = np.array(sorted({a for s in atlas.values() for m in s.members.values() for a in m}), object)
    away = set(rng(seed, 'genes').permutation(atoms)[:len(atoms) // 5])
    unknown = {a for a, i in zip(away, find_vectors(vectors, list(away))) if i < 0}
    def each(s, of): return np.array([of(set(m)) for m in s.members.values()])[s.obs['perturbation'].cat.codes]
    gone = {n: each(s, lambda m: bool(m & away)) for n, s in atlas.items()}
    none = {n: np.zeros(len(g), bool) for n, g in gone.items()}
    count = each(atlas[screen], lambda m: 0 if len(m) < 2 or m & unknown else len(m & away))
    model = fit_lpm(atlas, split=Split('genes', {n: ~g for n, g in gone.items()}, none, none, seed), seed=seed, device='cpu')
    start = time.process_time()
    told = model.with_descriptors(vectors)
    o = atlas[screen].obs
    parts = []
    k = count == 1
    rows = o[k]
    members = [atlas[screen].members[p] for p in rows['perturbation'].astype(str)]
    alone = pd.DataFrame([(a, c) for m, c in zip(members, rows['context'].astype(str)) for a in m], columns=['perturbation', 'context'])
    single = model.predict_screen(screen, alone.drop_duplicates(), unknown='prior')[0]
    says = dict(zip(map(tuple, alone.drop_duplicates().to_numpy()), single))
    level = {c: model.predict_screen(screen, pd.DataFrame(dict(perturbation=[''], context=[c])))[0][0] for c in set(alone['context'])}
    mean = {c: np.mean([v for (a, q), v in says.items() if q == c and a not in away], 0) for c in level}
    sums = np.array([sum(mean[c] if a in away else says[a, c] for a in m) - level[c] for m, c in zip(members, rows['context'].astype(str))])
    rest = {n: ~g for n, g in gone.items()}
    forest = fit_baseline('random forest', atlas.select(rest), split=Split('genes', {n: np.ones(r.sum(), bool) for n, r in rest.items()},
        *({n: np.zeros(r.sum(), bool) for n, r in rest.items()} for _ in range(2)), seed), seed=seed, knowledge=vectors.rename(index=lambda x: x.rpartition(':')[2]))
    for what, k in (('one of two', count == 1), ('both', count == 2)):
        m, std = told.predict_screen(screen, o[k])
        y = atlas[screen].X[k]
        z = (y - m) / std
        methods = {'LPM with descriptors': m, 'LPM without': model.predict_screen(screen, o[k], unknown='prior')[0],
            'random forest': forest.predict_screen(screen, o[k])[0], **({'known member + mean gene': sums} if what == 'one of two' else {})}
        t = evaluate({q: Given(x) for q, x in methods.items()}, atlas, split=Split('genes', rest, none, {n: k if n == screen else none[n]
            for n in atlas}, seed), screens=[screen], seed=seed).summary
        parts.append(t[t['metric'].isin(['pooled r', 'mse'])].assign(case=f'{name}: {what}', seed=seed, described=1 - len(unknown) / len(away),
            known=len(atoms) - len(away), explained=next(iter(told.descriptors.smoothers.values())).explained, rms_z=np.sqrt(np.nanmean(z**2)),
            in_90=(np.abs(z) < 1.645).mean(), cpu_seconds=time.process_time() - start))
    return pd.concat(parts)

def by_tissue(screen, train, test, k=5.):
    "A drug's mean over the tissue's known lines, shrunk towards its mean over all lines; k=None: that mean."
    lines = line_vectors()
    plain = {''.join(q for q in x.upper() if q.isalnum()): x for x in lines.index}
    kinds = [c for c in lines if c.startswith('tissue:')]
    best = (lines[kinds] > 0).idxmax(axis=1)
    of = {c: best.get(plain.get(''.join(q for q in parse_context(c)[0].upper() if q.isalnum())), '?') for c in screen.contexts}
    o = screen.obs.assign(tissue=screen.obs['context'].astype(str).map(of)).astype(dict(perturbation=str))
    X = pd.DataFrame(screen.X[train])
    mean, g = X.groupby(o['perturbation'][train].to_numpy()).mean(), X.groupby([o['perturbation'][train].to_numpy(),
        o['tissue'][train].to_numpy()])
    total, n = g.sum(), g.count()
    at = pd.MultiIndex.from_frame(o.loc[test, ['perturbation', 'tissue']])
    m = mean.reindex(o['perturbation'][test]).to_numpy()
    return m if k is None else ((total.reindex(at).fillna(0).to_numpy() + k * m)
        / (n.reindex(at).fillna(0).to_numpy() + k)).astype(np.float32)

def transferred(model, screen, other, table):
    "What another screen says of the drug in the line, less what it says of it in all lines, on top of the drug's mean."
    def ask(n, ps, cs):
        return ((model.predict_screen(n, pd.DataFrame(dict(perturbation=np.repeat(ps, len(cs)), context=np.tile(cs, len(ps)))))[0]
            - model.scaling[n][0]) / model.scaling[n][1]).reshape(len(ps), len(cs), -1)
    P, C = table['perturbation'].astype(str).to_numpy(), table['context'].astype(str).to_numpy()
    mine = [p for p in dict.fromkeys(P)]
    there = list(model.vocab.screen_contexts[other])
    sibling = {parse_context(c)[0]: i for i, c in enumerate(there)}
    E = ask(other, [f'{a}' for a in model.vocab.atoms if a], there)
    D = E - E.mean(1, keepdims=True)
    row = {a: i for i, a in enumerate(x for x in model.vocab.atoms if x)}
    level = ask(screen, mine, model.vocab.screen_contexts[screen]).mean(1)
    at = {p: i for i, p in enumerate(mine)}
    new = np.array([level[at[p]] + (D[row[p], sibling[parse_context(c)[0]]] if parse_context(c)[0] in sibling else 0)
        for p, c in zip(P, C)])
    return (new * model.scaling[screen][1] + model.scaling[screen][0]).astype(np.float32)

def one_of_lines(name, seed):
    screens, how = LINES[name]
    atlas = Atlas([read_screen(n) for n in screens])
    screen = screens[0]
    s = atlas[screen]
    contexts = np.array(s.contexts, object)
    if how == 'screens':
        known = {parse_context(c)[0] for c in atlas[screens[1]].contexts}
        contexts = np.array([c for c in contexts if parse_context(c)[0] in known], object)
    away = set(contexts[rng(seed, 'lines').permutation(len(contexts))[:len(contexts) // 5]])
    gone = {n: x.obs['context'].astype(str).isin(away).to_numpy() for n, x in atlas.items()}
    test = {n: g & (n == screen) & (atlas[n].obs['perturbation'] != '').to_numpy() for n, g in gone.items()}
    split = Split('whole lines', {n: ~g for n, g in gone.items()}, {n: np.zeros(len(g), bool) for n, g in gone.items()}, test, seed)
    model = fit_lpm(atlas, split=split, seed=seed, device='cpu')
    start = time.process_time()
    told = model.with_descriptors(contexts='screens' if how == 'screens' else line_vectors())
    o = s.obs[test[screen]]
    mean, std = told.predict_screen(screen, o)
    cost = time.process_time() - start
    z = (s.X[test[screen]] - mean) / std
    z = z[~np.isnan(z)]
    methods = {'LPM with descriptors': Given(mean, std), 'LPM without': Given(*model.predict_screen(screen, o, unknown='prior')),
        'tissue mean': Given(by_tissue(s, split.train[screen], test[screen])),
               'perturbation mean': Given(by_tissue(s, split.train[screen], test[screen], k=None)),
                   **({'from the other assay': Given(transferred(model, screen, screens[1], o))} if how == 'screens' else {})}
    t = evaluate(methods, atlas, split=split, screens=[screen], seed=seed).summary
    t = t[t['metric'].isin(['within r', 'mse'])]
    x = next(d.smoothers[screen, 'context'] for d in told.context_descriptors if (screen, 'context') in d.smoothers)
    return t.assign(case=name, seed=seed, described=1., known=len(x.known), explained=x.explained, rms_z=np.sqrt((z**2).mean()),
        in_90=(np.abs(z) < 1.645).mean(), cpu_seconds=cost)

def one_of_contexts(name, seed):
    screen = CONTEXTS[name]
    s = read_screen(screen)
    atlas = Atlas([s])
    out = s.contexts[seed % len(s.contexts)]
    gone = (s.obs['context'] == out).to_numpy()
    there = (s.obs['perturbation'] != '').to_numpy()
    none = {screen: np.zeros(len(gone), bool)}
    split = Split('a new context', {screen: ~gone}, none, {screen: gone & there}, seed)
    o = s.obs[gone & there]
    model = fit_lpm(atlas, split=split, seed=seed, device='cpu')
    start = time.process_time()
    mean, std = model.predict_screen(screen, o, unknown='prior')
    cost = time.process_time() - start
    y = s.X[gone & there]
    z = (y - mean) / std
    z = z[~np.isnan(z)]
    P = s.obs['perturbation'].astype(str).to_numpy()
    others = {p: np.nanmean(s.X[~gone & (P == p)], 0) for p in set(P[~gone])}
    level = np.nanmean(s.X[~gone & there], 0)
    n = len(s.contexts) - 1
    usual = np.array([others.get(p, level) for p in P[gone & there]])
    methods = {'LPM, nothing known': Given(mean, std), 'mean over the others': Given(usual)}
    methods['the same, shrunk'] = Given(level + n / (n + 1) * (usual - level))
    t = evaluate(methods, atlas, split=split, screens=[screen], seed=seed).summary
    t = t[t['metric'].isin(['delta r', 'mse', 'discrimination'])]
    return t.assign(case=f'{name}: {out}', seed=seed, described=0., known=n, explained=np.nan, rms_z=np.sqrt((z**2).mean()), in_90=(np.abs(z) < 1.645).mean(), cpu_seconds=cost)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--only', nargs='*', default=[*CASES, *PAIRS, *LINES, *CONTEXTS])
    p.add_argument('--seeds', nargs='*', type=int, default=[0, 1, 2])
    p.add_argument('--out')
    a = p.parse_args()
    warnings.simplefilter('ignore')
    parts = []
    for name in a.only:
        for seed in a.seeds:
            try: parts.append((one_of_contexts if name in CONTEXTS else one_of_lines if name in LINES else of_pairs if name in PAIRS else one)(name, seed))
            except DataError as e:
                print(f'{name}: {e}')
                continue
            for _, t in parts[-1].groupby('case', sort=False):
                print(t[['case', 'seed', 'readout', 'metric', 'method', 'value', 'low', 'high', 'lead', 'lead_low',
                    'lead_high']].round(4).to_string(index=False))
                r = t.iloc[0]
                print(f"described {r['described']:.0%}, {r['known']} known explain {r['explained']:.0%}; rms z {r['rms_z']:.2f}, "
                    f"{r['in_90']:.1%} in the 90 % interval; {r['cpu_seconds']:.0f} CPU-s\n", flush=True)
    if a.out: pd.concat(parts).to_parquet(a.out)
    print(pd.concat(parts).groupby(['case', 'readout', 'metric', 'method'], sort=False)['value'].mean().round(4).unstack().to_string())

if __name__ == '__main__': main()
