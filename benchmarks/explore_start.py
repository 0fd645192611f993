"""How soon the explorer is there, and how soon it answers.

    python benchmarks/explore_start.py MODEL [--runs 3] [--clicks 10]

`lpm explore MODEL` as a person gives it: from the command to the map in Chromium (the browser is running already), to measured and predicted profile beside each other, and from a click on a point to its neighbours, its effects and its name, which comes last. The map itself is made before (`lpm map`, minutes for a large model). Python's compiled modules are written by `make`; without them every start takes two to three times as long.
"""
import argparse, os, shutil, signal, socket, subprocess, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from playwright import sync_api

def clicks(page, n, seed=0):
    "Seconds from a click to the list of neighbours and to the end of the answer, for points with room around them."
    points = page.evaluate("""() => { const gd = document.querySelector('.js-plotly-plot'), l = gd._fullLayout, b = gd.getBoundingClientRect(), out = [];
        gd._fullData.filter(t => t.mode === 'markers' && t.x.length > 5).forEach(t => Array.from(t.x).forEach((x, i) => out.push([b.left + l.xaxis._offset + l.xaxis.l2p(x), b.top + l.yaxis._offset + l.yaxis.l2p(t.y[i])]))); return out }""")
    p = np.array(points)
    d = np.linalg.norm(p[:, None] - p[None], axis=2)
    np.fill_diagonal(d, np.inf)
    out = []
    for i in np.argsort(-np.where(np.isfinite(d), d, 1e9).min(1))[:n]:
        before = page.locator('[role=status] b').inner_text()
        page.mouse.move(*p[i], steps=4)
        page.wait_for_timeout(400)
        page.mouse.down()
        page.wait_for_timeout(30)
        page.mouse.up()
        t = time.perf_counter()
        try: page.wait_for_function("n => !document.body.innerText.includes('neighbours of ' + n + '\\n')", arg=before, timeout=5_000)
        except sync_api.TimeoutError: continue           # it was the point on show
        near = time.perf_counter() - t
        page.wait_for_function("n => document.querySelector('[role=status] b')?.innerText !== n", arg=before, timeout=20_000)
        out.append((near, time.perf_counter() - t))
        page.wait_for_timeout(1500)
    return out

def one(browser, model, n):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    page = browser.new_page(viewport=dict(width=1280, height=1000))
    page.goto('about:blank')
    t = time.perf_counter()
    row = {}
    p = subprocess.Popen([str(Path(sys.executable).parent/'lpm'), 'explore', model, '--port', str(port), '--no-browser'],
        stderr=subprocess.PIPE, text=True)
    try:
        p.stderr.readline()
        row['address'] = time.perf_counter() - t
        page.goto(f'http://127.0.0.1:{port}', timeout=120_000)
        page.wait_for_selector('[role=status] b', timeout=120_000)
        page.wait_for_selector('.js-plotly-plot .points path', timeout=120_000)
        row['map'] = time.perf_counter() - t
        page.wait_for_function("[...document.querySelectorAll('.annotation-text')].some(t => t.textContent.includes('r = '))",
            timeout=300_000)
        row['predictions'] = time.perf_counter() - t
        page.wait_for_timeout(3000)
        c = np.array(clicks(page, n))
        if len(c):
            row.update(dict(zip(('click to neighbours, median', 'click to all, median'), np.median(c, axis=0))))
            row['click to all, slowest'] = c[:, 1].max()
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(30)
        page.close()
    return row

if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('model')
    a.add_argument('--runs', type=int, default=3)
    a.add_argument('--clicks', type=int, default=10)
    a = a.parse_args()
    chromium = next(p for p in (os.environ.get('LPM_CHROMIUM'),
        *map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))) if p)
    with sync_api.sync_playwright() as pl:
        browser = pl.chromium.launch(executable_path=chromium, args=['--no-sandbox', '--disable-gpu'])
        t = pd.DataFrame([one(browser, a.model, a.clicks) for _ in range(a.runs)]).T
        browser.close()
    print('seconds\n' + t.round(2).to_string())
