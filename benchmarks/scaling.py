"""Cost curves: time of an epoch and memory against experiments, readouts, perturbations and ensemble size, in one table and one figure.

    python benchmarks/scaling.py [--out cost_curves.png]

Simulated screens, the default recipe for profiles (width 64, rank 256, batches of 256), one thread; every point is a process of its own. Memory is the peak above that of the imported library. The slope is that of the logarithms over the upper half of a curve: 1 = linear.
"""
import argparse, json, subprocess, sys
import numpy as np, pandas as pd

BASE = dict(experiments=20_000, readouts=1000, perturbations=2000, members=1)
CURVES = dict(experiments=[5000, 10_000, 20_000, 40_000, 80_000], readouts=[250, 500, 1000, 2000, 4000],
    perturbations=[500, 1000, 2000, 5000, 10_000, 20_000], members=[1, 2, 4, 8])

def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024

def one(experiments, readouts, perturbations, members):
    import time, torch
    from lpm_nb.data.screen import Screen
    from lpm_nb.model.learner import LPMConfig, fit_lpm
    torch.set_num_threads(1)
    before = peak()
    g = np.random.default_rng(0)
    i = np.arange(experiments)
    X = g.normal(size=(experiments, readouts)).astype(np.float32)
    s = Screen.from_arrays(X, perturbation=np.char.add('drug:d', (i % perturbations).astype(str)),
        context=np.char.add('line', (i // perturbations).astype(str)), readouts=[f'expr:g{j}' for j in range(readouts)], name='simulated')
    del X
    config = LPMConfig(width=64, hidden=256, rank=256, batch=256, lr=.002, wd_embedding=30., wd_weights=5., transfer=0, stack=False,
        members=members, epochs=2, valid=.02)
    t = time.perf_counter()
    m = fit_lpm(s, config=config, seed=0, device='cpu')
    h = m.history
    print(json.dumps(dict(s_per_epoch=float(h.groupby('epoch')['cpu_seconds'].sum().min()), memory_GB=(peak() - before) / 1e9,
        fit_s=time.perf_counter() - t)))

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--out', default='cost_curves.png')
    p.add_argument('--point')
    a = p.parse_args()
    if a.point: return one(**json.loads(a.point))
    rows, made = [], {}
    for what, values in CURVES.items():
        for v in values:
            point = json.dumps({**BASE, what: v})
            if point not in made:
                run = subprocess.run([sys.executable, __file__, '--point', point], capture_output=True, text=True, check=True)
                made[point] = json.loads(run.stdout.strip().splitlines()[-1])
            rows.append(dict(against=what, value=v, **made[point]))
    t = pd.DataFrame(rows)
    print(t.to_string(index=False, float_format='{:,.3g}'.format))
    slopes = {}
    for what, d in t.groupby('against', sort=False):
        d = d.iloc[len(d) // 2 - 1:]
        slopes[what] = {k: np.polyfit(np.log(d['value']), np.log(d[k]), 1)[0] for k in ('s_per_epoch', 'memory_GB')}
    print('\nslopes of the logarithms (1 = linear)\n' + pd.DataFrame(slopes).T.round(2).to_string())
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt, seaborn as sns
    sns.set_theme(style='ticks', font_scale=.9)
    f, axes = plt.subplots(2, 4, figsize=(11, 4.6), sharey='row', layout='constrained')
    for j, (what, d) in enumerate(t.groupby('against', sort=False)):
        for i, (k, label) in enumerate((('s_per_epoch', 'CPU-seconds an epoch'), ('memory_GB', 'memory, GB'))):
            ax = axes[i, j]
            ax.loglog(d['value'], d[k], 'o-', color='#31688e', ms=4)
            ref = d[k].iloc[-1] * d['value'] / d['value'].iloc[-1]
            ax.loglog(d['value'], ref, ':', color='.6', lw=1)
            ax.minorticks_off()
            ax.set_xticks(d['value'])
            ax.set_xticklabels([f'{v / 1000:g}k' if v >= 1000 else f'{v:g}' for v in d['value']])
            ax.text(.05, .93, f"slope {slopes[what][k]:.2f}", transform=ax.transAxes, va='top', fontsize=8, color='.3')
            if i: ax.set_xlabel({'members': 'networks in the ensemble'}.get(what, what))
            if not j: ax.set_ylabel(label)
    sns.despine()
    f.savefig(a.out, dpi=130)
    print('figure:', a.out)

if __name__ == '__main__': main()
