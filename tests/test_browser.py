"The explorer in a real browser: a person types, clicks, chooses, takes along, and makes mistakes."
import os, shutil
from pathlib import Path
import psutil, pytest

CHROMIUM = next((p for p in (os.environ.get('LPM_CHROMIUM'),
    *map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))) if p), None)
sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
if CHROMIUM is None: pytest.skip('no Chromium found (set LPM_CHROMIUM to its path)', allow_module_level=True)

pytestmark = pytest.mark.xdist_group('browser')   # one process makes the fixtures

@pytest.fixture(scope='module')
def world(tmp_path_factory):
    "A small model of the simulated atlas, and its screens as files."
    from lpm_nb.data.simulate import simulate_atlas
    from lpm_nb.model.learner import LPMConfig, fit_lpm
    tmp = tmp_path_factory.mktemp('explorer')
    sim = simulate_atlas(seed=0, n_genes=24, n_drugs=20, n_doubles=5, n_systems=3)
    fit_lpm(sim.atlas, config=LPMConfig(width=16, hidden=16, rank=16, epochs=6, members=2), seed=0).save(tmp/'model')
    files = []
    for s in sim.atlas.values():
        files.append(tmp/f'{s.name}.h5ad')
        s.write(files[-1])
    return tmp, files

@pytest.fixture(scope='module')
def page(world):
    from lpm_nb.maps import prepare_map, screens_of_model
    from lpm_nb.serve import serve_app, write_app
    from lpm_nb.data.screen import Screen
    tmp, files = world
    before = os.environ.get('LPM_CACHE_HOME')
    os.environ['LPM_CACHE_HOME'] = str(tmp/'cache')
    prepare_map(tmp/'model', screens_of_model(tmp/'model', screens=[Screen.read(f) for f in files]), method='pca')
    app, server = write_app(tmp/'app.ipynb', tmp/'model', screens=files, method='pca', start='drug:D03'), None
    try:
        with sync_api.sync_playwright() as p:
            browser = p.chromium.launch(executable_path=CHROMIUM,
                args=['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
                '--disable-component-update', '--disable-sync'])
            page = browser.new_page(viewport=dict(width=1280, height=1000), accept_downloads=True)
            page.goto('about:blank')
            page.faults = []
            page.on('pageerror', lambda e: page.faults.append(str(e)))
            server, address = serve_app(app)
            page.server = server   # the browser waits for it, as a person's does
            page.goto(address, timeout=180_000)
            page.wait_for_selector('[role=status] b', timeout=180_000)
            page.wait_for_selector('.js-plotly-plot .points path', timeout=180_000)
            yield page
            browser.close()
    finally:
        if server:
            server.terminate()
            server.wait(20)
        os.environ.pop('LPM_CACHE_HOME') if before is None else os.environ.update(LPM_CACHE_HOME=before)

def chosen(page): return page.locator('[role=status] b').inner_text()
def wait_for(page, name):
    page.wait_for_function("n => document.querySelector('[role=status] b')?.innerText === n", arg=name, timeout=45_000)
# they follow one after the other
def panels(page, name): page.wait_for_function("n => document.body.innerText.includes('neighbours of ' + n)", arg=name, timeout=45_000)
def search(page): return page.get_by_placeholder('type a name')
def point(page, x, y):
    "Where a point of the map is on the page."
    return page.evaluate("""([x, y]) => { const gd = document.querySelector('.js-plotly-plot'), l = gd._fullLayout, b = gd.getBoundingClientRect();
        return [b.left + l.xaxis._offset + l.xaxis.l2p(x), b.top + l.yaxis._offset + l.yaxis.l2p(y)] }""", [x, y])
def label(symbol): return symbol.removeprefix('drug:')                        # genes have two kinds of perturbation here, and keep theirs
def hit(page, x, y):
    "Move to a point of the map and click, as fast as a hand can."
    page.mouse.move(*point(page, x, y), steps=4)
    page.wait_for_timeout(120)
    page.mouse.down()
    page.wait_for_timeout(30)
    page.mouse.up()
def shot(page, name):
    if os.environ.get('LPM_SCREENSHOTS'): page.screenshot(path=str(Path(os.environ['LPM_SCREENSHOTS'])/f'{name}.png'), full_page=True)

def coordinates(world):
    import pandas as pd
    return pd.read_parquet(next((world[0]/'cache').glob('maps/*/pca-0.parquet')))

def far_points(world, n):
    "Points with the most room around them, so that a click means one of them."
    import numpy as np
    p = coordinates(world)
    d = np.linalg.norm(p.to_numpy()[:, None] - p.to_numpy()[None], axis=2)
    np.fill_diagonal(d, np.inf)
    return p.iloc[np.argsort(-d.min(1))[:n]]

