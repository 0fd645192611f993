"""Which experiments to do next: campaigns on GDSC2's ln IC50, in which the next plate is chosen by what was found on those before.

Hits are the pairs of drug and line in which a line is among the most sensitive to its drug (the lowest twentieth of the drugs' z-scores
over lines). A campaign starts from a twentieth of the table and adds a twentieth a round; a fifth of the table is never a candidate and
tells how well the model predicts in the end.

    python benchmarks/next_plate.py --seeds 0 1 2
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.analysis.movers import find_movers
from lpm_nb.data.screen import Screen
from lpm_nb.data.sources import read_screen
from lpm_nb.model.completion import additive_effects, soft_impute
from lpm_nb.model.learner import default_config, fit_lpm

READ = 'viability:ln_IC50'

def a_table(seed, drugs, lines):
    "A random part of GDSC2 as drugs × lines."
    s, g = read_screen('gdsc2'), np.random.default_rng(seed)
    P, C = (np.sort(g.choice(x, k, replace=False)) for x, k in (([p for p in s.perturbations if p], drugs), (s.contexts, lines)))
    o = s.obs.assign(v=s.X[:, s.readouts.index(READ)])
    return o[o['perturbation'].isin(P) & o['context'].isin(C)].astype({'perturbation': str, 'context': str}).pivot_table(index='perturbation',
        columns='context', values='v', aggfunc='mean').reindex(index=P, columns=C)

def a_screen(Y, have):
    i, k = np.nonzero(have)
    return Screen.from_arrays(Y.to_numpy()[i, k][:, None], perturbation=Y.index[i].tolist(), context=Y.columns[k].tolist(), readouts=[READ],
        name='gdsc2', unit='ln µM')

def by_model(Y, have, policy, seed, members):
    "Score of every pair (the highest are next), and the predicted table."
    s = a_screen(Y, have)
    model = fit_lpm(s, config=default_config(s, members=members), seed=seed, device='cpu')
    said = model.predict_screen('gdsc2', pd.DataFrame(dict(perturbation=np.repeat(Y.index, Y.shape[1]), context=np.tile(Y.columns, len(Y)),
        dose=np.nan, time=np.nan)))[0].reshape(Y.shape)
    if policy == 'random': return np.random.default_rng(seed + have.sum()).random(Y.shape), said
    t = find_movers(model, READ, direction='down', selective=True, against='nothing', by=policy, atlas=s, measured=True, top=None)
    rank = pd.Series(-np.arange(len(t), dtype=float), pd.MultiIndex.from_frame(t[['perturbation', 'context']]))
    return rank.unstack().reindex(index=Y.index, columns=Y.columns).to_numpy(), said

def by_completion(Y, have):
    "The same of a matrix completion: sums and a low rank, each drug on one scale."
    seen = np.where(have, Y.to_numpy(), np.nan)
    sums = additive_effects(seen[:, :, None], list(Y.columns))[1][:, :, 0]
    scale = np.nanstd(seen - sums)
    said = sums + scale * soft_impute((seen - sums) / scale)
    return -(said - said.mean(1, keepdims=True)) / np.nanstd(seen, 1, keepdims=True), said

def campaign(seed, policy, a):
    Y = a_table(seed, a.drugs, a.lines)
    g, V = np.random.default_rng(seed), Y.to_numpy()
    z = (V - np.nanmean(V, 1, keepdims=True)) / np.nanstd(V, 1, keepdims=True)
    there = ~np.isnan(V)
    kept = there & (g.random(V.shape) < .2)
    free = there & ~kept
    hits, have = free & (z <= np.quantile(z[free], .05)), free & (g.random(V.shape) < .05 / .8)
    for i in np.flatnonzero(~have.any(1)): have[i, g.choice(np.flatnonzero(free[i]))] = True
    for k in np.flatnonzero(~have.any(0)): have[g.choice(np.flatnonzero(free[:, k])), k] = True
    plate, begun = int(.05 * there.sum()), (have & hits).sum()
    for r in range(1, a.rounds + 1):
        score, said = by_completion(Y, have) if policy == 'matrix completion' else by_model(Y, have, policy, seed, a.members)
        order = np.argsort(-np.where(free & ~have & ~np.isnan(score), score, -np.inf), None)[:plate]
        have.flat[order] = True
        yield dict(seed=seed, policy=policy, plates=r, found=(have & hits).sum() / hits.sum(), of=int(hits.sum()), at_the_start=begun / hits.sum(),
            error=float(np.sqrt(np.mean((said - V)[kept]**2))))

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--seeds', type=int, nargs='+', default=[0])
    p.add_argument('--policies', nargs='+', default=['random', 'effect', 'z', 'conservative', 'optimistic', 'matrix completion'])
    for k, v in dict(drugs=60, lines=80, rounds=3, members=2).items(): p.add_argument(f'--{k}', type=int, default=v)
    a = p.parse_args()
    warnings.simplefilter('ignore')
    rows, begun = [], time.process_time()
    for seed in a.seeds:
        for policy in a.policies:
            rows += campaign(seed, policy, a)
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) <= a.rounds), flush=True)
    t = pd.DataFrame(rows)
    print(t.pivot_table(index='policy', columns='plates', values='found').round(3).to_string())
    print(t[t['plates'] == a.rounds].groupby('policy')['error'].mean().round(3).to_string())
    print(f'{time.process_time() - begun:.0f} CPU seconds')
