"""Lines that come later: a trained model that goes on with a part of their experiments, and one that is trained anew with everything.

python benchmarks/later_lines.py [--screens neurips2023 gdsc2] [--shares .05 .1 .3] [--seeds 0]
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import fit_lpm

def judge(s, rows, mean, *, level):
    "Delta r of profiles; of growth the correlation over lines within each drug, and the squared error."
    y = s.X[rows]
    if s.n_readouts >= 20:
        a, b = mean - level, y - level
        return dict(r=np.mean([np.corrcoef(p[k], q[k])[0, 1] for p, q in zip(a, b) if (k := ~np.isnan(q)).sum() > 2]), mse=np.nanmean((mean - y)**2))
    t = pd.DataFrame(dict(p=s.obs['perturbation'].astype(str).to_numpy()[rows], a=mean[:, 0], b=y[:, 0])).dropna()
    t = t[t.groupby('p')['a'].transform('size') >= 5]
    return dict(r=np.mean([np.corrcoef(x['a'], x['b'])[0, 1] for _, x in t.groupby('p')]), mse=((mean - y)**2).mean())

def table(name, shares, seed):
    "One row for each share of the later lines' experiments and each way."
    s = read_screen(name)
    g, C = np.random.default_rng(seed), s.obs['context'].astype(str).to_numpy()
    lines = np.unique(C)
    later = np.isin(C, g.choice(lines, 2 if name == 'neurips2023' else len(lines) // 6, replace=False))
    draw = g.random(len(C))
    start = time.process_time()
    model = fit_lpm(s.select(~later), seed=seed, jobs=1)
    took = time.process_time() - start
    known = set(s.obs['perturbation'][~later].astype(str))
    for share in shares:
        given = later & (draw < share)
        rows = np.flatnonzero(later & (draw >= .5) & s.obs['perturbation'].astype(str).isin(known).to_numpy() & np.isin(C, C[given]))
        level = np.array([np.nanmean(s.X[given & (C == c)], 0) for c in C[rows]])
        ways = {'mean of the line': lambda level=level: level, 'fine_tune': lambda given=given: model.fine_tune(s.select(given), seed=seed),
            'all at once': lambda given=given: fit_lpm(s.select(~later | given), seed=seed, jobs=1)}
        for way, make in ways.items():
            start = time.process_time()
            made = make()
            cpu = time.process_time() - start
            mean = made if isinstance(made, np.ndarray) else made.predict_screen(name, s.obs.iloc[rows], unknown='prior')[0]
            yield dict(screen=name, share=share, seed=seed, way=way, **judge(s, rows, mean, level=level), cpu_s=cpu, first_cpu_s=took)

if __name__ == '__main__':
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument('--screens', nargs='+', default=['neurips2023', 'gdsc2'])
    ask.add_argument('--shares', nargs='+', type=float, default=[.05, .1, .3])
    ask.add_argument('--seeds', nargs='+', type=int, default=[0])
    a = ask.parse_args()
    warnings.simplefilter('ignore')
    t = pd.DataFrame([r for n in a.screens for k in a.seeds for r in table(n, a.shares, k)])
    print(t.drop(columns='seed').groupby(['screen', 'share', 'way'], sort=False).mean().round(4).to_string())
