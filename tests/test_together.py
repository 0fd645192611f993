"Two processes train what one trains; when one of them dies the run ends with an error and a checkpoint that can be resumed."
import json, os, signal, socket, subprocess, sys, time
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.model.learner import load_lpm

WORKER = '''
import os, sys, time
from pathlib import Path
import numpy as np, torch
from dataclasses import replace
from lpm_nb.data.screen import Atlas
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.model.learner import default_config, fit_lpm
from lpm_nb.model.together import join_run, leave_run, rank_and_size

def train(out, slow=0.):
    s = simulate_atlas(seed=0).atlas['sim-rna'].select(np.random.default_rng(0).choice(1044, 400, replace=False)); s.adata.X[np.random.default_rng(1).random(s.X.shape) < .2] = np.nan; atlas = Atlas(s)       # gaps: the parts of a batch differ
    config = replace(default_config(atlas), members=1, epochs=3, dropout=0., patience=0, stack=False); rank = rank_and_size()[0]
    def on_epoch(m, row): (out/f'rank{rank}.epoch').write_text(str(row['epoch'])); time.sleep(slow)
    return fit_lpm(atlas, config=config, seed=0, checkpoint=out/'checkpoint', device='cpu', on_epoch=on_epoch)

if __name__ == '__main__':
    torch.set_num_threads(1); out = Path(sys.argv[1]); join_run(timeout=30); rank = rank_and_size()[0]
    try: model = train(out, float(sys.argv[2]))
    except Exception as e: print(type(e).__name__, e, file=sys.stderr, flush=True); os._exit(7)
    model.history.to_csv(out/f'history{rank}.csv', index=False); torch.save(model.networks[0].state_dict(), out/f'net{rank}.pt'); leave_run()
'''

def start(out, slow=0.):
    "Two processes, as torchrun would start them."
    out.mkdir(exist_ok=True)
    (out/'worker.py').write_text(WORKER)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    return [subprocess.Popen([sys.executable, str(out/'worker.py'), str(out), str(slow)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'RANK': str(r), 'LOCAL_RANK': str(r), 'WORLD_SIZE': '2',
        'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}) for r in range(2)]

pytestmark = pytest.mark.xdist_group('together')   # one process makes the fixtures

@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    "The same training in this process: a function that goes on from a folder's checkpoint, and its result from nothing."
    scope = {'__name__': 'worker'}
    exec(WORKER, scope)
    return scope['train'], scope['train'](tmp_path_factory.mktemp('one'))

def test_two_are_as_one(alone, tmp_path):
    ps = start(tmp_path/'two')
    said = [p.communicate(timeout=240)[1] for p in ps]
    assert [p.returncode for p in ps] == [0, 0], said
    losses = ['train_loss', 'valid_loss']
    for r in (0, 1): np.testing.assert_allclose(pd.read_csv(tmp_path/f'two/history{r}.csv')[losses], alone[1].history[losses], atol=1e-4)
    first, second = (torch.load(tmp_path/f'two/net{r}.pt', weights_only=True) for r in (0, 1))
    one = alone[1].networks[0].state_dict()
    for k, v in first.items(): assert torch.equal(v, second[k]) and torch.allclose(v.float(), one[k].float(), atol=2e-3), k

def test_a_rank_that_dies(alone, tmp_path):
    out, t = tmp_path/'dies', time.time()
    ps = start(out, slow=.7)
    while not ((out/'checkpoint/member0/state.json').exists() and (out/'rank1.epoch').exists()):
        assert time.time() - t < 120 and all(p.poll() is None for p in ps), [p.stderr.read() for p in ps if p.poll() is not None]
        time.sleep(.05)
    ps[1].send_signal(signal.SIGKILL)
    t = time.time()
    said = ps[0].communicate(timeout=60)[1]
    assert ps[0].returncode == 7 and 'another process of this run has died' in said and 'start the same command again' in said, said
    assert time.time() - t < 60 and json.loads((out/'checkpoint/member0/state.json').read_text())['epoch'] >= 0
    np.testing.assert_allclose(alone[0](out).history['valid_loss'], alone[1].history['valid_loss'], atol=1e-4)     # and on it goes, alone

@pytest.mark.skipif('slow' not in os.environ.get('NB_FLAGS', ''), reason="a minute of start-up: NB_FLAGS='slow' runs it")
def test_the_command(tmp_path):
    simulate_atlas(seed=0).atlas['sim-growth'].select(range(300)).write(tmp_path/'s.h5ad')
    lpm = Path(sys.executable).parent/'lpm'
    run = subprocess.run([str(lpm), 'train', str(tmp_path/'s.h5ad'), '--out', str(tmp_path/'model'), '--members', '1', '--epochs', '1',
        '--nproc', '2', '--json', '-q'], capture_output=True, text=True, env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''}, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]
    assert len([l for l in run.stdout.splitlines() if l.startswith('{')]) == 1 and load_lpm(tmp_path/'model').networks

def ended(pid): # a process that nobody waits for is a zombie, and has ended
    try: return Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()[0] == 'Z'
    except OSError: return True

def children(pid):
    "Numbers of the processes that a process has started."
    out = []
    for f in Path('/proc').glob('[0-9]*/stat'):
        try: text = f.read_text(encoding='utf-8')
        except OSError: continue                                           # ended meanwhile
        if int(text.rpartition(')')[2].split()[1]) == pid: out.append(int(f.parent.name))
    return out

@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='who is whose child is read from /proc')
def test_told_to_stop(tmp_path):
    "Who ends `lpm train` ends its workers, and leaves nothing but the checkpoint."
    simulate_atlas(seed=0).atlas['sim-rna'].write(tmp_path/'s.h5ad')
    lpm, scratch = Path(sys.executable).with_name('lpm'), tmp_path/'tmp'
    scratch.mkdir()
    for told in (signal.SIGTERM, signal.SIGKILL):
        p = subprocess.Popen([str(lpm), 'train', str(tmp_path/'s.h5ad'), '--out', str(tmp_path/'model'), '--members', '2', '--epochs', '5000', '--jobs', '2', '-q'],
            env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1', 'TMPDIR': str(scratch)}, stderr=subprocess.PIPE, text=True)
        t, workers = time.time(), []
        while not (workers and list((tmp_path/'.model.checkpoint').glob('*/state.json'))):
            assert time.time() - t < 120 and p.poll() is None, p.stderr.read()
            time.sleep(.1)
            workers = [c for c in children(p.pid) if 'popen_loky' in Path(f'/proc/{c}/cmdline').read_text(encoding='utf-8')]
        time.sleep(1)                                                      # both are at work
        p.send_signal(told)
        assert p.wait(30) == (143 if told == signal.SIGTERM else -told)
        t = time.time()
        while not all(map(ended, workers)):
            assert time.time() - t < 15, ('workers train on', told, [Path(f'/proc/{w}/stat').read_text()[:60] for w in workers if not ended(w)])
            time.sleep(.1)
        if told == signal.SIGTERM: assert not list(scratch.glob('lpm_workers_*'))
