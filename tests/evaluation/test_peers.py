"""Metrics beside RecTools, ranx, pytrec_eval and scikit-learn, to 1e-9.

`tests/data/golden/ranking_metrics.npz` holds made-up scores without ties, targets, popularities and
probabilities, and what RecTools 0.19.0, ranx 0.3.21, pytrec_eval-terrier 0.5.11 and scikit-learn
1.9.1 said of them, a value a user under 'peer/metric'; lists were the ten best allowed items.
"""

import pathlib

import jax
import numpy as np
import pytest

from rec_jax.evaluation import beyond_accuracy, probabilities, ranking

PATH = pathlib.Path(__file__).parents[1] / 'data/golden/ranking_metrics.npz'
with np.load(PATH) as _archive:
  GOLDEN = dict(_archive)


@pytest.fixture(scope='module')
def ranked():
  scores, mask, targets = (GOLDEN[name] for name in ('scores', 'mask', 'targets'))
  found = jax.jit(jax.vmap(ranking.places))(scores, mask, targets.astype(int))
  top = jax.jit(jax.vmap(lambda s, m: ranking.top_k(s, m, 10)[1]))(scores, mask)
  return ranking.evaluate(found, (3, 10)), np.asarray(top)


def agrees(ours, name):
  np.testing.assert_allclose(
    *(ours, GOLDEN[name]),
    rtol=0,
    atol=1e-9,
    err_msg=f'{name} of {PATH.name} is the value of a peer',
  )


@pytest.mark.parametrize('peer', ['rectools', 'ranx', 'pytrec_eval'])
def test_ranking_metrics(ranked, peer):
  values, _ = ranked
  names = [name for name in values if f'{peer}/{name}' in GOLDEN]
  assert len(names) >= 11
  number = (GOLDEN['targets'] >= 0).sum(1)
  assert number.max() > 3
  for name in names:
    ours = values[name]
    if name.startswith('map'):
      # The peers divide by all targets, so that no list of k could reach 1 where there are more.
      ours = ours * np.minimum(number, int(name.partition('@')[2])) / number
    agrees(ours, f'{peer}/{name}')


@pytest.mark.parametrize('k', [3, 10])
def test_beyond_accuracy(ranked, k):
  top, popularity = ranked[1][:, :k], GOLDEN['popularity']
  counts = beyond_accuracy.exposure_counts(top, len(popularity))
  agrees(beyond_accuracy.item_coverage(counts), f'rectools/item_coverage@{k}')
  agrees(beyond_accuracy.average_popularity(top, popularity), f'rectools/average_popularity@{k}')
  novelty = beyond_accuracy.mean_inv_user_freq(top, popularity, int(GOLDEN['num_users']))
  assert (popularity[top] == 0).any()
  agrees(novelty, f'rectools/mean_inv_user_freq@{k}')
  is_relevant = (top[..., None] == GOLDEN['targets'][:, None]).any(-1)
  agrees(beyond_accuracy.serendipity(top, is_relevant, popularity), f'rectools/serendipity@{k}')
  # A share of features that differ is the cosine distance of their indicators; RecTools counts.
  features = GOLDEN['features']
  indicators = (features[..., None] == np.arange(3)).reshape(len(features), -1)
  diversity = beyond_accuracy.intra_list_diversity(top, indicators)
  agrees(diversity * features.shape[1], f'rectools/hamming_diversity@{k}')


def test_probabilities():
  p, y = GOLDEN['probabilities'], GOLDEN['labels']
  agrees(probabilities.auc(p, y), 'sklearn/auc')
  agrees(probabilities.log_loss(p, y).mean(), 'sklearn/log_loss')
  diagram = probabilities.reliability(p, y)
  agrees(diagram.observed, 'sklearn/observed')
  agrees(diagram.predicted, 'sklearn/predicted')
