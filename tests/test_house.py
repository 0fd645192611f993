"The shape of the house: layers, import time, generated files, documented functions."
import ast, importlib, inspect, json, pkgutil, re, subprocess, sys
from pathlib import Path
import pytest
import lpm_nb

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages(lpm_nb.__path__, 'lpm_nb.') if not m.ispkg and not m.name.endswith('_modidx'))
ROOMS = ['core', 'data', 'model', 'analysis', 'suite', 'serve', 'maps', 'console', 'data_commands', 'network_commands', 'map_commands', 'cli', 'start']

def room(module): return module.split('.')[1]
def imports(module):
    "All modules that a module imports, at its top and inside its functions."
    tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level: base = '.'.join(module.split('.')[:-node.level] + ([base] if base else []))
            yield base

@pytest.mark.parametrize('module', MODULES)
def test_no_arrow_back(module):
    for other in imports(module):
        if other.startswith('lpm_nb.') and not other.endswith('_modidx'):
            assert ROOMS.index(room(other)) <= ROOMS.index(room(
                module)), f'{module} imports {other}: core -> data -> model -> analysis -> suite -> maps -> serve -> console -> data_commands -> cli -> start'

def test_only_training_knows_fastai():
    assert [m for m in MODULES if any(o.split('.')[0] == 'fastai' for o in imports(m))] == ['lpm_nb.model.training']

@pytest.mark.parametrize('module', [m for m in MODULES if room(m) == 'analysis'])
def test_analysis_takes_no_learner(module):
    assert not any(o.startswith('lpm_nb.model') for o in imports(module)), f'{module} must work for anything with predict'

def test_text_is_utf8():
    "Names such as drug:β-… would stop a save after training where the system's encoding is another."
    for f in [*(ROOT/'lpm_nb').rglob('*.py'), ROOT/'setup.py', ROOT/'build_docs.py']:
        for node in ast.walk(ast.parse(f.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') in ('read_text', 'write_text'):
                assert 'encoding' in {k.arg for k in node.keywords}, f'{f.name}, line {node.lineno}: say encoding='

def test_plot_takes_tables():
    assert not any(o.startswith(('lpm_nb.model', 'torch')) for o in imports('lpm_nb.analysis.plot'))

def test_import_is_light():
    code = ("import sys, time; t = time.perf_counter(); import lpm_nb; t = time.perf_counter() - t; print(t, [m for m in ('torch', "
        "'fastai', 'seaborn', 'pandas') if m in sys.modules])")
    best = min((subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split(' ', 1)
        for _ in range(3)), key=lambda r: float(r[0]))
    assert best[1].strip() == '[]' and float(best[0]) < .2, best

def test_quarto_config_is_one_file():
    link = ROOT/'nbs/_quarto.yml'
    assert link.is_symlink() and link.resolve() == ROOT/'_quarto.yml'

def test_readme_is_current(tmp_path):
    before = (ROOT/'README.md').read_text()
    subprocess.run([sys.executable, 'build_docs.py', '--readme'], cwd=ROOT, check=True)
    assert (ROOT/'README.md').read_text() == before, "README.md is stale: run 'make export'"

def public(module):
    m = importlib.import_module(module)
    return [getattr(m, n) for n in m.__all__ if not n.startswith('_') and inspect.isfunction(getattr(m, n, None))
        and getattr(m, n).__module__ == module]

@pytest.mark.parametrize('module', MODULES)
def test_public_functions_are_documented(module):
    for f in public(module):
        assert f.__doc__, f'{module}.{f.__name__} has no docstring'
        positional = [p for p in inspect.signature(f).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if module.rpartition('.')[2] not in ('cli', 'data_commands', 'network_commands', 'map_commands') and not f.__name__ in ('encode', 'make_block', 'atlas_blocks',
            'steady_state', 'train_member', 'make_learner', 'data_list'):
            assert len([p for p in positional
                if p.name != 'self']) <= 3, f'{module}.{f.__name__} takes {len(positional)} positional parameters'

def test_speaks_of_itself_only():
    words = re.compile(r'/work/|before-stop|\bH200\b|subagent', re.I)
    for f in [*ROOT.glob('nbs/**/*.ipynb'), *ROOT.glob('lpm_nb/**/*.py'), ROOT/'README.md', ROOT/'CHANGELOG.md', ROOT/'Makefile']:
        assert not words.search(f.read_text()), f

def test_tables_of_the_site():
    "Columns of text to the left, of numbers to the right; the column of the index stands in front."
    import pandas as pd
    sys.path.insert(0, str(ROOT))
    from build_docs import align
    out = align(pd.DataFrame(dict(gene=['A', 'B'], score=[.5, float('nan')], shown=['0.1 [0.0, 0.2] *', '-1e-10'])).to_html())
    assert out.count('<td class="text">') == 2 and '<td class="text">A</td>' in out and '<th class="text">gene</th>' in out

def test_folds_of_the_site(tmp_path):
    "Code stands folded behind what is said of it, long checks are folded and what they print is not; tutorials stay as they are."
    sys.path.insert(0, str(ROOT))
    from build_docs import FOLD, Renderer, code_after_docs, fold_checks
    check = '\n'.join(['x = 1'] * 8 + ['assert x'] * 3)
    cells = [dict(cell_type='markdown', id='private', metadata={}, source=f'{FOLD} _g'), dict(cell_type='markdown', id='a', metadata={}, source=f'{FOLD} f'),
        *(dict(cell_type='code', id=x, metadata={}, source='show_doc(f)', outputs=[]) for x in 'bB'),
        dict(cell_type='code', id='c', metadata={}, source=check, outputs=['seen']), dict(cell_type='code', id='d', metadata={}, source='assert x', outputs=[])]
    for f in ('page.ipynb', 'tutorials/page.ipynb'):
        (tmp_path/f).parent.mkdir(exist_ok=True)
        (tmp_path/f).write_text(json.dumps(dict(cells=cells)), encoding='utf-8')
    code_after_docs(tmp_path)
    fold_checks(tmp_path)
    page, tutorial = (json.loads((tmp_path/f).read_text(encoding='utf-8'))['cells'] for f in ('page.ipynb', 'tutorials/page.ipynb'))
    assert [c['id'] for c in page] == ['private', 'b', 'B', 'a', 'c-code', 'c', 'd'] and [c['id'] for c in tutorial] == ['private', 'b', 'B', 'a', 'c', 'd']
    assert check in page[4]['source'] and page[5]['source'].startswith('#| echo: false') and page[5]['outputs'] == ['seen']
    from lpm_nb.model.lpm import LPMConfig
    shown = Renderer(LPMConfig)._repr_markdown_()
    assert '# length of the embedding vectors' in shown and 'lpm.py#LNone' not in shown
