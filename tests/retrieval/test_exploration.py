"""Policies in the place of the best logits: what they learn, and how probable their choices are."""

import jax
import numpy as np
import pytest

from rec_jax.retrieval import exploration
from tests.helpers import served

DATA = served.dataset()
N = DATA.items.num_items
IDS = DATA.items.ids.tolist()
HISTORY = [('i3', True), ('i5', False), ('i12', True)]


@pytest.fixture(scope='module')
def recommender():
  taught = served.teacher(DATA)
  return served.recommender(served.student(taught, DATA), taught, DATA)


@pytest.mark.soak
def test_propensities_are_frequencies(recommender):
  """2,000 answers to one user: how often each item comes first, beside what was said of it."""
  known = recommender._known_arms()
  query = np.zeros(4, np.float32)
  rows = np.array([IDS.index(each) for each, _ in HISTORY])
  rewards = np.array([liked for _, liked in HISTORY], np.int32)
  mask = np.pad(~np.isin(np.arange(N), rows), (0, len(known.a0) - N))

  @jax.vmap
  def one(key):
    settings = {'lambda_': 2.0, 'scale': 1.0}
    arguments = known, query, rows + 1, rewards, mask
    return exploration.choose(
      'per_user_lin_ts', (('num_samples', 32),), 2, key, settings, *arguments
    )

  # In parts small enough for draws of all of them.
  found = [one(jax.random.split(jax.random.key(seed), 1000)) for seed in range(2)]
  chosen, said = (np.concatenate([np.asarray(part[i]) for part in found]) for i in range(2))
  assert mask[chosen].all()
  frequency = np.bincount(chosen[:, 0], minlength=len(mask)) / len(chosen)
  often = np.flatnonzero(frequency > 0.05)
  assert len(often) > 3
  for row in often:
    mean = said[chosen[:, 0] == row, 0].mean()
    error = np.sqrt(frequency[row] * (1 - frequency[row]) / len(chosen))
    assert abs(frequency[row] - mean) < 4 * error + 0.005
    assert abs(frequency[row] - 1.5 * mean) > 4 * error


def test_a_history_teaches_a_policy(recommender):
  """LinUCB without a bonus: ridge regression of what was liked on the features, in float64."""
  settings = {'lambda_': 2.0, 'alpha': 0.0, 'noise_variance': 0.5}
  [answer] = recommender.recommend([HISTORY], 20, explore='lin_ucb', settings=settings)
  features = np.asarray(recommender._known_arms().features, np.float64)[:N]
  x = features[[IDS.index(each) for each, _ in HISTORY]]
  rewards = np.array([liked for _, liked in HISTORY], float)
  weights = np.linalg.solve(2.0 * 0.5 * np.eye(4) + x.T @ x, x.T @ rewards)
  order = np.argsort(-(features @ weights))
  expected = [IDS[row] for row in order if IDS[row] not in dict(HISTORY)][:20]
  assert [item.id for item in answer.items] == expected
  assert [item.propensity for item in answer.items] == [1.0] * 20
  assert not answer.is_estimated


def test_the_same_seed_gives_the_same_answer_and_scores_are_the_models(recommender):
  asked = [HISTORY, HISTORY], 6
  options = {'explore': 'per_user_lin_ts', 'settings': {'scale': 2.0, 'num_samples': 32}}
  first, again, other = (recommender.recommend(*asked, **options, seed=seed) for seed in (1, 1, 2))
  assert first == again != other
  # Each user has chances of their own.
  assert first[0].items != first[1].items
  assert first[0].is_estimated
  shown = first[0].items
  assert len({item.id for item in shown} - dict(HISTORY).keys()) == 6
  assert all(0 < item.propensity < 1 for item in shown)
  scores = recommender.score([(HISTORY, item.id) for item in shown])
  np.testing.assert_allclose([item.score for item in shown], scores, atol=1e-5)
  compiled = exploration.choose._cache_size()
  options['settings'] = {'scale': 0.1, 'lambda_': 7.0, 'num_samples': 32}
  recommender.recommend([HISTORY[:1]], 6, **options, allowed={'kind': ['red', 'blue']})
  assert exploration.choose._cache_size() == compiled


def test_a_policy_whose_belief_is_the_model_ranks_by_it(recommender):
  """By taste alone: without trends, and without cold items, of which a policy has no prior."""
  cold = [IDS[row] for row in np.flatnonzero(DATA.split.cold_items)]
  known = [each for each in IDS if each not in cold and each not in dict(HISTORY)]
  trend = np.asarray(recommender._model.trend[...])[[IDS.index(each) for each in known]]
  taste = recommender.score([(HISTORY, each) for each in known]) - trend
  [same] = recommender.recommend([HISTORY], 8, blocked=cold, explore='two_tower_greedy')
  expected = [known[place] for place in np.argsort(-taste)[:8]]
  assert [item.id for item in same.items] == expected


def test_an_added_item_may_be_chosen(recommender):
  recommender.add_items(['new'], DATA.items.text[-1:].tolist())
  [answer] = recommender.recommend([HISTORY], 1, allowed=['new'], explore='popularity_greedy')
  assert answer.items[0].id == 'new' and answer.items[0].is_cold
  known = recommender._known_arms()
  assert (known.a0[N], known.b0[N], known.num_events[N]) == (1, 9, 0)
