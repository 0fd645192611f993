"""What cell-eval and scperteval say of one small fixture: tests/peer_scores.json, to which a test holds our metrics.

Run where both packages are installed (they need not be for the tests):
    pip install cell-eval==0.8.2 scperteval==0.2.0 && python benchmarks/peer_scores.py
"""
import json
from importlib.metadata import version
from pathlib import Path
import anndata as ad, numpy as np, pandas as pd
from cell_eval import MetricsEvaluator  # noqa: F401  (fails early where the package is broken)
from cell_eval._types import PerturbationAnndataPair
from cell_eval.metrics import _anndata as cell
from scperteval.protocols import metrics as sc

def fixture():
    "(true, predicted, control) of 12 perturbations × 30 genes, as tests/test_evidence.py makes them."
    g = np.random.default_rng(7)
    true = g.normal(size=(12, 30))
    return true, .15 * true + g.normal(size=true.shape), g.normal(size=30)

true, pred, control = fixture()
names = [f'p{i:02d}' for i in range(12)]
def cells(x):
    return ad.AnnData(np.vstack([x, control]), obs=pd.DataFrame({'perturbation': [*names, 'control']}, index=[f'c{i}' for i in range(13)]),
        var=pd.DataFrame(index=[f'g{i}' for i in range(30)]))
pair = PerturbationAnndataPair(real=cells(true), pred=cells(pred), pert_col='perturbation', control_pert='control')
def listed(d): return [d[n] for n in names]
said = {'versions': {p: version(p) for p in ('cell-eval', 'scperteval')},
    'cell-eval': {'pearson_delta': listed(cell.pearson_delta(pair)), 'mse': listed(cell.mse(pair)), 'mae': listed(cell.mae(pair)),
        **{f'discrimination_{m}': listed(cell.discrimination_score(pair, metric=m)) for m in ('l1', 'l2', 'cosine')}},
    'scperteval': {'pearson': [sc.pearson(t, p, None) for t, p in zip(true, pred)],
        'pearson_delta': [sc.pearson(t - control, p - control, None) for t, p in zip(true, pred)],
        'r2': [sc.r2(t, p, None) for t, p in zip(true, pred)],
        'mse': [sc.mse(t, p, None) for t, p in zip(true, pred)], 'nir': sc.nir(list(true), list(pred), None).tolist()}}
out = Path(__file__).parent.parent/'tests'/'peer_scores.json'
out.write_text(json.dumps(said, indent=1) + '\n')
print(out)
