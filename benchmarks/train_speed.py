"""Training speed on a CPU: values per CPU-second and validation loss, beside a pipeline of tuples and strings, the bare torch loop, and the machine's matrix product.

    python benchmarks/train_speed.py [--screens neurips2023 gdsc2 horlbeck-jurkat tahoe] [--minutes 2]

The yardstick is written here as the reference design is: one row of strings for each value, looked up one by one in dictionaries, put together by torch's DataLoader, and the paper's
network (three embeddings, concatenated, two hidden layers) for each value; it trains for --minutes of CPU time, ours for its default epochs. All share one split (15 % of the pairs held out) and
one standardisation, so that losses are comparable: mean squared error of standardised values (1 = nothing learned). One thread each. Ratios are what counts: the machine is noisy.
"""
import argparse, time, warnings
from dataclasses import replace
import numpy as np, pandas as pd, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from lpm_nb.data.effects import measure_effects
from lpm_nb.data.blocks import atlas_blocks
from lpm_nb.data.loaders import BlockLoader
from lpm_nb.data.scaling import standardise
from lpm_nb.data.vocab import build_vocab
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.data.split import split_pairs
from lpm_nb.model.learner import default_config, make_learner, masked_mse, train_member
from lpm_nb.model.trained import atlas_transfers, transfer_widths
from lpm_nb.model.training import _adamw
from lpm_nb.model.lpm import make_network, paper_config, start_levels

class Tuples(Dataset):
    "A row of strings for each value."
    def __init__(self, P, C, R, y, books): self.P, self.C, self.R, self.y, self.books = P, C, R, y, books
    def __len__(self): return len(self.y)
    def __getitem__(self, i): return self.books[0][self.P[i]], self.books[1][self.C[i]], self.books[2][self.R[i]], self.y[i]

class Yardstick(nn.Module):
    def __init__(self, n, d=64, h=512):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(k, d) for k in n)
        self.net = nn.Sequential(nn.Linear(3 * d, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 1))
    def forward(self, p, c, r): return self.net(torch.cat([t(x) for t, x in zip(self.tables, (p, c, r))], 1)).squeeze(-1)

def rows_of(screen, rows, scaling):
    "Strings and standardised values of some experiments; singles and pairs alike are one string."
    Z = (screen.X[rows] - scaling[0]) / scaling[1]
    i, j = np.nonzero(~np.isnan(Z))
    o = screen.obs.iloc[np.flatnonzero(rows)]
    P, C, R = o['perturbation'].astype(str).to_numpy(), o['context'].astype(str).to_numpy(), np.array(screen.readouts)
    return list(P[i]), list(C[i]), list(R[j]), list(Z[i, j].astype(np.float32))

