"""How well maps know biology: relations and functions of genes, mechanisms and targets of drugs; the model's map beside raw profiles, PCA and databases.

    python benchmarks/discovery.py --seeds 3 --models DIR [--only replogle l1000 neurips gdsc macrophage targets]

Writes DIR/discovery.parquet (one row per seed, task, method, metric) and prints means over seeds. Models are kept in DIR and used again.
Needs the data folder. The split plays no role here: nothing is held out, the question is what the map of all that was measured is worth."""
import argparse, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
from lpm_nb.analysis.embedding import (Embedding, annotate_function, without_kind, embed_model, embed_profiles, embed_responses, recover_relations,
    reduce_embedding, shuffle_embedding)
from lpm_nb.analysis.knowledge import read_gene_sets, read_mechanisms, read_relations, read_targets
from lpm_nb.analysis.mechanism import compare_kinds, embed_shared, find_off_targets, retrieve_classes, retrieve_targets
from lpm_nb.data.screen import Atlas, Screen
from lpm_nb.data.simulate import simulate_atlas
from lpm_nb.data.sources import read_screen
from lpm_nb.model.descriptors import relation_vectors
from lpm_nb.model.learner import default_config, fit_lpm, load_lpm, map_config

def model(folder, names, recipe, seed):
    at = folder/f"{'_'.join(names)}-{recipe}-{seed}"
    atlas = Atlas([read_screen(n) for n in names])
    if not at.exists():
        t = time.time()
        fit_lpm(atlas, config=(map_config if recipe == 'map' else default_config)(atlas), seed=seed).save(at)
        print(f'  trained {at.name}: {time.time() - t:.0f} s', flush=True)
    return load_lpm(at), atlas

def family(e, name): return {name: e, f'{name}, whitened': reduce_embedding(e, components=100, power=.5)}

def both_families(*args, **kw):
    return {**family(embed_responses(*args, **kw), 'LPM responses'), **family(embed_responses(*args, measured=False, **kw), 'LPM predictions')}

def measured(atlas, **kw):
    e = embed_profiles(atlas, **kw)
    return {'PCA': reduce_embedding(e, components=50, name='PCA'), 'raw profiles, whitened': reduce_embedding(e, components=100, power=.5),
        'shuffled': shuffle_embedding(e), 'raw profiles': e}

def gene_screens(folder, names, seed, relations, sets, databases):
    m, atlas = model(folder, names, 'default', seed)
    v, _ = model(folder, names, 'map', seed)
    rows = []
    for n in names:
        ps = atlas[n].perturbations
        ps = [p for p in ps if p]
        E = {**both_families(m, atlas, perturbations=ps), 'LPM vectors': embed_model(v, symbols=ps),
            'raw profiles of both screens': embed_profiles(Atlas([atlas[x] for x in names]), perturbations=[p for p in ps])
            if all(set(ps) & set(atlas[x].perturbations) for x in names) else None, **measured(atlas[n], perturbations=ps)}
        E = {k: e for k, e in E.items() if e is not None}
        r = recover_relations(E, relations, reference='raw profiles', draws=200, seed=seed)
        rows.append(r.rename(columns=dict(relations='n')).assign(task=f'relations, {n}', metric=r['database'] + ' ' + r['metric']))
        known = {f'spectral {k}': Embedding(v.loc[[without_kind(p) for p in ps if without_kind(p) in v.index]].set_axis([p for p in ps
            if without_kind(p) in v.index]), k) for k, v in databases.items()}
        try:
            s, _ = annotate_function(E, sets, reference='raw profiles', seed=seed)
            rows.append(s.assign(task=f'function, {n}', metric='macro AUROC', n=s['sets']))
        except ValueError as err: print('  ', n, err)
        if known:
            common = [p for p in ps if all(p in k.symbols for k in known.values())]
            try:
                s, _ = annotate_function({**known, 'LPM responses': E['LPM responses'].keep(common),
                    'raw profiles': E['raw profiles'].keep(common)}, sets, reference='raw profiles', seed=seed)
                rows.append(s.assign(task=f'function on genes of all databases, {n}', metric='macro AUROC', n=s['sets']))
            except ValueError as err: print('  ', n, err)
    return rows

def drug_screens(folder, names, seed, classes, recipe, readouts=None):
    rows = []
    m, atlas = model(folder, names, recipe, seed)
    other = model(folder, names, 'map', seed)[0] if recipe != 'map' and len(atlas[names[0]].readouts) > 20 else m
    for n in names:
        ps = [p for p in atlas[n].perturbations if p]
        E = {**both_families(m, atlas[n], perturbations=ps, readouts=readouts),
            'LPM vectors': embed_model(other, symbols=ps), **measured(atlas[n], perturbations=ps, readouts=readouts)}
        s, _ = retrieve_classes(E, classes, reference='raw profiles', seed=seed, min_size=2 if n == 'neurips2023' else 3)
        rows.append(s.assign(task=f'mechanism, {n}'))
    return rows

