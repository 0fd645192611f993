"""A second device without one: every tensor that is moved there says so and keeps its numbers on the CPU, and no operation may mix the two.

So a tensor that was left behind is an error here as it is on a GPU, and what comes out has to be the CPU's answer to the digit. What a GPU does otherwise, bf16 apart, is asked of one by `benchmarks/gpu.sh`.
"""
import types
from dataclasses import replace
import numpy as np, pytest, torch
from fastai.basics import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.data.split import split_pairs
from lpm_nb.model import side_by_side, training
from lpm_nb.model.learner import default_config, fit_lpm, map_config
from lpm_nb.model.lpm import paper_config

pytestmark = pytest.mark.filterwarnings('ignore:.*meta parameter')
THERE = 'meta'   # a device that torch knows on every machine and that no product of ours ever lies on

class Far(torch.Tensor):
    "A tensor on the second device."
    @staticmethod
    def __new__(cls, near):
        return torch.Tensor._make_wrapper_subclass(cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, device=THERE)
    def __init__(self, near): self.near = near
    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None): return operate(op, args, kwargs or {})
    @property
    def data(self): return self.detach()
    @data.setter
    def data(self, x):
        torch.Tensor.data.__set__(self, x)
        self.near = x.near
    def tolist(self): return self.near.tolist()                         # a GPU's tensors have it, wrapped ones do not

INDEXED = ('aten::index', 'aten::index_put_', 'aten::_unsafe_index')    # here the indices may lie on the CPU

def operate(op, args, kwargs):
    tensors, name, to = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)], op._schema.name, kwargs.get('device')
    far = [x for x in tensors if isinstance(x, Far)]
    near = [x for x in tensors if x.dim() and not isinstance(x, Far)]
    if far and near and name not in ('aten::_to_copy', 'aten::copy_') and not (name in INDEXED and isinstance(args[0], Far)):
        raise RuntimeError(f"{name} of tensors on two devices: {[(x.device.type, tuple(x.shape)) for x in tensors]}")
    stays = isinstance(args[0], Far) if name == 'aten::copy_' else far if to is None else torch.device(to).type == THERE
    args, kwargs = tree_map(lambda x: x.near if isinstance(x, Far) else x, (args, kwargs))
    out = op(*args, **(kwargs if to is None else {**kwargs, 'device': 'cpu'}))
    if not stays: return out
    same = {id(x.near): x for x in far} if op._schema.is_mutable else {}
    return tree_map(lambda x: same[id(x)] if id(x) in same else Far(x) if isinstance(x, torch.Tensor) else x, out)

class Second(TorchDispatchMode):
    def __torch_dispatch__(self, op, types, args=(), kwargs=None): return operate(op, args, kwargs or {})

@pytest.fixture
def second(monkeypatch):
    "The mode in which the device is there; dropout's generators and the fused optimiser are told that it is a CPU."
    from torch.optim import adam, optimizer
    fused = optimizer._get_fused_kernels_supported_devices
    for m in (adam, optimizer):
        if hasattr(m, fused.__name__): monkeypatch.setattr(m, fused.__name__, lambda: [*fused(), THERE])
    monkeypatch.setattr(side_by_side, 'torch', types.SimpleNamespace(**{**vars(torch), 'Generator': lambda d: torch.Generator('cpu')}))
    return Second()

@pytest.fixture(scope='module')
def atlas(): return simulate_atlas(seed=0, n_genes=12, n_systems=3, n_drugs=6, n_doubles=12).atlas

def without_doses(atlas):
    s = atlas['sim-rna']
    return Atlas(s.select_lazily(s.obs['dose'].isna().to_numpy()))
def said(model, atlas): return np.concatenate([model.predict_screen(n, s.obs)[0].ravel() for n, s in atlas.items()])

CASES = {
    'in turn': lambda a: (a, dict(config=default_config(a))),
    'side by side': lambda a: (a, dict(config=default_config(a), together=True)),
    'own validation part': lambda a: (a, dict(config=default_config(a), split=split_pairs(a, test=.1, valid=.1, seed=0))),
    'hidden values': lambda a: (without_doses(a), dict(config=map_config(without_doses(a)))),
    'paper': lambda a: (without_doses(a), dict(config=paper_config('lincs', readouts=12))),
}