def yardstick(screen, train, test, scaling, minutes):
    P, C, R, y = rows_of(screen, train, scaling)
    books = [{s: k for k, s in enumerate(sorted({*a, *b}))} for a, b in zip((P, C, R), rows_of(screen, test, scaling)[:3])]
    net = Yardstick([len(b) for b in books])
    opt = torch.optim.Adam(net.parameters(), 2e-3)
    g = torch.Generator().manual_seed(0)
    loader = DataLoader(Tuples(P, C, R, y, books), batch_size=5000, shuffle=True, generator=g)
    t0, n, epochs = time.process_time(), 0, 0.
    while time.process_time() - t0 < minutes * 60:
        for p, c, r, v in loader:
            loss = (net(p, c, r) - v).pow(2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            n += len(v)
            if time.process_time() - t0 > minutes * 60: break
        epochs = n / len(y)
    cpu = time.process_time() - t0
    P, C, R, y = rows_of(screen, test, scaling)
    k = min(len(y), 400_000)
    pick = np.random.default_rng(0).choice(len(y), k, replace=False)
    with torch.no_grad():
        out = torch.cat([net(*(torch.tensor([b[s[i]] for i in part]) for b, s in zip(books, (P, C, R))))
            for part in np.array_split(pick, max(1, k // 50_000))]).numpy()
    return dict(design='tuples and strings', values_per_cpu_s=n / cpu, cpu_s=cpu, epochs=round(epochs, 2),
        loss=float(((out - np.array(y)[pick])**2).mean()))

def blocks_of(atlas, split, config):
    masks = [{n: m[n] for n in atlas} for m in (split.train, split.test)]
    vocab = build_vocab(atlas, masks[0])
    scaling = {n: standardise(s, masks[0][n]) for n, s in atlas.items()}
    known = atlas.select(masks[0])
    profiles = [s for s in known.values() if len(s.readouts) >= 20] if config.transfer and config.decoder == 'lpm' else []
    effects = measure_effects(Atlas(profiles), scaling, rank=config.transfer) if profiles else []
    transfers = atlas_transfers(effects, atlas)
    return vocab, scaling, transfer_widths(effects), *(atlas_blocks(atlas, vocab, q, scaling, transfers=transfers) for q in masks)

def n_values(blocks): return sum(int((~y.isnan()).sum()) for b in blocks for _, y in b.chunks())

def ours(atlas, split, config, name):
    vocab, scaling, widths, train, test = blocks_of(atlas, split, config)
    n = n_values(train)
    net = start_levels(make_network(vocab, config, seed=0, transfers=widths), train)
    rows = []
    net, rows = train_member(net, train, test, config, seed=0)
    t = pd.DataFrame(rows)
    return dict(design=name, loss=float(t['valid_loss'].min()), epochs=len(t), n=n, cpu_s=np.nan, history=t), (vocab, widths, train, test, n)

def epoch_of(kind, config, vocab, widths, train, n, epochs=5):
    "CPU-seconds of an epoch, mean of several in one training: fastai's loop, the bare loop, the loader alone."
    net = start_levels(make_network(vocab, config, seed=0, transfers=widths), train)
    loader = BlockLoader(train, bs=config.batch, shuffle=True, seed=0)
    if kind == 'loader':
        t = time.process_time()
        [None for _ in range(epochs) for _ in loader]
        return (time.process_time() - t) / epochs
    if kind == 'bare':
        opt = _adamw(list(net.parameters()), config, net)
        net.train()
        t = time.process_time()
        for _ in range(epochs):
            for *x, y in loader:
                loss = masked_mse(net(*x), y)
                loss.backward()
                opt.step()
                opt.zero_grad()
        return (time.process_time() - t) / epochs
    learn = make_learner(net, train, train[:0], config, seed=0)
    learn.create_opt()
    with learn.no_bar(), learn.no_logging():
        t = time.process_time()
        learn.fit(epochs, lr=config.lr, reset_opt=False, cbs=[])
        return (time.process_time() - t) / epochs

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--screens', nargs='+', default=['neurips2023', 'gdsc2', 'horlbeck-jurkat'])
    p.add_argument('--minutes', type=float, default=2.)
    p.add_argument('--repeats', type=int, default=3)
    a = p.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    A = torch.randn(2000, 2000)
    A @ A
    t = time.process_time()
    [A @ A for _ in range(5)]
    peak = 5 * 2 * 2000**3 / (time.process_time() - t)
    print(f'matrix product of this machine, one thread: {peak / 1e9:.0f} GFLOP/s\n')
    table, loops = [], []
    for name in a.screens:
        s = read_screen(name)
        atlas = Atlas(s)
        split = split_pairs(atlas, test=.15, seed=0)
        scaling = standardise(s, split.train[name])
        config = default_config(atlas)
        if len(s.contexts) == 1: config = replace(config, transfer=0)
        base = yardstick(s, split.train[name], split.test[name], scaling, a.minutes)
        rows = [base]
        for label, c in (('default decoder', config), ('paper decoder, in blocks',
            paper_config('lincs', readouts=len(s.readouts), epochs=1))):
            torch.set_num_threads(1)
            if label.startswith('paper'):
                vocab, _, widths, train, _ = blocks_of(atlas, split, c)
                n = n_values(train)
                cost = epoch_of('bare', c, vocab, widths, train, n, epochs=1)
                rows.append(dict(design=label, values_per_cpu_s=n / cost, cpu_s=cost, epochs=1))
                continue
            t = time.process_time()
            r, (vocab, widths, train, _, n) = ours(atlas, split, c, label)
            r['cpu_s'] = time.process_time() - t
            h = r.pop('history')
            r.pop('n')
            torch.set_num_threads(1)
            cost = {k: min(epoch_of(k, c, vocab, widths, train, n) for _ in range(a.repeats)) for k in ('loader', 'bare', 'fastai')}
            r['values_per_cpu_s'] = n / cost['fastai']
            rows.append(r)
            below = h[h['valid_loss']
                <= base['loss']]
            loops.append(dict(screen=name, values=n, batches=len(BlockLoader(train, bs=c.batch, shuffle=True)),
                fastai_over_bare=cost['fastai'] / cost['bare'] - 1, loader_share=cost['loader'] / cost['fastai'],
                epochs_to_the_yardsticks_loss=int(below['epoch'].iloc[0]) + 1 if len(below) else None,
                    cpu_s_to_it=r['cpu_s'] * (int(below['epoch'].iloc[0]) + 1) / len(h) if len(below) else None,
                    yardstick_cpu_s=base['cpu_s']))
        for r in rows: table.append(dict(screen=name, **r, times_the_yardstick=r['values_per_cpu_s'] / base['values_per_cpu_s']))
        print(pd.DataFrame(table[-3:]).to_string(index=False, float_format='{:,.3g}'.format), flush=True)
    print('\n' + pd.DataFrame(loops).to_string(index=False, float_format='{:,.3g}'.format))

if __name__ == '__main__': main()