def targets(folder, seed, known):
    names = ['l1000-consensus', 'neurips2023', 'replogle-k562', 'replogle-rpe1']
    m, atlas = model(folder, names, 'map', seed)
    rows = []
    genes = [p for p in atlas.perturbations if p.startswith('CRISPRi')]
    for n in names[:2]:
        drugs = [p for p in atlas[n].perturbations if p.startswith('drug:')]
        keep = drugs + genes
        own = Atlas([atlas[n], atlas[names[2]], atlas[names[3]]])
        raw, said = embed_shared(own), embed_shared(own, model=m)
        S = {'LPM vectors': compare_kinds(embed_model(m, symbols=keep), drugs=drugs),
            'LPM responses': compare_kinds(embed_responses(m, atlas, perturbations=keep), drugs=drugs),
            'LPM on shared readouts': compare_kinds(said, drugs=drugs),
            'shared readouts, PCA': compare_kinds(reduce_embedding(raw, components=50), drugs=drugs),
            'shared readouts, raw cosine': compare_kinds(raw, drugs=drugs)}
        s, _ = retrieve_targets(S, known, seed=seed, permutations=200)
        rows.append(s.assign(task=f'targets, {n} × CRISPRi, ' + s['direction']))
    c, oe = read_screen('l1000-consensus'), read_screen('l1000-overexpression')
    common = [r for r in c.readouts if r in set(oe.readouts)]
    at = [oe.readouts.index(r) for r in common]
    strong = (~np.isnan(oe.X[:, at])).sum(1) >= 5
    ps = oe.obs['perturbation'].astype(str).to_numpy()[strong].tolist()
    a, b = embed_profiles(c, readouts=common).vectors, embed_profiles(oe, perturbations=ps, readouts=common).vectors
    v = pd.concat([a.droplevel(0, axis=1).reindex(columns=common).fillna(0), b.droplevel(0, axis=1).reindex(columns=common).fillna(0)])
    s, _ = retrieve_targets({'shared readouts, raw cosine': compare_kinds(Embedding(v, 'x'))}, known, seed=seed)
    rows.append(s.assign(task='targets, l1000-consensus × over-expression, ' + s['direction']))
    return rows

