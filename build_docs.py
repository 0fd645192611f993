"""Render the docs site, and README.md.

`python build_docs.py`            the site into _docs/: with Quarto where it is on PATH, else with smalldocs from the same _quarto.yml
`python build_docs.py --readme`   README.md from nbs/index.ipynb (needs no Quarto)
"""
import html, importlib, inspect, json, re, shutil, subprocess, sys
from pathlib import Path
import nbdev.doclinks, nbdev.processors, nbdev.showdoc
import typer
import yaml
from nbdev.config import get_config
from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parent

def write_readme():
    "README.md: the prose and the shown code of nbs/index.ipynb, with its text outputs."
    nb, out = json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8')), []
    for c in nb['cells']:
        s = ''.join(c['source']).strip()
        if c['cell_type'] == 'markdown':
            out.append(re.sub(r'\((?!https?:)((?:data/|model/|analysis/|tutorials/|explanations/)?[\w]+\.ipynb(?:#[\w-]+)?|images/[\w.]+)\)',
                r'(nbs/\1)', s))
        elif c['cell_type'] == 'code' and s and not re.search(r'^#\| *(hide|include: *false|default_exp)', s, re.M):
            out.append('```python\n' + '\n'.join(l for l in s.splitlines() if not l.startswith('#|')) + '\n```')
            for o in c.get('outputs', []):
                t = ''.join(o.get('text', o.get('data', {}).get('text/markdown', o.get('data', {}).get('text/plain', '')))).rstrip()
                if t: out.append('```text\n' + t + '\n```')
    (ROOT/'README.md').write_text('\n\n'.join(out) + '\n', encoding='utf-8')

def front_matter(nb):
    for c in nb['cells'][:2]:
        s = ''.join(c['source'])
        if c['cell_type'] in ('raw', 'markdown') and s.startswith('---'): return yaml.safe_load(s.split('---')[1]) or {}
    return {}

def commands(command, path=()):
    "Every command of the command line: function -> (its name, its click command)."
    path = (*path, command.name or 'lpm')
    for c in getattr(command, 'commands', {}).values(): yield from commands(c, path)
    if command.callback is not None: yield command.callback.__wrapped__.__name__, (' '.join(path), command)

def of_table(x): return x.replace('|', '\\|').replace('\n', ' ')

def short_types(signature): return re.sub(r"(?<![\w.'\"])(?:[a-z_]\w*\.)+(?=[A-Z])", '', signature)      # collections.abc.Sequence -> Sequence

def of_module(sym):
    "A class as its module has it: of one that a cell has just defined no source is found, and so no comments of its fields."
    from lpm_nb._modidx import d
    if not inspect.isclass(sym): return sym
    return next((getattr(importlib.import_module(m), sym.__name__) for m, names in d['syms'].items() if f'{m}.{sym.__name__}' in names), sym)

class Renderer(nbdev.showdoc.BasicMarkdownRenderer):
    "Functions as nbdev renders them, commands as `--help` does."
    known = None
    def __init__(self, sym, name=None, title_level=3): super().__init__(of_module(sym), name, title_level)
    def line(self):
        "Where the source stands, as a link has it; nbdev does not find decorated classes."
        try: return f'#L{inspect.getsourcelines(self.sym)[1]}'
        except (OSError, TypeError): return ''
    def _repr_markdown_(self):
        if Renderer.known is None:
            from lpm_nb.cli import app
            Renderer.known = dict(commands(typer.main.get_command(app)))
        name, c = Renderer.known.get(getattr(self.sym, '__name__', ''), (None, None))
        if c is None or not any(hasattr(p.annotation, '__metadata__') for p in inspect.signature(self.sym).parameters.values()):
            shown = super()._repr_markdown_().replace('#LNone', self.line())
            return re.sub(r'```python.*?```', lambda m: '```' + short_types(m[0].strip('`').replace('`', '')) + '```', shown, flags=re.S)    # no links in code
        about, _, examples = re.sub(r'\[/?bold\]', '', c.help).partition('Example')
        examples = [e.strip() for e in examples.partition(':')[2].split('·') if e.strip()]
        rows = [(f'`{r[0]}`', re.sub(r'(?<![`\w-])(--[a-z][\w-]*)', r'`\1`', r[1].strip())) for p in c.params if (r := p.get_help_record(typer.Context(c))) and '--help' not in r[0]]
        return '\n\n'.join([f"{'#' * self.title_level} {name} {{#{self.sym.__name__}}}", about.strip(), *(['```sh\n' + '\n'.join(examples) + '\n```'] if examples else []),
            '| option | what it is |\n|---|---|\n' + '\n'.join(f'| {of_table(a)} | {of_table(b)} |' for a, b in rows), ''])

