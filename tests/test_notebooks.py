"Every notebook runs, exactly as `nbdev_test` runs it: one test each. NB_FLAGS='data slow' forces flagged cells."
import os
from pathlib import Path
import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_notebook

CFG = get_config()
NOTEBOOKS = sorted(Path(p) for p in nbglob(CFG.nbs_path))
HAS_DATA = any((Path(os.environ.get('LPM_DATA_HOME', CFG.config_path.parent/'shared/data'))/f).exists()
    for f in ['neurips2023_ranknorm_x30_int8.h5ad'])
run_notebook.__test__ = False

@pytest.mark.parametrize('nb', NOTEBOOKS, ids=lambda p: p.name)
def test_notebook(nb, monkeypatch):
    monkeypatch.chdir(nb.parent)
    force = os.environ.get('NB_FLAGS', '').split() or (['data'] if HAS_DATA else [])
    ok, seconds = run_notebook(nb, skip_flags=CFG.tst_flags.split(), force_flags=force, basepath=CFG.config_path)
    assert ok, f'{nb.name} failed after {seconds:.1f} s'

def test_data_cells():
    if not HAS_DATA: pytest.skip("no data folder: the cells that read real screens were skipped (set LPM_DATA_HOME)")
