"A server that stalls, truncates, lies, dies and sends web pages: each ends in a clear error or in the right file, never in a wrong one."
import hashlib, http.server, json, multiprocessing, random, re, shutil, threading, time

import pytest
from lpm_nb.core import FetchError, StorageError
from lpm_nb.data.fetch import Remote, fetch_file

DATA = random.Random(0).randbytes(1 << 20) * 3                             # 3 MB, the same in every process
SHA = 'sha256:' + hashlib.sha256(DATA).hexdigest()

class Server(http.server.BaseHTTPRequestHandler):
    "Misbehaves as the path says; `asked` counts requests, `starts` are the offsets asked for."
    asked, starts, lock = {}, {}, threading.Lock()
    def do_GET(self):
        how = self.path.split('/')[1]
        with self.lock: n = self.asked[how] = self.asked.get(how, 0) + 1
        m = re.match(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(m[1]) if m else 0
        self.starts.setdefault(how, []).append(start)
        if how == '404' or how == '500' or (how == 'busy' and n < 3): return self.send_error({'404': 404, '500': 500, 'busy': 503}[how])
        if how == 'html':
            self.send_response(200)
            self.send_header('Content-Type', 'text/html; charset=utf-8')
            self.end_headers()
            return self.wfile.write(b'<html>please log in</html>')
        if how == 'loop':
            self.send_response(302)
            self.send_header('Location', self.path)
            return self.end_headers()
        if how == 'redirect':
            self.send_response(302)
            self.send_header('Location', 'http://example.org/file.bin')
            return self.end_headers()
        data = DATA[::-1] if how == 'wrong' or (how == 'changes' and n > 1) else DATA
        if how == 'norange': start = 0
        if how == 'changes': start = start if self.headers.get('If-Range') == f'"{n > 1}"' else 0
        body, announced = data[start:], len(data) - start
        if how in ('dies', 'norange', 'changes', 'elsewhere') and n < 3: body = body[:1_000_000]
        if how == 'truncates': body = body[:0] if n > 1 else body[:700_000]
        if how == 'lies': announced += 1000
        if start >= len(data):
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{len(data)}')
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header('Content-Type', 'application/octet-stream')
        self.send_header('ETag', f'"{how == "changes" and n > 1}"')
        if how != 'nolength': self.send_header('Content-Length', str(announced))
        if start: self.send_header('Content-Range', f'bytes {start + (how == "elsewhere" and n == 2)}-{len(data) - 1}/{len(data)}')
        self.end_headers()
        if how == 'stalls' and n < 3:
            self.wfile.write(body[:500_000])
            self.wfile.flush()
            time.sleep(3)
            return
        if how == 'slow':
            for i in range(0, len(body), 1 << 18):
                self.wfile.write(body[i:i + (1 << 18)])
                time.sleep(.05)
            return
        self.wfile.write(body)
    def log_message(self, *a): pass

pytestmark = pytest.mark.xdist_group('fetch')   # one process makes the fixtures

@pytest.fixture(scope='module')
def url():
    Server.asked.clear()
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server)
    s.daemon_threads = True
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield lambda how: f'http://127.0.0.1:{s.server_port}/{how}/file.bin'
    s.shutdown()

def clean(folder): return not (folder/'file.bin').exists()

@pytest.mark.parametrize('how', ['fine', 'dies', 'stalls', 'busy', 'norange', 'slow', 'nolength', 'elsewhere'])
def test_ends_in_the_right_file(url, tmp_path, how):
    got = fetch_file(Remote(url(how), len(DATA), SHA), folder=tmp_path, timeout=1)
    assert got.read_bytes() == DATA and not list(tmp_path.glob('.*part*'))
    if how in ('dies', 'stalls'): assert Server.starts[how][1] >= 400_000, 'it went on where it stopped'

@pytest.mark.parametrize('how, said', [('404', '404'), ('500', 'answered 500'), ('html', 'web page'), ('truncates', 'could not be fetched'),
    ('wrong', 'checksum mismatch'), ('redirect', 'https'), ('loop', 'more than ten times')])
