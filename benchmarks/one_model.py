"""One model of all screens against one model of each: does knowing the others help?

One split over all screens at once (15 % of the pairs of perturbation and system, in all assays of the system), the default recipe, five members.
    python benchmarks/one_model.py [--seed 0] [--out one_model] [--screens gdsc1 gdsc2 …]
A line per screen: the score of the one model, of the model of that screen alone, and the paired difference with its 95 % interval over perturbations. Fits are kept in --out, so a stopped run goes on.
"""
import argparse, time, warnings
from pathlib import Path
import numpy as np, pandas as pd
from lpm_nb.analysis.benchmark import PROFILE, evaluate
from lpm_nb.core import atomic_path
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import Split, prove_split, split_pairs
from lpm_nb.model.learner import fit_lpm
warnings.simplefilter('ignore')

SCREENS = ['gdsc1', 'gdsc2', 'prism', 'ctd2', 'horlbeck-k562', 'horlbeck-jurkat', 'norman-gamma', 'macrophage-crispri',
    'macrophage-crispra', 'replogle-k562', 'replogle-rpe1', 'neurips2023']

class Given:
    "Predictions that are there already."
    def __init__(self, means): self.means = means
    def predict_screen(self, screen, table): return self.means[screen], None

def part(split, atlas, names):
    return Split(split.name, *({n: m[n] for n in names} for m in (split.train, split.valid, split.test)), split.seed)

def fitted(path, atlas, split, seed):
    "screen -> predictions of a model of these screens for what is held out."
    if not path.exists():
        start = time.process_time()
        model = fit_lpm(atlas, split=split, seed=seed)
        means = {n: model.predict_screen(n, s.obs[split.test[n]], unknown='prior')[0] for n, s in atlas.items()}
        with atomic_path(path) as tmp:
            with open(tmp, 'wb') as f: np.savez(f, **means, seconds=time.process_time() - start)
    with np.load(path) as z: return {n: z[n] for n in z.files if n != 'seconds'}, float(z['seconds'])

def main():
    ask = argparse.ArgumentParser()
    ask.add_argument('--seed', type=int, default=0)
    ask.add_argument('--out', type=Path, default=Path('one_model'))
    ask.add_argument('--screens', nargs='+', default=SCREENS)
    a = ask.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    atlas = Atlas([read_screen(n) for n in a.screens])
    split = split_pairs(atlas, test=.15, by='system', seed=a.seed)
    prove_split(atlas, split)
    joint, cost = fitted(a.out/f'all {a.seed}.npz', atlas, split, a.seed)
    print(f'all {len(atlas)} screens: {cost:.0f} CPU-s', flush=True)
    rows = []
    for n, s in atlas.items():
        own = atlas.select({m: np.full(x.n_experiments, m == n) for m, x in atlas.items()})
        alone, cost = fitted(a.out/f'{n} {a.seed}.npz', own, part(split, own, [n]), a.seed)
        e = evaluate({'all screens': Given(joint), 'this one': Given(alone)}, atlas, split=split, screens=[n]).summary
        there = set(e['metric'])
        metric = 'delta r' if len(
            s.readouts) >= PROFILE else 'interaction r' if 'interaction r' in there else 'within r' if 'within r' in there else 'pooled r'
        t = e[e['metric'] == metric].set_index(['readout', 'method'])
        r = t.index[-1][0]
        x, y = t.loc[(r, 'all screens')], t.loc[(r, 'this one')]
        rows.append(dict(screen=n, metric=metric, readout=r, all_screens=x['value'], this_one=y['value'], gain=y['lead'], low=y['lead_low'],
            high=y['lead_high'], cpu_seconds=cost))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(a.out/f'one_model {a.seed}.csv', index=False)
    print(table.round(4).to_string(index=False))

if __name__ == '__main__': main()
