#!/usr/bin/env bash
# What needs a CUDA GPU, in a few minutes: run from the repository, in an environment whose torch sees the GPU.
#   bash benchmarks/gpu.sh [FOLDER FOR RESULTS]
set -uo pipefail
cd "$(dirname "$0")/.."; OUT=${1:-gpu_results}; mkdir -p "$OUT"; PY=${PY:-python}; export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
failed() { echo "FAILED: $1" | tee -a "$OUT/failed.txt"; }     # one failure must not cost the other figures
$PY -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "this torch sees no GPU; install a CUDA build of it (https://pytorch.org/get-started)"); ' || exit 1
$PY -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(), torch.version.cuda)' | tee "$OUT/machine.txt"
$PY benchmarks/lincs_size.py --device cuda --decoder lpm --epochs 4 2>&1 | tee "$OUT/lincs_lpm.txt" || failed lincs_lpm                       # bar: an epoch in 10 s; bf16 and float32 to the same loss
$PY benchmarks/lincs_size.py --device cuda --decoder paper --epochs 2 --precision bf16 2>&1 | tee "$OUT/lincs_paper.txt" || failed lincs_paper   # bar: an epoch in 60 s
$PY benchmarks/ensemble_speed.py --device cuda --screens simulated ${LPM_DATA_HOME:+gdsc2 neurips2023} 2>&1 | tee "$OUT/ensemble.txt" || failed ensemble   # bar: five in 1.3 times one
$PY - <<'PY' 2>&1 | tee "$OUT/same_on_both.txt" || failed same_on_both
import numpy as np
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.model.learner import LPMConfig, fit_lpm
a = simulate_atlas(seed=0).atlas; c = LPMConfig(width=32, hidden=64, rank=32, epochs=15, members=2, wd_embedding=.1, init_std=.1)
for device, together in (('cpu', False), ('cuda', False), ('cuda', True)):
    m = fit_lpm(a, config=c, seed=0, device=device, together=together); print(device, 'side by side' if together else 'in turn', m.history.groupby('member')['valid_loss'].min().round(4).tolist())
PY
