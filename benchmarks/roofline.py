"""What bounds a training step: arithmetic done a second against arithmetic done a byte, under the machine's own ceilings. One table, one figure.

    python benchmarks/roofline.py [--out roofline.png] [--device cuda]

Synthetic screens of the shapes of NeurIPS 2023, GDSC2, Horlbeck and LINCS, the default recipe of each; one thread on a CPU, float32. Arithmetic: the products of forward and backward. Bytes: eight passes over arrays of the size of a batch's values, and nine over the parameters (gradient, AdamW), each from memory; what stays in a cache makes the true number smaller.
"""
import argparse, time
import numpy as np, pandas as pd, torch
from lincs_size import ceilings, flops, sync, synthetic
from lpm_nb.data.loaders import BlockLoader
from lpm_nb.model.learner import LPMConfig, masked_mse
from lpm_nb.model.training import _adamw
from lpm_nb.model.lpm import make_network, paper_config

WIDE = dict(width=64, hidden=256, rank=256, lr=.002, dropout=.5, transfer=0)
SHAPES = {'NeurIPS: 6,349 readouts, batch 32': (459, 6349, 135, 4, LPMConfig(**WIDE, batch=32)),
    'LINCS: 978 readouts, batch 2,048': (20_480, 978, 5000, 20, LPMConfig(**WIDE, batch=2048)),
    'GDSC2: 2 readouts, batch 2,048': (200_000, 2, 286, 969, LPMConfig(batch=2048, transfer=0)),
          'Horlbeck: 1 readout, batch 1,024': (77_000, 1, 400, 2, LPMConfig(width=64, layers=0, batch=1024, transfer=0)),
              "paper's decoder, GDSC2, batch 500": (20_000, 2, 286, 969, paper_config('lincs', readouts=2))}

def steps(net, opt, batches):
    for *x, y in batches:
        masked_mse(net(*x), y).backward()
        opt.step()
        opt.zero_grad()

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--out', default='roofline.png')
    p.add_argument('--device', default='cpu')
    a = p.parse_args()
    torch.set_num_threads(1)
    top, rows = ceilings(a.device), []
    for name, (n, r, P, C, config) in SHAPES.items():
        vocab, train, _ = synthetic(n, r, P, C)
        net = make_network(vocab, config, seed=0).to(a.device).train()
        opt = _adamw(None, config, net)
        batches = [b for b, _ in zip(BlockLoader([train], bs=config.batch, shuffle=True, device=a.device), range(24))]
        steps(net, opt, batches)
        sync(a.device)
        t = time.perf_counter()
        steps(net, opt, batches)
        sync(a.device)
        t = (time.perf_counter() - t) / len(batches)
        b = len(batches[0][-1])
        f = flops(net, config, b, r)
        w = sum(q.numel() for q in net.parameters())
        moved = 4 * (8 * b * r * (config.hidden * (config.layers + 1) if config.decoder == 'paper' else 1) + 9 * w)
        roof = min(top['float32'] * 1000, f / moved * top['copy'])
        rows.append(dict(step=name, ms=t * 1000, GFLOPs=f / t / 1e9, flop_per_byte=f / moved, roof_GFLOPs=roof, of_roof=f / t / 1e9 / roof,
            bound='memory' if roof < top['float32'] * 999 else 'arithmetic'))
    t = pd.DataFrame(rows)
    print(f"ceilings: product {top['float32'] * 1000:.0f} GFLOP/s, copy {top['copy']:.1f} GB/s")
    print(t.to_string(index=False, float_format='{:,.3g}'.format))
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt, seaborn as sns
    sns.set_theme(style='ticks', font_scale=.9)
    f, ax = plt.subplots(figsize=(7.2, 4.2), layout='constrained')
    x = np.geomspace(.3, 300, 200)
    ax.loglog(x, np.minimum(top['float32'] * 1000, x * top['copy']), color='.35', lw=1.5)
    ax.text(280, top['float32'] * 1150, f"product alone: {top['float32'] * 1000:.0f} GFLOP/s", ha='right', fontsize=8, color='.35')
    ax.text(.34, .34 * top['copy'] * 1.5, f"copy alone: {top['copy']:.0f} GB/s", rotation=33, fontsize=8, color='.35')
    for k, row in t.iterrows():
        ax.loglog(row['flop_per_byte'], row['GFLOPs'], 'o', color=sns.color_palette('deep')[k],
            label=f"{row['step']}: {row['of_roof']:.0%} of the roof")
    ax.set(xlabel='arithmetic, FLOP a byte', ylabel='GFLOP/s', ylim=(1, top['float32'] * 2500))
    ax.legend(frameon=False, fontsize=7.5, loc='lower right')
    sns.despine()
    f.savefig(a.out, dpi=130)
    print('figure:', a.out)

if __name__ == '__main__': main()