def align(table):
    "A data frame's html: columns of text to the left, numbers to the right and unbroken."
    number = re.compile(r'(?:[−+-]?[\d.,]+(?:e[+-]?\d+)?\s*%?|nan|NaN|–|-|inf|)(?:\s*\[[^\]]*\])?\s*[*−]?')
    head, body, tail = re.fullmatch(r'(.*?<tbody>)(.*)(</tbody>.*)', table, re.S).groups()
    rows = [re.findall(r'<td>(.*?)</td>', r, re.S) for r in re.findall(r'<tr[^>]*>(.*?)</tr>', body, re.S)]
    width = max(map(len, rows), default=0)
    text = [any(not number.fullmatch(html.unescape(r[k]).strip()) for r in rows if k < len(r)) for k in range(width)]
    def mark(tag, first): # cells of one row, counted from its end, as the index stands in front
        def row(m):
            n = len(re.findall(rf'<{tag}>', m[0]))
            k = iter(range(width - n, width))
            return re.sub(rf'<{tag}>', lambda c: f'<{tag} class="text">' if (i := next(k)) >= 0 and text[i] else c[0], m[0])
        return row
    body = re.sub(r'<tr[^>]*>.*?</tr>', mark('td', 0), body, flags=re.S)
    return re.sub(r'<tr[^>]*>.*?</tr>', mark('th', 1), head, flags=re.S) + body + tail

def align_tables(proc):
    "All data frames of the processed notebooks."
    for f in proc.rglob('*.ipynb'):
        nb, before = json.loads(f.read_text(encoding='utf-8')), f.read_text(encoding='utf-8')
        for o in (o for c in nb['cells'] for o in c.get('outputs', [])):
            t = ''.join(o.get('data', {}).get('text/html', ''))
            if 'class="dataframe"' in t and '<tbody>' in t:
                o['data']['text/html'] = align(re.sub(r'<style scoped>.*?</style>', '', t, flags=re.S))     # it is not kept to its table
        if (after := json.dumps(nb)) != before: f.write_text(after, encoding='utf-8')

FOLD = '<details class="code">'

def fold(code, what='code'): return f'{FOLD}<summary>{what}</summary>\n\n```python\n{code}\n```\n\n</details>'

def fold_code(cell):
    "The code of an exported cell, folded: the prose before it speaks of it, whether or not its names are public."
    if not cell.directives_ or not cell.directives_.keys() & {'export', 'exporti', 'hide', 'default_exp'}: return
    code = '\n'.join(l for l in cell.source.splitlines() if not re.match(r'#\| *\w', l)).strip()
    if cell.directives_.keys() & {'hide', 'default_exp'} or not re.search(r'^(?:def|class|@|\w+ *=)', code, re.M): del cell['source']
    else: cell.cell_type, cell.source = 'markdown', fold(code)
def code_after_docs(proc):
    "Each fold of code behind what `show_doc` says of it."
    for f in proc.rglob('*.ipynb'):
        nb, cells = json.loads(f.read_text(encoding='utf-8')), []
        for c in nb['cells']:
            doc = c['cell_type'] == 'code' and 'show_doc(' in ''.join(c['source'])
            mine = doc and bool(cells) and ''.join(cells[-1]['source']).startswith(FOLD)     # a fold further up is of a private function
            cells.insert(len(cells) - mine, c)
        if cells != nb['cells']: f.write_text(json.dumps(nb | dict(cells=cells)), encoding='utf-8')

def fold_checks(proc):
    "Long cells that are mostly assertions, folded on the pages of the reference; what they print stays in sight."
    for f in proc.rglob('*.ipynb'):
        if f.parent.name in ('tutorials', 'explanations'): continue
        nb, cells = json.loads(f.read_text(encoding='utf-8')), []
        for c in nb['cells']:
            s = ''.join(c['source'])
            if c['cell_type'] == 'code' and s.count('\n') >= 9 and len(re.findall(r'^\s*(?:assert|test_|with expect_fail)', s, re.M)) >= 3:
                code = '\n'.join(l for l in s.splitlines() if not l.startswith('#|'))
                cells.append(dict(cell_type='markdown', metadata={}, id=f"{c['id']}-code", source=fold(code, 'check')))
                c = c | dict(source=f'#| echo: false\n{s}')
            cells.append(c)
        if cells != nb['cells']: f.write_text(json.dumps(nb | dict(cells=cells)), encoding='utf-8')

