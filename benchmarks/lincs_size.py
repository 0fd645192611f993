"""One epoch on an atlas of the size of LINCS (863,000 experiments × 978 readouts, 33,000 perturbations, 102 contexts; synthetic), and what bounds it.

    python benchmarks/lincs_size.py [--device cuda] [--decoder lpm paper] [--experiments 863000] [--epochs 3] [--precision bf16 float32]

Reported: seconds an epoch, values a second, TFLOP/s of the network's products beside a large product alone, GB/s of the values read beside a plain copy, kernel launches a step, and the validation loss after the epochs in each precision (same seed).
`--experiments 20000 --device cpu` runs the same on a laptop.
"""
import argparse, time
from functools import partial
import pandas as pd, torch
from fastai.callback.fp16 import MixedPrecision
from torch import nn
from lpm_nb.data.blocks import Block
from lpm_nb.data.vocab import Vocab
from lpm_nb.model.learner import LPMConfig, make_learner
from lpm_nb.model.training import _EndOfEpoch, _Run, _schedule
from lpm_nb.model.lpm import make_network, paper_config

def synthetic(n, r, perturbations, contexts, seed=0):
    "Blocks of a training and a validation part, and their vocabulary."
    g = torch.Generator().manual_seed(seed)
    U = torch.randn(16, r, generator=g) / 4
    z = torch.randn(perturbations + 1, 16, generator=g)
    level = torch.randn(contexts + 1, r, generator=g)
    names = [f'expr:g{j}' for j in range(r)]
    places = [f'line{c}|lincs' for c in range(contexts)]
    vocab = Vocab([f'drug:d{i}' for i in range(perturbations)], places, [f'line{c}' for c in range(contexts)] + ['lincs'], [],
        {'lincs': names}, {'lincs': places})
    out = []
    for m in (n, max(2000, n // 200)):
        p, c = torch.randint(1, perturbations + 1, (m,), generator=g), torch.randint(1, contexts + 1, (m,), generator=g)
        y = torch.empty(m, r)
        for i in torch.arange(m).split(20_000): y[i] = level[c[i]] + z[p[i]] @ U + torch.randn(len(i), r, generator=g)
        out.append(Block(0, p[:, None], c, torch.stack([c, torch.full_like(c, contexts + 1)], 1), torch.zeros(m, 1, dtype=torch.long),
            torch.zeros(m, 4), c, torch.zeros(m, 0), torch.zeros(0, r), torch.zeros(r), torch.ones(r), y))
    return vocab, out[0], out[1]

def ceilings(device):
    "TFLOP/s of a large product in both precisions, GB/s of a copy."
    def timed(f, k):
        f()
        sync(device)
        t = time.perf_counter()
        [f() for _ in range(k)]
        sync(device)
        return (time.perf_counter() - t) / k
    m = 8192 if device == 'cuda' else 2048
    out = {}
    for name, kind in (('bf16', torch.bfloat16), ('float32', torch.float32)):
        A = torch.randn(m, m, device=device, dtype=kind)
        out[name] = 2 * m**3 / timed(partial(torch.matmul, A, A), 10 if device == 'cuda' else 2) / 1e12
    x = torch.empty(int(1e9 if device == 'cuda' else 5e7), device=device)
    y = torch.empty_like(x)
    out['copy'] = 2 * x.nbytes / timed(lambda: y.copy_(x), 5) / 1e9
    return out

def sync(device): torch.cuda.synchronize() if device == 'cuda' else None

def flops(net, config, n, r):
    "Of forward and backward, products alone."
    dense = sum(p.numel() for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters() if p.ndim == 2)
    return 6 * n * (dense + config.rank * r) if config.decoder == 'lpm' else 6 * n * (2 * config.width * config.hidden
        + r * sum(p.numel() for p in net.rest.parameters() if p.ndim == 2))

def kernels(learn, net, precision):
    "Milliseconds that the GPU works in one step, and in how many kernels."
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile
    *x, y = learn.dls.train.one_batch()
    net.train()
    def step():
        with torch.autocast('cuda', torch.bfloat16, enabled=precision == 'bf16'): loss = learn.loss_func(net(*x), y)
        loss.backward()
        learn.opt.step()
        learn.opt.zero_grad()
    step()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as prof:
        step()
        sync('cuda')
    on = [e for e in prof.events() if e.device_type == DeviceType.CUDA and not e.is_user_annotation]     # an operation of the CPU tells of its kernels again
    return sum(e.self_device_time_total for e in on) / 1000, len(on)

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--decoder', nargs='+', default=['lpm', 'paper'])
    p.add_argument('--precision', nargs='+', default=['bf16', 'float32'])
    p.add_argument('--experiments', type=int, default=863_000)
    p.add_argument('--readouts', type=int, default=978)
    p.add_argument('--perturbations', type=int, default=33_000)
    p.add_argument('--contexts', type=int, default=102)
    p.add_argument('--epochs', type=int, default=3)
    p.add_argument('--batch', type=int, nargs=2, default=[2048, 256], help='of the two decoders')
    a = p.parse_args()
    top, rows = ceilings(a.device), []
    print(f"ceilings: product {top['bf16']:.2f} TFLOP/s in bf16, {top['float32']:.2f} in float32; copy {top['copy']:.0f} GB/s")
    vocab, train, valid = synthetic(a.experiments, a.readouts, a.perturbations, a.contexts)
    train, valid = train.to(a.device), valid.to(a.device)
    for decoder in a.decoder:
        config = LPMConfig(width=64, hidden=256, rank=256, lr=.002, wd_embedding=30., wd_weights=5., transfer=0, epochs=a.epochs,
            batch=a.batch[0]) if decoder == 'lpm' else paper_config('lincs', epochs=a.epochs, batch=a.batch[1])
        for precision in a.precision:
            if precision == 'bf16' and a.device == 'cpu': continue
            net = make_network(vocab, config, seed=0)
            run = _Run([net], [0], None)
            learn = make_learner(net, [train], [valid], config, device=a.device, cbs=[run, _EndOfEpoch(run), _schedule(config)])
            learn.done = 0
            if precision == 'float32' and a.device == 'cuda': learn.remove_cb(MixedPrecision)
            with learn.no_bar(), learn.no_logging():
                learn.fit(a.epochs, lr=config.lr)
                sync(a.device)
            t = pd.DataFrame(run.rows[0])
            seconds = t['seconds'].iloc[1:].min() if len(t) > 1 else t['seconds'].min()
            n, f = len(train), flops(net, config, len(train), a.readouts)
            share = {'arithmetic': f / seconds / 1e12 / top[precision], 'memory': 4 * n * a.readouts / seconds / 1e9 / top['copy']}
            rows.append(dict(decoder=decoder, precision=precision, batch=config.batch, s_per_epoch=seconds,
                values_per_s=n * a.readouts / seconds, TFLOPs=f / seconds / 1e12, of_product=share['arithmetic'],
                GB_per_s=4 * n * a.readouts / seconds / 1e9, of_copy=share['memory'], ms_per_step=1000 * seconds / len(learn.dls.train),
                valid_loss=t['valid_loss'].iloc[-1]))
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format='{:,.3g}'.format), flush=True)
            if a.device == 'cuda':
                print(f"  of a step of {rows[-1]['ms_per_step']:.2f} ms the GPU works {{:.2f}} ms in {{}} kernels".format(*kernels(learn, net, precision)))

if __name__ == '__main__': main()
