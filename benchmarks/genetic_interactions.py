"""Are genetic interactions of pairs that nobody made predicted? Horlbeck 2018, growth of CRISPRi pairs.

A share of the pairs of one line is withheld, the singles stay, the other line is known. So many splits are made that every pair is
withheld once (five for a share of 20 %, two for 50 %), and all pairs are judged together by what was said of each when it was
withheld; `--splits 1` judges the first alone, `--repeats 3` withholds every pair three times. Predicted interaction = predicted growth minus the expectation, measured interaction
= measured growth minus the same expectation, which is fitted to the training part alone. For K562 also against the published
interaction scores, which no method has seen. Intervals resample genes. Where the LPM
looks for strong pairs it ranks by how likely a pair is to be strong (beyond the 5 % quantiles of the training interactions), which
takes its standard deviation; `--by-mean` ranks by the prediction alone, as the baselines have to.

    python benchmarks/genetic_interactions.py --keep interactions
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from lpm_nb.analysis.interactions import fit_expectation, genetic_interactions, interaction_map, pair_genes, score_interactions
from lpm_nb.data.effects import nearest_interactions
from lpm_nb.core import rng
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import Split, prove_split
from lpm_nb.model.baselines import fit_baseline
from lpm_nb.model.learner import fit_lpm

def withhold(atlas, name, share, *, seed, part):
    "A split that withholds a share of the pairs of two different genes in one screen; the parts of one seed share no pair."
    test = {n: np.zeros(s.n_experiments, bool) for n, s in atlas.items()}
    pairs = np.flatnonzero(pair_genes(atlas[name].obs['perturbation'].astype(str))['a'].notna())
    size = round(share * len(pairs))
    test[name][rng(seed, 'gi').permutation(pairs)[part * size:(part + 1) * size]] = True
    split = Split(f'{share:.0%} of pairs', {n: ~t for n, t in test.items()}, {n: np.zeros_like(t) for n, t in test.items()}, test, seed)
    prove_split(atlas, split)
    return split

def nearest(screen, expectation, train, pairs, seed):
    "k nearest genes of the training interactions, k by a tenth of these."
    known = genetic_interactions(screen, expectation=expectation, rows=train)
    hide = rng(seed, 'k').random(len(known)) < .1
    def predict(table, k, labels):
        M = interaction_map(table, order=False)
        P = pd.DataFrame(nearest_interactions(M.to_numpy(), k=k), M.index, M.columns)
        g = pair_genes(labels)
        return P.reindex(index=M.index.union(g['a'].unique()),
            columns=M.index.union(g['b'].unique())).fillna(0).to_numpy()[[*map(M.index.union(g['a'].unique()).get_loc, g['a'])],
            [*map(M.index.union(g['b'].unique()).get_loc, g['b'])]]
    k = max((5, 10, 20, 40, 80), key=lambda k: np.corrcoef(predict(known[~hide], k, known['perturbation'][hide]), known['gi'][hide])[0, 1])
    return predict(known, k, pairs), k

def predict(atlas, name, split, *, file, seed):
    "What each method says of the withheld pairs, kept in a file."
    table = atlas[name].obs[split.test[name]]
    labels = table['perturbation'].astype(str).to_numpy()
    if file is not None and file.exists(): P = pd.read_parquet(file)
    else:
        P = pd.DataFrame(dict(perturbation=labels))
        for b in ('members in context', 'members + low rank'):
            P[b] = fit_baseline(b, atlas, split=split, seed=seed).predict_screen(name, table)[0][:, 0]
        mean, std = fit_lpm(atlas, split=split, seed=seed).predict_screen(name, table)
        P['LPM'], P['std'] = mean[:, 0], std[:, 0]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            P.to_parquet(file)
    if list(P['perturbation']) != list(labels): raise SystemExit(f'{file} is of another split: remove it')
    return P

def interactions(screen, P, split, *, how, seed):
    "Measured interactions of the withheld pairs, what each method predicts, and from where on a training interaction counts as strong."
    name = screen.name
    train, test = split.train[name], split.test[name]
    e = fit_expectation(screen, context=screen.contexts[0], how=how, train=train)
    true = genetic_interactions(screen, expectation=e, rows=test)
    expected = true['expected'].to_numpy()
    for method, column in (('LPM', 'LPM'), ('additive', 'members in context'), ('low rank', 'members + low rank')):
        true[method] = P[column].to_numpy() - expected
    true['nearest genes'], k = nearest(screen, e, train, true['perturbation'], seed)
    low, high = np.nanquantile(genetic_interactions(screen, expectation=e, rows=train)['gi'], [.05, .95])
    return true.assign(std=P['std'].to_numpy(), low=low, high=high, k=k, inside=np.abs(P['LPM'].to_numpy() - true['phenotype'].to_numpy())
        < 1.645 * P['std'].to_numpy())

def one(line, share, o):
    name, other = f'horlbeck-{line}', {'jurkat': 'horlbeck-k562', 'k562': 'horlbeck-jurkat'}[line]
    atlas, parts = Atlas([read_screen(name), read_screen(other)]), []
    for seed in range(o.seed, o.seed + o.repeats):
        for part in range(o.splits or int(1 / share)):
            split = withhold(atlas, name, share, seed=seed, part=part)
            file = o.keep/f'{line}_{share}_{seed}{f"_{part}" if part else ""}.parquet' if o.keep else None
            P = predict(atlas, name, split, file=file, seed=seed)
            parts.append(interactions(atlas[name], P, split, how=o.expectation, seed=seed).assign(part=part))
    true = pd.concat(parts, ignore_index=True)
    methods = ['LPM', 'additive', 'low rank', 'nearest genes']
    rank = dict(std=true[['std']].set_axis(['LPM'], axis=1),
        strong=(true['low'].to_numpy(), true['high'].to_numpy())) if not o.by_mean else {}
    truths = {'measured': (methods, true['gi'])}
    if line == 'k562':
        published = read_screen('horlbeck-k562-gi')
        gi = pd.Series(published.X[:, 0].astype(float), published.obs['perturbation'].astype(str).to_numpy())
        truths['published'] = ([*methods, 'measured growth'], true['perturbation'].map(gi))
    pred = true[methods].assign(**{'measured growth': true['gi']})
    out = []
    for truth, (which, y) in truths.items():
        for against in o.against:
            out.append(score_interactions(pred[which], y, gene1=true['gene1'], gene2=true['gene2'], draws=o.draws, seed=o.seed,
                against=against, **rank).assign(truth=truth, against=against))
    return pd.concat(out).assign(line=line, withheld=share, splits=len(parts), pairs=len(true), k=true['k'].median(),
        coverage_90=true['inside'].mean())

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--lines', nargs='+', default=['jurkat', 'k562'])
    a.add_argument('--shares', type=float, nargs='+', default=[.2, .5])
    a.add_argument('--splits', type=int, help='so many of the splits; left out: so many that every pair is withheld once')
    a.add_argument('--repeats', type=int, default=1, help='do all of it so many times, with other splits, and judge it together')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--expectation', default='quadratic')
    a.add_argument('--against', nargs='+', default=['low rank', 'nearest genes', 'additive'], help='baselines of the paired differences')
    a.add_argument('--draws', type=int, default=500, help='resamples of genes')
    a.add_argument('--keep', type=Path, help='folder that keeps the predictions: a second run only scores them')
    a.add_argument('--by-mean', action='store_true', help='rank strong pairs by the prediction alone')
    a.add_argument('--out', type=Path, default=Path('genetic_interactions.csv'))
    o = a.parse_args()
    warnings.simplefilter('ignore')
    rows = []
    for line in o.lines:
        for share in o.shares:
            t = time.process_time()
            r = one(line, share, o)
            rows.append(r)
            pd.concat(rows).to_csv(o.out, index=False)
            first = r.iloc[0]
            print(f'\n{line}, {share:.0%} of the pairs withheld, {first["splits"]} splits, {first["pairs"]:,} pairs judged, '
                f'{o.expectation} expectation, nearest k={first["k"]:.0f}, '
                  f'90 % intervals of growth cover {first["coverage_90"]:.3f}, {time.process_time() - t:.0f} CPU-s')
            for truth, g in r.groupby('truth', sort=False):
                once = g[g['against'] == o.against[0]]
                once = once.assign(score=[f'{v:.3f} [{l:.3f}, {h:.3f}]' for v, l, h in zip(once['value'], once['low'], once['high'])])
                print(f'against {truth} interactions\n', once.pivot(index='method', columns='metric',
                    values='score').reindex(index=once['method'].unique(), columns=once['metric'].unique()).to_string())
                mine = g[g['method'] == 'LPM']
                mine = mine.assign(gain=[f'{v:+.3f} [{l:+.3f}, {h:+.3f}]'
                    for v, l, h in zip(mine['gain'], mine['gain_low'], mine['gain_high'])])
                print('LPM minus\n', mine.pivot(index='against', columns='metric', values='gain').reindex(index=o.against,
                    columns=mine['metric'].unique()).to_string(), flush=True)

if __name__ == '__main__': main()