def test_it_opens(page):
    assert chosen(page) == 'D03'
    kernels = [c for c in psutil.Process(page.server.pid).children() if 'ipykernel' in ' '.join(c.cmdline())]
    assert len(kernels) == 1, 'a page that is asked for too early gets a kernel of its own, beside the one that was begun for it'
    # the predictions have followed
    page.wait_for_function("[...document.querySelectorAll('.annotation-text')].some(t => t.textContent.includes('r = '))", timeout=180_000)
    assert page.locator('text=neighbours of D03').count() == 1 and page.locator('text=seeds that agree').count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280, 'the page is wider than 1,280 pixels'
    shot(page, '1-opened')

def test_type_a_name(page):
    # two kinds of perturbation have this name
    search(page).fill('G05')
    search(page).press('Enter')
    page.wait_for_selector('[role=status] .note', timeout=45_000)
    assert 'could be' in page.locator('[role=status]').inner_text() and 'neighbours of D03' in page.content()
    search(page).fill('CRISPRi:G05')
    search(page).press('Enter')
    wait_for(page, 'CRISPRi:G05')
    panels(page, 'CRISPRi:G05')
    search(page).fill('d07')
    search(page).press('Enter')
    wait_for(page, 'D07')   # another case
    panels(page, 'D07')
    shot(page, '2-typed')

def test_a_name_that_does_not_exist(page):
    search(page).fill('D777')
    search(page).press('Enter')
    page.wait_for_selector('[role=status] .note', timeout=45_000)
    said = page.locator('[role=status]').inner_text()
    assert 'nearest' in said and 'Still showing D07' in said
    assert 'neighbours of D07' in page.content()
    shot(page, '3-unknown')

def test_click_a_point(page, world):
    for symbol, (x, y) in far_points(world, 2).iterrows():
        hit(page, x, y)
        name = label(symbol)
        wait_for(page, name)
        panels(page, name)
    shot(page, '4-clicked')

def test_two_fast_clicks(page, world):
    (a, p), (b, q) = far_points(world, 2).iterrows()
    search(page).fill('D03')
    search(page).press('Enter')
    wait_for(page, 'D03')
    hit(page, *p)
    hit(page, *q)  # the second may fall into the redrawing after the first; then it is as if it was not made
    page.wait_for_function("names => names.includes(document.querySelector('[role=status] b')?.innerText)", arg=[label(a), label(b)],
        timeout=45_000)
    page.wait_for_timeout(2500)
    name = chosen(page)
    assert name in (label(a), label(b)) and f'neighbours of {name}' in page.content(), 'the panels agree'
    hit(page, *q)
    wait_for(page, label(b))
    page.wait_for_function("n => document.body.innerText.includes('neighbours of ' + n)", arg=label(b), timeout=45_000)

def test_change_the_context(page):
    search(page).fill('D03')
    search(page).press('Enter')
    wait_for(page, 'D03')
    menu = page.locator('select').first
    options = menu.locator('option').all_inner_texts()
    assert len(options) >= 4
    wanted = next(o for o in options if 'line2' in o)
    menu.select_option(label=wanted)
    page.wait_for_function("[...document.querySelectorAll('.annotation-text')].some(t => t.textContent.includes('line2'))", timeout=45_000)
    # the panels follow one after the other
    page.wait_for_function("document.querySelector('code')?.innerText.includes(\"context='line2|sim-rna'\")", timeout=45_000)
    shot(page, '5-context')

def test_compare(page):
    for name in ('D03', 'D07', 'D11'):
        search(page).fill(name)
        search(page).press('Enter')
        wait_for(page, name)
        page.get_by_role('button', name='add to comparison').click()
        page.wait_for_function("n => document.body.innerText.includes('comparison: ')", arg=name, timeout=45_000)
    page.wait_for_selector('text=comparison: 3 perturbations', timeout=45_000)
    page.wait_for_function("document.querySelector('code')?.innerText.includes('plot_neighbourhood')", timeout=45_000)
    shot(page, '6-compared')
    page.get_by_role('button', name='clear comparison').click()
    page.wait_for_selector('text=comparison: 3 perturbations', state='detached', timeout=45_000)

def test_take_along(page, tmp_path):
    for link, check in (('neighbours_D11.csv', 'symbol,similarity'), ('effects_D11.csv', 'context,readout'), ('map_D11.svg', '<svg')):
        with page.expect_download() as d: page.get_by_role('link', name=link).click()
        d.value.save_as(tmp_path/link)
        text = (tmp_path/link).read_text()
        assert text.startswith(check) and len(text) > 300, link

def test_by_keyboard(page):
    search(page).focus()
    page.keyboard.press('ControlOrMeta+a')
    page.keyboard.type('D05')
    page.keyboard.press('Enter')
    wait_for(page, 'D05')
    page.keyboard.press('Tab')
    assert page.evaluate("document.activeElement.tagName") == 'SELECT'

def test_a_resized_window(page):
    page.set_viewport_size(dict(width=760, height=900))
    page.wait_for_timeout(300)
    search(page).fill('D02')
    search(page).press('Enter')
    wait_for(page, 'D02')
    shot(page, '7-narrow')
    page.set_viewport_size(dict(width=1280, height=1000))
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280 and not page.faults, page.faults