@pytest.mark.parametrize('case', CASES)
def test_the_same_there_as_here(case, atlas, second):
    a, kwargs = CASES[case](atlas)
    kwargs['config'] = replace(kwargs['config'], epochs=2, members=2, stack=False)
    here = fit_lpm(a, seed=0, device='cpu', **kwargs)
    with second: there = fit_lpm(a, seed=0, device=THERE, **kwargs)
    np.testing.assert_allclose(said(there, a), said(here, a), atol=1e-4)
    assert not any(isinstance(p, Far) for n in there.networks for p in n.parameters())     # brought back

def test_goes_on_there(atlas, second, tmp_path):
    config = replace(default_config(atlas), epochs=3, members=2, stack=False)
    here = fit_lpm(atlas, config=config, seed=0, device='cpu')
    def stop(member, row):
        if row['epoch'] == 1: raise KeyboardInterrupt
    with second:
        with pytest.raises(KeyboardInterrupt): fit_lpm(atlas, config=config, seed=0, device=THERE, checkpoint=tmp_path, on_epoch=stop)
        there = fit_lpm(atlas, config=config, seed=0, device=THERE, checkpoint=tmp_path)
    np.testing.assert_allclose(said(there, atlas), said(here, atlas), atol=1e-4)

@pytest.mark.parametrize('where', ['in memory', 'on disk'])
def test_no_room_there(where, atlas, second, monkeypatch, tmp_path):
    s = without_doses(atlas)['sim-rna']
    s.write(tmp_path/'s.zarr')
    config = replace(default_config(Atlas(s)), epochs=2, members=2, stack=False)
    a = Atlas(s if where == 'in memory' else Screen.open(tmp_path/'s.zarr'))
    here = fit_lpm(a, config=config, seed=0, device='cpu')
    monkeypatch.setattr('lpm_nb.data.blocks._room', lambda nbytes, device: False)
    monkeypatch.setattr('lpm_nb.data.loaders._ahead', lambda it, depth=2: it)              # the mode is one thread's
    with second: there = fit_lpm(a, config=config, seed=0, device=THERE)
    np.testing.assert_allclose(said(there, a), said(here, a), atol=1e-4)

def test_fine_tune_there(atlas, second):
    config = replace(default_config(atlas), epochs=2, members=2, stack=False)
    model = fit_lpm(atlas, config=config, seed=0, device='cpu')
    s = without_doses(atlas)['sim-rna']
    o = s.obs
    one = (o['context'] == o['context'].iloc[0]).to_numpy()
    new = Atlas(Screen.from_arrays(np.asarray(s.X)[one], perturbation=o['perturbation'].astype(str)[one], context=['line9'] * one.sum(),
        readouts=list(s.readouts), name='new'))
    here = model.fine_tune(new, device='cpu')
    with second: there = model.fine_tune(new, device=THERE)
    np.testing.assert_allclose(said(there, new), said(here, new), atol=1e-4)

def test_what_is_left_behind_is_an_error(second):
    with second:
        x = torch.ones(2, 3).to(THERE)
        assert x.device.type == THERE and torch.equal(x.cpu(), torch.ones(2, 3))
        with pytest.raises(RuntimeError, match='two devices'): x + torch.ones(2, 3)
        with pytest.raises(RuntimeError, match='two devices'): torch.ones(2, 3)[torch.zeros(1, dtype=torch.long).to(THERE)]

class Bf16(Callback):
    "What fastai does on CUDA, on the CPU."
    order = 10
    def before_batch(self):
        self.half = torch.autocast('cpu', dtype=torch.bfloat16)
        self.half.__enter__()
    def after_pred(self): self.learn.pred = self.pred.float()
    def after_loss(self): self.half.__exit__(None, None, None)

@pytest.mark.parametrize('case', ['in turn', 'side by side', 'paper'])
def test_bf16(case, atlas, monkeypatch):
    a, kwargs = CASES[case](atlas)
    kwargs['config'] = replace(kwargs['config'], epochs=4, members=2, stack=False)
    make, dtypes = training.make_learner, set()
    full = fit_lpm(a, seed=0, device='cpu', **kwargs)
    class Look(Callback):
        order = 9
        def after_pred(self): dtypes.add(self.pred.dtype)
    monkeypatch.setattr(training, 'make_learner', lambda *args, **kw: make(*args, **{**kw, 'cbs': [*kw['cbs'], Bf16(), Look()]}))
    half = fit_lpm(a, seed=0, device='cpu', **kwargs)
    assert torch.bfloat16 in dtypes
    last = [m.history.groupby('member')['valid_loss'].min().mean() for m in (half, full)]
    assert last[0] < 1.05 * last[1], last
