"""Growth of pairs from all single perturbations and a few pairs: the LPM, and the sum of the measured singles.

python benchmarks/few_pairs.py [--screens horlbeck-jurkat norman-gamma] [--pairs 0 10 40 150 600 2500] [--seed 0]
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import fit_lpm

def table(name, pairs, seed):
    "One row for each number of known pairs, judged on the same 3,000 others (or half of them all)."
    s = read_screen(name); P = s.obs['perturbation'].astype(str).to_numpy(); size = np.array([len(s.members[p]) for p in P])
    alone = {p: v for p, v in zip(P[size == 1], s.X[size == 1, 0])}; control = s.X[size == 0, 0].mean() if (size == 0).any() else 0.
    two = np.random.default_rng(seed).permutation(np.flatnonzero(size == 2)); rest = two[-3000:] if len(two) > 6000 else two[len(two) // 2:]
    asked = np.array([i for i in rest if all(a in alone for a in P[i].split('+'))]); y = s.X[asked, 0]
    added = np.array([sum(alone[a] - control for a in P[i].split('+')) + control for i in asked])
    for k in (k for k in pairs if k <= len(two) - len(rest)):
        seen = size < 2; seen[two[:k]] = True; start = time.process_time()
        mean, std = (x[:, 0] for x in fit_lpm(s.select(seen), seed=seed).predict_screen(name, s.obs.iloc[asked]))
        yield dict(screen=name, pairs=k, r=np.corrcoef(mean, y)[0, 1], mse=((mean - y)**2).mean(), within_90=(np.abs(mean - y) < 1.645 * std).mean(),
            sum_r=np.corrcoef(added, y)[0, 1], sum_mse=((added - y)**2).mean(), cpu_s=time.process_time() - start)

if __name__ == '__main__':
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0]); ask.add_argument('--screens', nargs='+', default=['horlbeck-jurkat', 'norman-gamma'])
    ask.add_argument('--pairs', nargs='+', type=int, default=[0, 10, 40, 150, 600, 2500]); ask.add_argument('--seed', type=int, default=0); a = ask.parse_args()
    warnings.simplefilter('ignore')
    print(pd.DataFrame([r for n in a.screens for r in table(n, a.pairs, a.seed)]).round(5).to_string(index=False))
