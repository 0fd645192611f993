"""Real knock-outs (500 genes in 124 cell lines, DepMap, from the package index): the LPM beside every baseline.

A tenth or 40 % of the pairs of gene and line withheld, or four fifths of the pairs of a quarter of the lines. Mean squared error, correlation within a gene over the withheld lines (mean over genes with at least five), how many values lie in the 90 % interval, and the mean square of errors in units of the predicted standard deviation (1 = honest).
    python benchmarks/depmap.py [--seeds 2] [--out depmap]
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np, pandas as pd
from lpm_nb.core import LPMError
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import Split
from lpm_nb.model.baselines import BASELINES, INFORMED, fit_baseline
from lpm_nb.model.learner import fit_lpm
warnings.simplefilter('ignore')

def withheld(screen, way, seed):
    "(n,) boolean: what is withheld."
    g = np.random.default_rng(seed)
    pick = g.random(screen.n_experiments)
    if way != 'a fifth of a line known': return pick < float(way.split()[0]) / 100
    lines = g.choice(screen.contexts, len(screen.contexts) // 4, replace=False)
    return screen.obs['context'].isin(lines).to_numpy() & (pick < .8)

def score(said, truth, obs):
    t = pd.DataFrame(dict(said=said[:, 0], truth=truth[:, 0], gene=obs['perturbation'].astype(str).to_numpy()))
    return dict(mse=((t['said'] - t['truth'])**2).mean(),
        within=np.nanmean([x['said'].corr(x['truth']) for _, x in t.groupby('gene') if len(x) > 4 and x['said'].std() > 1e-9] or [np.nan]))

def main():
    ask = argparse.ArgumentParser()
    ask.add_argument('--seeds', type=int, default=2)
    ask.add_argument('--out', type=Path, default=Path('depmap'))
    a = ask.parse_args()
    s = read_screen('depmap-500')
    atlas, lines = Atlas(s), []
    for way in ('10 %', '40 %', 'a fifth of a line known'):
        for seed in range(a.seeds):
            test = withheld(s, way, seed)
            obs, truth = s.obs[test], s.X[test]
            split = Split(way, {s.name: ~test}, {s.name: np.zeros(len(test), bool)}, {s.name: test}, seed)
            start = time.process_time()
            model = fit_lpm(atlas, split=split, seed=seed)
            cost = time.process_time() - start
            mean, std = model.predict_screen(s.name, obs, unknown='prior')
            z = (mean - truth) / std
            lines.append(dict(withheld=way, seed=seed, method='LPM', **score(mean, truth, obs), in_90=(np.abs(z) < 1.645).mean(), z2=(z**2).mean(),
                cpu_seconds=cost))
            print(lines[-1], flush=True)
            for b in BASELINES:
                if b in INFORMED: continue
                try: said = fit_baseline(b, atlas, split=split).predict_screen(s.name, obs)[0]
                except LPMError: continue                                      # it does not fit the shape
                lines.append(dict(withheld=way, seed=seed, method=b, **score(said, truth, obs)))
                print(lines[-1], flush=True)
    t = pd.DataFrame(lines)
    a.out.mkdir(parents=True, exist_ok=True)
    t.to_csv(a.out/'depmap.csv', index=False)
    print(t.pivot_table(index='method', columns=['withheld', 'seed'], values='mse').sort_values(('10 %', 0)).round(5).to_string())

if __name__ == '__main__': main()
