"""Does imputing the perturbations nobody made improve the inferred network?

Simulated atlases with a known network. In one line a share of the knock-downs is withheld, alone and in doubles, in both
assays; the other lines are known (with --strict the over-expressions of the same genes are withheld too). The same inference is run on
the observed effects only, on effects completed by several models, and on the full data, and judged against the true network
(AUPRC over all pairs) and on held-out single cells (false omission rate at as many edges as are true).

    python benchmarks/network_imputation.py --seeds 11 --out network_imputation.csv
    python benchmarks/network_imputation.py --seeds 11 --denoise
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from scipy.stats import ttest_rel
from lpm_nb.analysis.edge_scores import score_cells, score_network
from lpm_nb.analysis.network import gene_effects, impute_effects, infer_edges, sensitivity_effects
from lpm_nb.core import rng
from lpm_nb.data.simulate import simulate_atlas, simulate_cells
from lpm_nb.data.split import Split, prove_split
from lpm_nb.model.baselines import fit_baseline
from lpm_nb.model.learner import default_config, fit_lpm

LINE, CONTEXT = 'line1', 'line1|sim-rna'

def withhold(atlas, genes, seed, kinds):
    "A split whose test part is everything of the line that perturbs one of these genes in one of these ways."
    test = {}
    for n, s in atlas.items():
        hit = {p: bool({a.split(':')[1] for a in m if a.split(':')[0] in kinds} & set(genes)) for p, m in s.members.items()}
        test[n] = s.obs['context'].astype(str).str.startswith(f'{LINE}|').to_numpy() & s.obs['perturbation'].map(hit).to_numpy(bool)
    split = Split('withheld genes', {n: ~t for n, t in test.items()}, {n: np.zeros_like(t) for n, t in test.items()}, test, seed)
    prove_split(atlas, split)
    return split

def one(seed, share, members, kinds, methods=('mean difference', 'ridge')):
    sim = simulate_atlas(seed=seed, n_genes=40, n_doubles=40, n_drugs=10)
    cells = simulate_cells(sim, LINE, seed=seed)
    truth = sim.network[sim.network[LINE]]
    rna = sim.atlas['sim-rna']
    full = gene_effects(rna, context=CONTEXT, kind='CRISPRi', reference='median')
    held = sorted(rng(seed, 'withheld', str(share)).choice(full.sources, round(share * len(full.sources)), replace=False))
    split = withhold(sim.atlas, held, seed, kinds)
    seen = gene_effects(rna.select(split.train['sim-rna']), context=CONTEXT, kind='CRISPRi', reference='median')
    assert not set(seen.sources) & set(held)
    models = {'mean-imputed': fit_baseline('context mean', sim.atlas, split=split),
        'additive-imputed': fit_baseline('additive', sim.atlas, split=split),
        'low-rank-imputed': fit_baseline('additive + low rank', sim.atlas, split=split, seed=seed)}
    t = time.process_time()
    models['LPM-imputed'] = fit_lpm(sim.atlas, split=split, seed=seed, config=default_config(sim.atlas, members=members))
    took = time.process_time() - t
    effects = {'observed only': seen, **{n: impute_effects(seen, m, sources=full.sources) for n, m in models.items()}, 'full data': full}
    rows = []
    for name, e in effects.items():
        for method in methods:
            edges = infer_edges(e, method)
            edges = edges[edges['score'] > 0]
            s = score_network(edges, truth, genes=full.genes)
            f = score_cells(edges, cells, k=[len(truth)], omissions=1000, seed=seed).iloc[0]
            rows.append(dict(seed=seed, withheld=share, effects=name, inference=method, auprc=s['auprc'],
                false_omission_rate=f['false_omission_rate'], mean_wasserstein=f['mean_wasserstein'], precision=f['precision'],
                lpm_cpu_s=took))
    return rows

def denoise(seed, members):
    "Nothing withheld: the network of the measured effects, of the model's predictions in their place, and of both combined."
    sim = simulate_atlas(seed=seed, n_genes=40, n_doubles=40, n_drugs=10)
    truth = sim.network[sim.network[LINE]]
    full = gene_effects(sim.atlas['sim-rna'], context=CONTEXT, kind='CRISPRi', reference='median', noise=.25 / np.sqrt(3))
    m = fit_lpm(sim.atlas, seed=seed, config=default_config(sim.atlas, members=members))
    effects = {'measured': full, 'predicted instead': impute_effects(full, m, sources=[], how='replace'),
        'combined': impute_effects(full, m, sources=[], how='combine'), 'sensitivity of the model': sensitivity_effects(full, m)}
    cells = simulate_cells(sim, LINE, seed=seed)
    return [dict(seed=seed, effects=n, **score_network(infer_edges(e), truth, genes=full.genes),
        false_omission_rate=score_cells(infer_edges(e), cells, k=[len(truth)], omissions=1000, seed=seed)['false_omission_rate'][0])
        for n, e in effects.items()]

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--seeds', type=int, default=11)
    a.add_argument('--members', type=int, default=5)
    a.add_argument('--shares', type=float, nargs='+', default=[.3, .5, .7])
    a.add_argument('--strict', action='store_true')
    a.add_argument('--denoise', action='store_true',
        help='instead: withhold nothing and ask whether predictions make a better network than measurements')
    a.add_argument('--out', type=Path, default=Path('network_imputation.csv'))
    o = a.parse_args()
    rows = []
    warnings.simplefilter('ignore')
    if o.denoise:
        t = pd.DataFrame([r for seed in range(o.seeds) for r in denoise(seed, o.members)])
        t.to_csv(o.out, index=False)
        print(t.groupby('effects', sort=False).mean(numeric_only=True).drop(columns='seed').round(3).to_string())
        w = t.pivot(index='seed', columns='effects', values='auprc')
        for n in ('predicted instead', 'combined'):
            print(f"{n} minus measured: AUPRC {(w[n] - w['measured']).mean():+.3f}, one-sided p = "
                f"{ttest_rel(w[n], w['measured'], alternative='greater').pvalue:.1e}, better in {(w[n] > w['measured']).sum()} of {len(w)} "
                "atlases")
        return
    for seed in range(o.seeds):
        for share in o.shares:
            rows += one(seed, share, o.members, ('CRISPRi', 'CRISPRa') if o.strict else ('CRISPRi',))
            pd.DataFrame(rows).to_csv(o.out, index=False)
            print(f'seed {seed}, {share:.0%} withheld: {rows[-1]["lpm_cpu_s"]:.0f} CPU-s for the LPM', flush=True)
    t = pd.DataFrame(rows)
    print(t.groupby(['inference', 'withheld', 'effects'], sort=False)[['auprc', 'false_omission_rate', 'mean_wasserstein',
        'precision']].mean().round(3).to_string())
    if o.seeds < 3: return
    print('\nLPM-imputed against the others: one-sided paired t-test over seeds')
    for (method, share), g in t.groupby(['inference', 'withheld']):
        for m, alt in (('auprc', 'greater'), ('false_omission_rate', 'less')):
            w = g.pivot(index='seed', columns='effects', values=m)
            print(f'{method:16s} {share:.0%} {m:20s}', '  '.join(
                f"{o}: {(w['LPM-imputed'] - w[o]).mean():+.3f} p={ttest_rel(w['LPM-imputed'], w[o], alternative=alt).pvalue:.1e}"
                for o in ('observed only', 'mean-imputed', 'additive-imputed', 'low-rank-imputed')))

if __name__ == '__main__': main()
