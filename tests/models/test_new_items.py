"""The prior of new items against a ranking by hand, and popularity against the posterior mean."""

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models import new_items
from rec_jax.models.new_items import NewItems

N, B = 30, 40


def ranked_by_hand(logits, bias, has_id, met, place):
  """Items best first: `place` known ones, the others behind them in order of their logits."""
  order = np.argsort(-np.where(has_id, logits, logits + bias), kind='stable')
  known = [item for item in order if has_id[item] and item not in met]
  ahead = known[:place] if len(known) > place else []
  # Met items take no place; they stand by their logits, which is no matter where they are left out.
  return [*ahead, *(item for item in order if item not in ahead and item not in met)]


@pytest.mark.parametrize('place', new_items.PLACES)
@pytest.mark.parametrize('num_new', [0, 8, N - 4, N])
def test_known_items_keep_their_places_and_all_else_its_order(place, num_new):
  rng = np.random.default_rng(num_new)
  logits = rng.normal(size=(B, N)).astype(np.float32)
  history = rng.integers(0, N + 1, (B, 6)).astype(np.int32)
  has_id = rng.permutation(N) >= num_new
  bias = rng.normal(size=N).astype(np.float32) + 2
  prior = NewItems(N)
  prior.bias[...], prior.place[...] = jnp.asarray(bias), jnp.int32(place)
  found = np.asarray(prior(jnp.asarray(logits), jnp.asarray(has_id), jnp.asarray(history)))
  np.testing.assert_array_equal(found[:, has_id], logits[:, has_id])
  for row in range(B):
    met = set(history[row][history[row] > 0] - 1)
    order = [item for item in np.argsort(-found[row], kind='stable') if item not in met]
    assert order == ranked_by_hand(logits[row], bias, has_id, met, place)


def test_a_prior_of_nothing_changes_nothing():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
  found = NewItems(5)(logits, jnp.arange(5) > 2, jnp.zeros((2, 3), jnp.int32))
  np.testing.assert_array_equal(found, logits)


def test_popularity_is_the_posterior_mean_of_a_rate_since_the_first_event():
  # Item 0 is met at 0, 4 and 10, item 1 twice at 8, item 2 at 10, item 3 never.
  item, time = np.array([0, 0, 1, 1, 0, 2]), np.array([0, 4, 8, 8, 10, 10])
  there = np.array([1.0, 0.2, 0.0])
  mean_rate = 3 / 1.2
  expected = np.log(np.array([3, 2, 1]) / (there + 1 / mean_rate))
  found = new_items.log_popularity(item, time, 4)
  np.testing.assert_allclose(found[:3], expected - expected.mean(), rtol=1e-6)
  assert found[3] == 0
  # Two events in a fifth of the time are more than three in all of it.
  assert found[1] > found[0]


@pytest.mark.parametrize(
  ('item', 'time', 'expected'),
  [
    ([], [], [0, 0]),
    ([0, 1], [5, 9], [0, 0]),
    ([0, 0, 0, 1], [7, 7, 7, 7], [np.log(3) / 2, -np.log(3) / 2]),
  ],
)
def test_popularity_of_little(item, time, expected):
  found = new_items.log_popularity(np.array(item, int), np.array(time, int), 2)
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_items_met_beyond_the_history_take_no_place():
  logits = jnp.array([[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 0.0]])
  prior = NewItems(8)
  prior.bias[...], prior.place[...] = jnp.full(8, 100.0), jnp.int32(5)
  has_id, nothing = jnp.arange(8) < 7, jnp.zeros((1, 1), jnp.int32)
  # Behind the fifth known item, which is the sixth where the first one was met long ago.
  assert 4.0 < float(prior(logits, has_id, nothing)[0, 7]) < 5.0
  met = jnp.arange(8)[None] == 0
  assert 3.0 < float(prior(logits, has_id, nothing, met)[0, 7]) < 4.0
