"""Are genetic interactions of pairs that nobody made predicted? Horlbeck 2018, growth of CRISPRi pairs.

A share of the pairs of one line is withheld, the singles stay, the other line is known. Predicted interaction = predicted growth
minus the expectation, measured interaction = measured growth minus the same expectation, which is fitted to the training part
alone. For K562 also against the published interaction scores, which no method has seen. Intervals resample genes. Where the LPM
looks for strong pairs it ranks by how likely a pair is to be strong (beyond the 5 % quantiles of the training interactions), which
takes its standard deviation; `--by-mean` ranks by the prediction alone, as the baselines have to.

    python benchmarks/genetic_interactions.py --keep interactions
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from lpm_nb.analysis.interactions import fit_expectation, genetic_interactions, interaction_map, nearest_interactions, pair_genes, score_interactions
from lpm_nb.core import rng
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import Split, prove_split
from lpm_nb.model.baselines import fit_baseline
from lpm_nb.model.learner import fit_lpm

def withhold(atlas, name, share, seed):
    "A split that withholds a share of the pairs of two different genes in one screen."
    test = {n: np.zeros(s.n_experiments, bool) for n, s in atlas.items()}
    pairs = np.flatnonzero(pair_genes(atlas[name].obs['perturbation'].astype(str))['a'].notna())
    test[name][rng(seed, 'gi').permutation(pairs)[:round(share * len(pairs))]] = True
    split = Split(f'{share:.0%} of pairs', {n: ~t for n, t in test.items()}, {n: np.zeros_like(t) for n, t in test.items()}, test, seed); prove_split(atlas, split)
    return split

def nearest(screen, expectation, train, pairs, seed):
    "k nearest genes of the training interactions, k by a tenth of these."
    known = genetic_interactions(screen, expectation=expectation, rows=train)
    hide = rng(seed, 'k').random(len(known)) < .1
    def predict(table, k, labels):
        M = interaction_map(table, order=False); P = pd.DataFrame(nearest_interactions(M.to_numpy(), k=k), M.index, M.columns)
        g = pair_genes(labels); return P.reindex(index=M.index.union(g['a'].unique()), columns=M.index.union(g['b'].unique())).fillna(0).to_numpy()[[*map(M.index.union(g['a'].unique()).get_loc, g['a'])], [*map(M.index.union(g['b'].unique()).get_loc, g['b'])]]
    k = max((5, 10, 20, 40, 80), key=lambda k: np.corrcoef(predict(known[~hide], k, known['perturbation'][hide]), known['gi'][hide])[0, 1])
    return predict(known, k, pairs), k

def one(line, share, seed, how, keep, against, by_mean):
    name, other = f'horlbeck-{line}', {'jurkat': 'horlbeck-k562', 'k562': 'horlbeck-jurkat'}[line]
    atlas = Atlas([read_screen(name), read_screen(other)]); s = atlas[name]; context = s.contexts[0]
    split = withhold(atlas, name, share, seed); test = split.test[name]; table = s.obs[test]
    file = keep/f'{line}_{share}_{seed}.parquet' if keep else None
    if file is not None and file.exists(): P = pd.read_parquet(file)
    else:
        P = pd.DataFrame(dict(perturbation=table['perturbation'].astype(str).to_numpy()))
        for b in ('members in context', 'members + low rank'): P[b] = fit_baseline(b, atlas, split=split, seed=seed).predict_screen(name, table)[0][:, 0]
        mean, std = fit_lpm(atlas, split=split, seed=seed).predict_screen(name, table); P['LPM'], P['std'] = mean[:, 0], std[:, 0]
        if file is not None: keep.mkdir(parents=True, exist_ok=True); P.to_parquet(file)
    assert (P['perturbation'].to_numpy() == table['perturbation'].astype(str).to_numpy()).all()
    e = fit_expectation(s, context=context, how=how, train=split.train[name])
    true = genetic_interactions(s, expectation=e, rows=test)
    pred = pd.DataFrame({n: P[c].to_numpy() - true['expected'].to_numpy() for n, c in (('LPM', 'LPM'), ('additive', 'members in context'), ('low rank', 'members + low rank'))})
    near, k = nearest(s, e, split.train[name], true['perturbation'], seed); pred['nearest genes'] = near
    noun = dict(gene1=true['gene1'], gene2=true['gene2'], draws=200, seed=seed)
    if not by_mean: noun |= dict(std=pd.DataFrame(dict(LPM=P['std'].to_numpy())), strong=tuple(np.nanquantile(genetic_interactions(s, expectation=e, rows=split.train[name])['gi'], [.05, .95])))
    out = [score_interactions(pred, true['gi'], against=against, **noun).assign(truth='measured')]
    if line == 'k562':
        published = read_screen('horlbeck-k562-gi'); gi = pd.Series(published.X[:, 0].astype(float), published.obs['perturbation'].astype(str).to_numpy())
        out.append(score_interactions(pred.assign(**{'measured growth': true['gi']}), true['perturbation'].map(gi), against=against, **noun).assign(truth='published'))
    inside = (np.abs(P['LPM'].to_numpy() - true['phenotype'].to_numpy()) < 1.645 * P['std'].to_numpy()).mean()
    return pd.concat(out).assign(line=line, withheld=share, pairs=len(true), k=k, coverage_90=inside)

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--lines', nargs='+', default=['jurkat', 'k562']); a.add_argument('--shares', type=float, nargs='+', default=[.2, .5]); a.add_argument('--seed', type=int, default=0)
    a.add_argument('--expectation', default='quadratic'); a.add_argument('--against', default='low rank', help="baseline of the paired difference: 'low rank', 'nearest genes' or 'additive'"); a.add_argument('--keep', type=Path, help='folder that keeps the predictions: a second run only scores them'); a.add_argument('--by-mean', action='store_true', help='rank strong pairs by the prediction alone'); a.add_argument('--out', type=Path, default=Path('genetic_interactions.csv'))
    o = a.parse_args(); warnings.simplefilter('ignore'); rows = []
    for line in o.lines:
        for share in o.shares:
            t = time.process_time(); r = one(line, share, o.seed, o.expectation, o.keep, o.against, o.by_mean); rows.append(r); pd.concat(rows).to_csv(o.out, index=False)
            print(f'\n{line}, {share:.0%} of the pairs withheld ({r["pairs"].iloc[0]:,}), {o.expectation} expectation, nearest k={r["k"].iloc[0]}, 90 % intervals of growth cover {r["coverage_90"].iloc[0]:.3f}, {time.process_time() - t:.0f} CPU-s')
            for truth, g in r.groupby('truth', sort=False):
                g = g.assign(score=[f'{v:.3f} [{l:.3f}, {h:.3f}]' for v, l, h in zip(g['value'], g['low'], g['high'])], gain=[f'{v:+.3f} [{l:+.3f}, {h:+.3f}]' for v, l, h in zip(g['gain'], g['gain_low'], g['gain_high'])])
                print(f'against {truth} interactions\n', g.pivot(index='method', columns='metric', values='score').reindex(index=g['method'].unique(), columns=g['metric'].unique()).to_string(), f'\n LPM minus {o.against}:', dict(zip(g['metric'][g['method'] == 'LPM'], g['gain'][g['method'] == 'LPM'])), flush=True)

if __name__ == '__main__': main()