def offer_notebooks(proc):
    "A link on each tutorial to the notebook that it is; `keep_notebooks` puts it there."
    for f in (proc/'tutorials').glob('*.ipynb'):
        nb = json.loads(f.read_text(encoding='utf-8'))
        first = next(k for k, c in enumerate(nb['cells']) if c['cell_type'] == 'markdown')
        nb['cells'].insert(first + 1, dict(cell_type='markdown', id='download', metadata={},
            source=f'<a href="{f.name}" download>This page as a notebook</a>, to run and to change.'))
        f.write_text(json.dumps(nb), encoding='utf-8')

def keep_notebooks(out):
    "The notebooks of the tutorials, beside their pages."
    for f in (ROOT/'nbs/tutorials').glob('*.ipynb'): shutil.copy(f, out/'tutorials'/f.name)

def with_smalldocs(proc, out):
    "The fallback where Quarto cannot be had: the same pages and the same sidebar."
    from latex2mathml.converter import convert
    stage = proc.parent/'_stage'
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(proc, stage, ignore=shutil.ignore_patterns('_docs', '.*', 'nbs'))
    config = (proc/'_quarto.yml').read_text(encoding='utf-8')
    for f in sorted(stage.rglob('*.ipynb')):
        to = front_matter(json.loads(f.read_text(encoding='utf-8'))).get('output-file')
        if to:
            new = f.with_name(Path(to).with_suffix('.ipynb').name)
            config = re.sub(rf'(?<![\w/]){re.escape(str(f.relative_to(stage)))}', str(new.relative_to(stage)), config)
            f.rename(new)
    (stage/'_quarto.yml').write_text(config, encoding='utf-8')
    for f in sorted(stage.rglob('*.ipynb')):                           # links to notebooks follow their new names
        nb = json.loads(f.read_text(encoding='utf-8'))
        for c in nb['cells']:
            if c['cell_type'] == 'markdown':
                c['source'] = re.sub(r'(\]\((?:(?:\w+|\.\.)/)*)\d+[a-z]*_(\w+\.ipynb(?:#[\w-]+)?\))', r'\1\2', ''.join(c['source']))
        f.write_text(json.dumps(nb), encoding='utf-8')
    subprocess.run([str(Path(sys.executable).with_name('smalldocs')), 'render', str(stage)], check=True)
    def math(m): return convert(html.unescape(m[3]), display='block' if m[1] == 'display' else 'inline')
    for f in (stage/'_docs').rglob('*.html'):
        s = f.read_text(encoding='utf-8')
        s = re.sub(r'<span class="math (inline|display)">\\([(\[])(.*?)\\[)\]]</span>', math, s, flags=re.S)
        f.write_text(re.sub(r'<(?:link|script)[^>]*(?:katex)[^>]*>(?:</script>)?', '', s), encoding='utf-8')
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(stage/'_docs', out)
    shutil.rmtree(stage)

def build():
    cfg = get_config()
    out = cfg.config_path/cfg.doc_path.name
    nbdev.showdoc.BasicMarkdownRenderer = Renderer
    names = nbdev.processors._def_names
    nbdev.processors._def_names = lambda *args: list(reversed(names(*args)))    # each is put in front of the one before
    fold_code.__name__ = nbdev.processors.rm_export.__name__
    nbdev.processors.rm_export = fold_code
    linked = nbdev.doclinks.NbdevLookup._link_sym
    nbdev.doclinks.NbdevLookup._link_sym = lambda self, m: m[0] if m[1].startswith('_') else linked(self, m)       # private names have no place to go to
    proc = proc_nbs(n_workers=0, force=True)                            # in this process, which knows the renderer
    align_tables(proc)
    code_after_docs(proc)
    fold_checks(proc)
    offer_notebooks(proc)
    if shutil.which('quarto') and '--no-quarto' not in sys.argv:
        subprocess.run(['quarto', 'render', '--no-cache'], cwd=proc, check=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(proc/cfg.doc_path.name, out)
        print('built with quarto')
    else:
        with_smalldocs(proc, out)
        print('built with smalldocs (no quarto on PATH)')
    keep_notebooks(out)

if __name__ == '__main__': write_readme() if '--readme' in sys.argv else build()
