"""Networks side by side: time of five in one pass beside one alone and five one after the other, and whether each is what it is alone.

    python benchmarks/ensemble_speed.py [--device cuda] [--screens simulated gdsc2 neurips2023 horlbeck-jurkat] [--members 5] [--threads 1]

Wall seconds of an epoch (the best of three), after one to warm up. The difference is that of the training losses, epoch by epoch, over three epochs, on CUDA in bf16 (a relative precision of 4e-3); `same_as_alone` repeats it in float32 there.
"""
import argparse, copy, warnings
from contextlib import contextmanager
from unittest.mock import patch
import numpy as np, pandas as pd, torch
from fastai.basics import Callback
from lpm_nb.data.blocks import atlas_blocks
from lpm_nb.data.scaling import standardise
from lpm_nb.data.vocab import build_vocab
from lpm_nb.data.screen import Atlas
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import default_config, train_members
from lpm_nb.model import training
from lpm_nb.model.lpm import LPMConfig, make_network, start_levels

@contextmanager
def float32():
    "Without bf16 on a GPU."
    with patch.object(training, 'MixedPrecision', lambda **kw: Callback()): yield

def run(start, group, blocks, few, config, device):
    "Histories of some of the networks, trained together."
    got = train_members([copy.deepcopy(start[i]) for i in group], blocks, [[blocks[0].take(np.arange(50))]] * len(group), config=config,
        rows=few, seeds=list(group), device=device)[1]
    return pd.DataFrame([dict(member=m, **r) for m, h in zip(group, got) for r in h])

def apart(a, b):
    a, b = (x.sort_values(['member', 'epoch'])['train_loss'].to_numpy() for x in (a, b))
    return float(np.abs(a - b).max())

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--device', default='cpu')
    p.add_argument('--screens', nargs='+', default=['simulated', 'gdsc2', 'neurips2023', 'horlbeck-jurkat'])
    p.add_argument('--members', type=int, default=5)
    p.add_argument('--threads', type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    warnings.simplefilter('ignore')
    rows = []
    for name in a.screens:
        s = simulate_atlas(seed=0).atlas['sim-growth'] if name == 'simulated' else read_screen(name)
        atlas = Atlas(s)
        vocab = build_vocab(atlas)
        everything = np.ones(s.n_experiments, bool)
        scaling = {s.name: standardise(s, everything)}
        for label, config in (('default recipe', default_config(atlas, transfer=0)), ('default size, batches of 64', LPMConfig(batch=64))):
            config = config.but(epochs=3)
            blocks = [b.to(a.device) for b in atlas_blocks(atlas, vocab, None, scaling)]
            few = [np.arange(min(len(blocks[0]), 64 * 40 if config.batch == 64 else len(blocks[0])))]
            start = [start_levels(make_network(vocab, config, seed=i), atlas_blocks(atlas, vocab, None, scaling)) for i in range(a.members)]
            together, alone = run(start, range(a.members), blocks, few, config, a.device), [run(start, [i], blocks, few, config, a.device)
                for i in range(a.members)]
            t = together.groupby('epoch')['seconds'].sum()
            t1 = alone[0]['seconds']
            both = pd.concat(alone)
            rows.append(dict(screen=name, what=label, batch=min(few[0].size, config.batch or 2048), one_s=t1.min(),
                in_turn_s=sum(x['seconds'].min() for x in alone), together_s=t.min(), together_over_one=t.min() / t1.min(),
                in_turn_over_together=sum(x['seconds'].min() for x in alone) / t.min(),
                largest_difference=apart(together, both)))
            if a.device != 'cpu':
                with float32():
                    rows[-1]['same_as_alone'] = apart(run(start, range(a.members), blocks, few, config, a.device),
                        pd.concat([run(start, [i], blocks, few, config, a.device) for i in range(a.members)]))
            print(
                    pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format='{:,.3g}'.format), flush=True)

if __name__ == '__main__': main()