def test_ends_in_a_clear_error(url, tmp_path, how, said):
    with pytest.raises(FetchError, match=said): fetch_file(Remote(url(how), len(DATA), SHA), folder=tmp_path, timeout=1, tries=2)
    assert clean(tmp_path)

def test_a_lie_about_the_length(url, tmp_path):
    with pytest.raises(FetchError, match='announces'): fetch_file(Remote(url('lies'), len(DATA), SHA), folder=tmp_path, timeout=1, tries=2)
    # size unknown: it waits for bytes that never come
    with pytest.raises(FetchError): fetch_file(Remote(url('lies'), 0, SHA), folder=tmp_path, timeout=1, tries=2)
    assert clean(tmp_path)

def test_a_file_that_changed_in_the_middle_is_not_mixed(url, tmp_path):
    with pytest.raises(FetchError, match='checksum'): fetch_file(Remote(url('changes'), len(DATA), SHA), folder=tmp_path, timeout=1)
    got = fetch_file(Remote(url('changes'), len(DATA)), folder=tmp_path, timeout=1)
    assert got.read_bytes() == DATA[::-1]

def test_an_interrupted_fetch_goes_on(url, tmp_path):
    def stop(done, total):
        if done > 1_500_000: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path, on_bytes=stop)
    assert clean(tmp_path) and (tmp_path/'.file.bin.part').stat().st_size > 1_000_000
    Server.starts['fine'] = []
    assert fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path).read_bytes() == DATA
    assert Server.starts['fine'][0] > 1_000_000

def test_a_part_of_another_address_is_not_used(url, tmp_path):
    (tmp_path/'.file.bin.part').write_bytes(b'x' * 100)
    (tmp_path/'.file.bin.part.json').write_text(json.dumps(dict(url='https://elsewhere', validator='"False"')))
    assert fetch_file(Remote(url('fine'), len(DATA)), folder=tmp_path).read_bytes() == DATA

def test_a_full_disk_is_said_before_the_first_byte(url, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(StorageError, match='LPM_CACHE_HOME'): fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path)
    assert clean(tmp_path)

def _fetch(url, folder, out): out.put(hashlib.sha256(fetch_file(Remote(url, len(DATA), SHA), folder=folder).read_bytes()).hexdigest())

def test_two_processes_at_once(url, tmp_path):
    Server.asked['slow'] = 0
    spawn = multiprocessing.get_context('spawn')
    out = spawn.Queue()
    ps = [spawn.Process(target=_fetch, args=(url('slow'), tmp_path, out)) for _ in range(2)]
    for p in ps: p.start()
    got = {out.get(timeout=60) for _ in ps}
    for p in ps: p.join()
    assert got == {SHA[7:]} and Server.asked['slow'] == 1      # the second waited

def test_more_bytes_than_announced(url, tmp_path):
    with pytest.raises(FetchError, match='nothing was kept'): fetch_file(Remote(url('nolength'), 1000), folder=tmp_path, timeout=1)
    assert clean(tmp_path) and not list(tmp_path.glob('.*.part'))

def test_a_disk_that_fills_up_keeps_what_came(url, tmp_path, monkeypatch):
    def full(*a, **k): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('lpm_nb.data.fetch.open', full, raising=False)
    with pytest.raises(StorageError, match='make room'): fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path, timeout=1)
    assert clean(tmp_path)

def test_what_lies_in_the_cache_and_the_mirror(url, tmp_path):
    got = fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path)
    got.write_bytes(b'short')
    with pytest.raises(FetchError, match='remove it and fetch it again'): fetch_file(Remote(url('fine'), len(DATA), SHA), folder=tmp_path)
    (tmp_path/'mirror').mkdir()
    (tmp_path/'mirror/file.bin').write_bytes(b'another')
    got.unlink()
    with pytest.raises(FetchError, match='not the file that was fetched before'):
        fetch_file(Remote(url('fine')), folder=tmp_path, mirror=tmp_path/'mirror')

def test_only_https(tmp_path):
    with pytest.raises(FetchError, match='expected an https address'): fetch_file(Remote('http://example.org/a.bin'), folder=tmp_path)
