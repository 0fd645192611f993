"""Members in processes of their own: wall time of a whole `fit_lpm` with several processes beside one, and how much the answers differ.

    python benchmarks/jobs_speed.py [--screens gdsc2 horlbeck-jurkat neurips2023] [--jobs 2]

Starting the processes, in which each loads the library, is part of the time.
"""
import argparse, time, warnings
import numpy as np
import pandas as pd
from lpm_nb.data.sources import read_screen
from lpm_nb.model.learner import default_config, fit_lpm

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--screens', nargs='+', default=['gdsc2', 'horlbeck-jurkat', 'neurips2023'])
    p.add_argument('--jobs', type=int, default=2)
    a = p.parse_args()
    warnings.simplefilter('ignore')
    rows = []
    for name in a.screens:
        s, took, said = read_screen(name), {}, {}
        for jobs in (1, a.jobs):
            begun = time.perf_counter()
            model = fit_lpm(s, seed=0, device='cpu', jobs=jobs)
            took[jobs], said[jobs] = time.perf_counter() - begun, model.predict_screen(name, s.obs.iloc[:500])[0]
        rows.append(dict(screen=name, members=default_config(s).members, one_process_s=took[1], several_s=took[a.jobs], times_faster=took[1] / took[a.jobs],
            largest_difference=float(np.abs(said[1] - said[a.jobs]).max() / said[1].std())))
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format='{:,.3g}'.format), flush=True)