def simulated(seed):
    "Planted truth: the chemical and the genetic screen have other lines and only some readouts in common."
    sim = simulate_atlas(seed=100 + seed, n_genes=60, n_drugs=60, n_doubles=5, n_systems=4)
    s = sim.atlas['sim-rna']
    o = s.obs
    p, line = o['perturbation'].astype(str), o['context'].astype(str).str.partition('|')[0]
    def part(rows, readouts, name):
        x = s.obs[rows]
        return Screen.from_arrays(s.X[rows][:, [s.readouts.index(r) for r in readouts]], perturbation=x['perturbation'].astype(str),
            context=[c.replace('sim-rna', name) for c in x['context'].astype(str)], dose=x['dose'].to_numpy(), readouts=readouts, name=name,
            unit='log expression')
    drug, single = p.str.startswith('drug:').to_numpy(), (p.str.startswith('CRISPR') & ~p.str.contains('+', regex=False)).to_numpy()
    atlas = Atlas([part(drug & line.isin(['line1', 'line2']).to_numpy(), s.readouts[:50], 'chemical'),
        part(single & line.isin(['line2', 'line3', 'line4']).to_numpy(), s.readouts[10:], 'genetic')])
    m = fit_lpm(atlas, config=map_config(atlas, members=3), seed=seed)
    raw, said = embed_shared(atlas), embed_shared(atlas, model=m)
    everything = [x for x in atlas.perturbations if x]
    drugs, genes = [x for x in everything if x.startswith('drug:')], [x for x in everything if x.startswith('CRISPRi:')]
    # the drug's own profile: which gene's transcript changes most
    alone = embed_profiles(atlas['chemical'], perturbations=drugs).vectors.T.groupby(level='readout').mean().T
    own = pd.DataFrame({x: alone[f"expr:{without_kind(x)}"].abs() if f"expr:{without_kind(x)}" in alone else 0. for x in genes}, index=drugs)
    S = {'LPM on shared readouts': compare_kinds(said), 'LPM responses': compare_kinds(embed_responses(m, atlas)),
        'LPM vectors': compare_kinds(embed_model(m, symbols=everything)),
        'shared readouts, PCA': compare_kinds(reduce_embedding(raw, components=20)),
         'shuffled': compare_kinds(shuffle_embedding(raw, seed=seed)), 'chemical screen alone': own,
             'shared readouts, raw cosine': compare_kinds(raw)}
    truth = pd.DataFrame([(d, x, -1) for d, xs in sim.targets.items() for x in xs], columns=['drug', 'gene', 'sign'])
    rows = []
    r, _ = retrieve_targets(S, truth, seed=seed, permutations=50, reference='chemical screen alone')
    rows.append(r.assign(task='simulated targets, ' + r['direction']))
    classes = pd.DataFrame([(k, d) for d, k in sim.mechanism.items()], columns=['set', 'gene'])
    raw_chem = embed_profiles(atlas['chemical'], perturbations=drugs)
    r, _ = retrieve_classes({'LPM vectors': embed_model(m, symbols=drugs),
        'LPM responses': embed_responses(m, atlas['chemical'], perturbations=drugs), 'PCA': reduce_embedding(raw_chem, components=20),
        'shuffled': shuffle_embedding(raw_chem, seed=seed), 'raw profiles': raw_chem}, classes, seed=seed)
    rows.append(r.assign(task='simulated mechanism'))
    known = pd.DataFrame([(d, x) for d, xs in sim.targets.items() for x in xs if sim.off_targets.get(d) != x], columns=['drug', 'gene'])
    for name, e in (('LPM on shared readouts', said), ('shuffled', shuffle_embedding(raw, seed=seed)),
        ('shared readouts, raw cosine', raw)):
        t = find_off_targets(e, classes, targets=known)
        t['right'] = [sim.off_targets.get(d) == x for d, x in zip(t['drug'], t['gene'])]
        called = t[t['q'] < .1]
        rows.append(pd.DataFrame(dict(task='simulated off-targets', method=name,
            metric=['named first', 'called at FDR 10 %', 'of the called right'],
            value=[t['right'].sum() / len(sim.off_targets), called['right'].sum() / len(sim.off_targets), called['right'].mean()
            if len(called) else np.nan], n=len(sim.off_targets))))
    return rows

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--models', type=Path, default=Path('discovery'))
    p.add_argument('--only', nargs='*', default=['replogle', 'l1000', 'neurips', 'targets', 'gdsc', 'macrophage', 'simulated'])
    a = p.parse_args()
    warnings.simplefilter('ignore')
    a.models.mkdir(parents=True, exist_ok=True)
    relations, sets, classes, known = read_relations(['corum', 'humap', 'reactome', 'signor',
        'stringdb']), read_gene_sets(), read_mechanisms(), read_targets()
    databases = {k: relation_vectors(relations[relations['databases'].str.contains(k)].rename(columns=dict(gene1='entity1',
        gene2='entity2'))) for k in ('stringdb', 'corum', 'reactome')} if {'replogle', 'macrophage'} & set(a.only) else {}
    jobs = dict(replogle=lambda s: gene_screens(a.models, ['replogle-k562', 'replogle-rpe1'], s, relations, sets, databases),
        macrophage=lambda s: gene_screens(a.models, ['macrophage-crispri', 'macrophage-crispra'], s, relations, sets, {}),
        l1000=lambda s: drug_screens(a.models, ['l1000-consensus'], s, classes, 'map'),
        neurips=lambda s: drug_screens(a.models, ['neurips2023'], s, classes, 'default'),
            gdsc=lambda s: drug_screens(a.models, ['gdsc1', 'gdsc2'], s, classes, 'default', ['viability:ln_IC50']),
            targets=lambda s: targets(a.models, s, known), simulated=simulated)
    file = a.models/'discovery.parquet'
    done = pd.read_parquet(file) if file.exists() else pd.DataFrame()
    for seed in range(a.seeds):
        for k in a.only:
            t = time.time()
            rows = [r[[c for c in ('task', 'method', 'metric', 'value', 'low', 'high', 'gain', 'gain_low', 'gain_high', 'random', 'p', 'n')
                if c in r]].assign(seed=seed) for r in jobs[k](seed)]
            new = pd.concat(rows, ignore_index=True)
            done = pd.concat([d for d in (done[~(done['task'].isin(new['task']) & (done['seed'] == seed))] if len(done) else done, new)
                if len(d)], ignore_index=True)
            done.to_parquet(file)
            print(f'seed {seed} {k}: {time.time() - t:.0f} s', flush=True)
    t = done.groupby(['task', 'metric', 'method'], sort=False)[['value', 'low', 'high', 'gain', 'gain_low', 'gain_high',
        'n']].mean().round(3)
    pd.set_option('display.width', 220, 'display.max_rows', None)
    print(t)

if __name__ == '__main__': main()
