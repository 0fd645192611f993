"Known biology by name, on maps of trained models; and what shuffled maps know (nothing)."
import numpy as np, pytest
from lpm_nb.analysis.embedding import embed_responses, neighbours, reduce_embedding, recover_relations, shuffle_embedding, similarity
from lpm_nb.data.screen import Atlas
from lpm_nb.data.sources import data_home, read_screen

data = pytest.mark.skipif(not (data_home()/'l1000_consensus_drugbank_zscore.h5ad').exists(), reason='no data folder: set LPM_DATA_HOME')

def togetherness(e, members):
    "AUROC: are the members more alike than a member and another symbol?"
    S = similarity(e).to_numpy()
    at = np.array([e.symbols.index(m) for m in members])
    out = np.setdiff1d(np.arange(len(S)), at)
    inside, outside = S[np.ix_(at, at)][np.triu_indices(len(at), 1)], S[np.ix_(at, out)].ravel()
    return (inside[:, None] > outside[None]).mean()

pytestmark = pytest.mark.xdist_group('discovery')   # one process makes the fixtures

@pytest.fixture(scope='module')
def compounds():
    from lpm_nb.model.learner import fit_lpm, map_config
    atlas = Atlas([read_screen('l1000-consensus')])
    return reduce_embedding(embed_responses(fit_lpm(atlas, config=map_config(atlas, members=2, epochs=25), seed=0), atlas), power=.5)

@pytest.fixture(scope='module')
def knockdowns():
    from lpm_nb.model.learner import default_config, fit_lpm
    atlas = Atlas([read_screen('replogle-k562'), read_screen('replogle-rpe1')])
    return embed_responses(fit_lpm(atlas, config=default_config(atlas, members=1), seed=0), atlas,
        perturbations=atlas['replogle-rpe1'].perturbations)

@pytest.fixture(scope='module')
def killers():
    from lpm_nb.model.learner import fit_lpm, LPMConfig
    s = read_screen('gdsc2')
    lines = np.random.default_rng(0).permutation(s.contexts)[:400]
    s = s.select(s.obs['context'].isin(lines).to_numpy())
    return reduce_embedding(embed_responses(fit_lpm(Atlas(s), config=LPMConfig(members=1, epochs=8), seed=0), s,
        readouts=['viability:ln_IC50']), components=50, power=.5)

@data
def test_vorinostat_is_among_hdac_inhibitors(compounds):
    # DrugBank has them under their chemical names: trichostatin A and another hydroxamate
    near = neighbours(compounds, 'drug:vorinostat', n=2)['symbol'].tolist()
    assert any('7-[4-(dimethylamino)phenyl]-n-hydroxy-4,6-dimethyl-7-oxo' in d for d in near) and all('n-hydroxy' in d for d in near), near

@data
@pytest.mark.parametrize('members, least', [
    (['lovastatin', 'simvastatin', 'atorvastatin', 'fluvastatin', 'pitavastatin', 'rosuvastatin', 'cerivastatin'], .95),
    (['digoxin', 'digitoxin', 'ouabain', 'deslanoside'], .97),
    (['camptothecin', 'topotecan', 'irinotecan'], .97), (['doxorubicin', 'daunorubicin', 'idarubicin', 'epirubicin', 'mitoxantrone'], .95)],
        ids=['statins', 'cardiac glycosides', 'topoisomerase I', 'topoisomerase II'])
def test_drugs_of_one_mechanism_are_together(compounds, members, least):
    there = [f'drug:{m}' for m in members if f'drug:{m}' in compounds.symbols]
    if len(there) < 2: pytest.skip(f'only {there} among the compounds of this screen')
    assert togetherness(compounds, there) > least, there

@data
def test_proteasome_and_ribosome_are_two_places(knockdowns):
    psm = [s for s in knockdowns.symbols if s.startswith('CRISPRi:PSM')]
    rp = [s for s in knockdowns.symbols if s.startswith(('CRISPRi:RPL', 'CRISPRi:RPS'))]
    S = similarity(knockdowns)
    assert len(psm) >= 10 and len(rp) >= 10
    own = [S.loc[x, x].to_numpy()[np.triu_indices(len(x), 1)].mean() for x in (psm, rp)]
    assert min(own) > .25 and S.loc[psm, rp].to_numpy().mean() < .1, (own, S.loc[psm, rp].to_numpy().mean())

@data
def test_complexes_are_recovered_and_shuffled_ones_are_not(knockdowns):
    from lpm_nb.analysis.knowledge import read_relations
    r = recover_relations({'LPM': knockdowns, 'shuffled': shuffle_embedding(knockdowns)}, read_relations(['corum']), draws=30)
    auc = r[r['metric'] == 'AUC'].set_index('method')['value']
    assert auc['LPM'] > .84 and abs(auc['shuffled'] - .5) < .03, auc

@data
def test_inhibitors_of_one_pathway_kill_the_same_lines(killers):
    mapk = [f'drug:{d}' for d in ('trametinib', 'selumetinib', 'pd0325901', 'refametinib', 'sch772984', 'ulixertinib', 'vx-11e', 'eri',
        'dabrafenib', 'plx-4720', 'sb590885') if f'drug:{d}' in killers.symbols]
    assert len(mapk) >= 7 and togetherness(killers, mapk) > .93, mapk
    near = set(neighbours(killers, 'drug:trametinib', n=6)['symbol'])
    assert len(near & set(mapk)) >= 3, near

@data
@pytest.mark.parametrize('members', [['tanespimycin', 'luminespib'], ['bortezomib', 'mg-132'],
    ['camptothecin', 'topotecan', 'irinotecan', 'sn-38']], ids=['HSP90', 'proteasome', 'topoisomerase I'])
def test_killers_of_one_mechanism_are_together(killers, members):
    there = [f'drug:{m}' for m in members if f'drug:{m}' in killers.symbols]
    assert len(there) == len(members), there
    assert togetherness(killers, there) > .97, there
