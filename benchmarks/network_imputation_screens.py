"""Does imputation improve networks of real screens? Perturbations are withheld from one context, the other context is known.

For Replogle K562 and RPE1 and the macrophage CRISPRi and CRISPRa screens: a share of the perturbations of one context is taken out,
several times; edges are inferred from what is left, from what is left completed by several models, and from the full data; and
precision among the best k pairs is counted against CORUM, Reactome, STRING, SIGNOR and DoRothEA (A–C).
gap closed = (imputed - observed only) / (full - observed only), with a 95 % t interval over the withheld sets.

    python benchmarks/network_imputation_screens.py --sets 4 --out network_imputation_screens.csv
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from scipy.stats import t as student
from lpm_nb.analysis.edge_scores import score_relations
from lpm_nb.analysis.knowledge import read_relations
from lpm_nb.analysis.network import gene_effects, impute_effects, infer_edges
from lpm_nb.core import rng
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import Split, prove_split
from lpm_nb.model.baselines import fit_baseline
from lpm_nb.model.learner import default_config, fit_lpm
from lpm_nb.suite import by_gene

SCREENS = {'replogle-rpe1': ('replogle-k562', lambda s: s, -1), 'replogle-k562': ('replogle-rpe1', lambda s: s, -1),
    'macrophage-crispri': ('macrophage-crispra', by_gene, -1), 'macrophage-crispra': ('macrophage-crispri', by_gene, 1)}

def one(name, share, seed, members, relations, k, methods):
    other, read, direction = SCREENS[name]
    atlas = Atlas([read(read_screen(n)) for n in (name, other)])
    s, context = atlas[name], atlas[name].contexts[0]
    shared = sorted(set(s.perturbations) & set(atlas[other].perturbations))
    held = set(rng(seed, 'withheld', name, str(share)).choice(shared, round(share * len(shared)), replace=False))
    test = {n: x.obs['perturbation'].isin(held).to_numpy() & (n == name) for n, x in atlas.items()}
    split = Split('withheld', {n: ~m for n, m in test.items()}, {n: np.zeros_like(m) for n, m in test.items()}, test, seed)
    prove_split(atlas, split)
    args = dict(context=context, reference='mean', direction=direction)
    full, seen = gene_effects(s, **args), gene_effects(s.select(split.train[name]), **args)
    t = time.process_time()
    lpm = fit_lpm(atlas, split=split, seed=seed, config=default_config(atlas, members=members))
    took = time.process_time() - t
    models = {'mean-imputed': fit_baseline('context mean', atlas, split=split),
        'additive-imputed': fit_baseline('additive', atlas, split=split),
        'low-rank-imputed': fit_baseline('additive + low rank', atlas, split=split, seed=seed), 'LPM-imputed': lpm}
    effects = {'observed only': seen, **{n: impute_effects(seen, m, sources=full.sources) for n, m in models.items()}, 'full data': full}
    rows = []
    for label, e in effects.items():
        for method in methods:
            edges = infer_edges(e, method, top=100_000)
            edges = edges[edges['weight'] > 0] if method == 'co-function' else edges
            for r in score_relations(edges, relations, k=k, seed=seed, permutations=3).to_dict('records'):
                rows.append(dict(screen=name, withheld=share, set=seed, effects=label, inference=method, lpm_cpu_s=took, **r))
    return rows

def interval(x):
    x = np.asarray(x, float)
    x = x[np.isfinite(x)]
    if len(x) < 2: return np.nan, np.nan, np.nan
    h = student.ppf(.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return x.mean(), x.mean() - h, x.mean() + h

def summarise(t):
    "Print the tables."
    print(t.pivot_table(index=['screen', 'inference', 'k'], columns='effects', values='precision', sort=False).round(3).to_string(),
        '\nof networks with the same degrees\n', t.pivot_table(index=['screen', 'inference', 'k'], columns='effects', values='random',
        sort=False).round(3).to_string())
    for (name, method, k), g in t.groupby(['screen', 'inference', 'k'], sort=False):
        w = g.pivot(index='set', columns='effects', values='precision')
        if not {'observed only', 'full data', 'LPM-imputed'} <= set(w): continue          # fewer judged pairs than k
        gap = (w['full data'] - w['observed only'])
        line = f'{name:20s} {method:16s} k={k:5d} gap {gap.mean():+.3f}'
        for m in ('mean-imputed', 'additive-imputed', 'low-rank-imputed', 'LPM-imputed'):
            gain, lo, hi = interval(w[m] - w['observed only'])
            line += f"  {m} {gain:+.3f} [{lo:+.3f}, {hi:+.3f}]" + (f" = {gain / gap.mean():.0%} of the gap" if gap.mean() > .02 else '')
        print(line)

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--screens', nargs='+', default=list(SCREENS))
    a.add_argument('--share', type=float, default=.5)
    a.add_argument('--sets', type=int, default=4)
    a.add_argument('--first', type=int, default=2,
        help='first set; sets 0 and 1 chose the share of unexplained variance in profile_correlation')
    a.add_argument('--members', type=int, default=3)
    a.add_argument('--k', type=int, nargs='+', default=[100, 300, 1000])
    a.add_argument('--methods', nargs='+', default=['co-function', 'mean difference'])
    a.add_argument('--out', type=Path, default=Path('network_imputation_screens.csv'))
    a.add_argument('--read', type=Path, help='only summarise an earlier result')
    o = a.parse_args()
    warnings.simplefilter('ignore')
    if o.read: return summarise(pd.read_csv(o.read))
    relations, rows = read_relations(), []
    for name in o.screens:
        for seed in range(o.first, o.first + o.sets):
            rows += one(name, o.share, seed, o.members, relations, o.k, o.methods)
            pd.DataFrame(rows).to_csv(o.out, index=False)
            print(f'{name}, set {seed}: {rows[-1]["lpm_cpu_s"]:.0f} CPU-s for the LPM', flush=True)
    summarise(pd.DataFrame(rows))

if __name__ == '__main__': main()
