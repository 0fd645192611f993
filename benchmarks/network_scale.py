"""Time and memory of network inference against size: perturbed genes × genes read out, random effects.

Each cell runs in a process of its own; CPU seconds and peak memory are of that process (imports included in memory).

    python benchmarks/network_scale.py
"""
import argparse, subprocess, sys

CHILD = '''
import sys, time, resource, numpy as np, pandas as pd
from lpm_nb.analysis.network import GeneEffects, infer_edges
n, m, method, top = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]) or None
g = np.random.default_rng(0); genes = pd.Index([f"g{i}" for i in range(m)]); src = genes[:n]
V = g.standard_normal((n, m)); V[np.arange(n), np.arange(n)] = -5
e = GeneEffects(pd.DataFrame(V, src, genes), pd.Series(-1, src), pd.Series(0., genes), "c", "s", "CRISPRi", origin=pd.Series("measured", src))
c, t = time.process_time(), time.perf_counter()
edges = infer_edges(e, method, top=top)
print(len(edges), round(time.process_time() - c, 1), round(time.perf_counter() - t, 1), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2))
'''

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--sizes', nargs='+', default=['250x1000', '500x2000', '1000x4000', '2000x8500'])
    a.add_argument('--methods', nargs='+', default=['mean difference', 'direct effects', 'ridge', 'co-function'])
    o = a.parse_args()
    print(f'{"perturbed × read out":>22s} {"method":16s} {"edges":>12s} {"CPU s":>7s} {"wall s":>7s} {"peak GiB":>9s}')
    for size in o.sizes:
        n, m = size.split('x')
        for method in o.methods:
            r = subprocess.run([sys.executable, '-c', CHILD, n, m, method, '0'], capture_output=True, text=True)
            if r.returncode:
                print(f'{n + " × " + m:>22s} {method:16s} failed: {r.stderr.strip().splitlines()[-1]}')
                continue
            e, c, w, g = r.stdout.split()
            print(f'{n + " × " + m:>22s} {method:16s} {int(e):12,d} {c:>7s} {w:>7s} {g:>9s}', flush=True)

if __name__ == '__main__': main()
