"""The two-way bootstrap against its definition, and coverage where items are few."""

import jax
import numpy as np
import pytest
from scipy import sparse, stats

from rec_jax.evaluation import intervals, two_way

USERS = np.array([0, 0, 1, 1, 1, 2])
ITEMS = np.array([5, 6, 5, 6, 7, 5])
VALUES = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 3.0])


def test_the_means_weigh_each_user_or_each_item_once():
  by_user = np.mean([0.5, 1.0, 3.0])
  by_item = np.mean([2.0, 0.5, 0.0])
  found = two_way.user_macro(jax.random.key(0), {'x': VALUES}, USERS, ITEMS)['x']
  assert found.value == pytest.approx(by_user)
  assert found.n == 3
  found = two_way.item_macro(jax.random.key(0), {'x': VALUES}, USERS, ITEMS)['x']
  assert found.value == pytest.approx(by_item)


def by_definition(values, users, items, resamples, seed):
  """Owen 2007: multiplicities of users and of items, multiplied; a slow loop."""
  rng = np.random.default_rng(seed)
  counts = {user: np.sum(users == user) for user in set(users)}
  means = []
  for _ in range(resamples):
    drawn_users = list(rng.choice(sorted(set(users)), len(set(users))))
    drawn_items = list(rng.choice(sorted(set(items)), len(set(items))))
    weights = [
      drawn_users.count(user) * drawn_items.count(item) / counts[user]
      for user, item in zip(users, items, strict=True)
    ]
    if sum(weights):
      means.append(np.dot(weights, values) / sum(weights))
  return np.quantile(means, [0.1, 0.25, 0.75, 0.9])


def test_the_distribution_is_that_of_the_definition():
  rng = np.random.default_rng(1)
  users, items = rng.integers(0, 12, 60), rng.integers(0, 7, 60)
  values = rng.normal(size=60) + items
  ends = []
  for level in (0.8, 0.5):
    found = two_way.user_macro(jax.random.key(2), {'x': values}, users, items, level=level)['x']
    ends += [found.low, found.high]
  expected = by_definition(values, users, items, 4000, 3)
  spread = expected[-1] - expected[0]
  np.testing.assert_allclose(sorted(ends), expected, atol=0.05 * spread)


@pytest.mark.parametrize(
  ('users', 'items'), [([0, 0, 0], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([4], [2])]
)
def test_one_user_or_one_item_gives_no_interval(users, items):
  found = two_way.user_macro(jax.random.key(0), {'x': np.arange(len(users))}, users, items)['x']
  assert np.isnan(found.low)
  assert np.isnan(found.high)
  assert found.n == 1


def test_what_cannot_be_resampled_is_refused():
  with pytest.raises(ValueError, match='2 values of 3 users and 3 items'):
    two_way.user_macro(jax.random.key(0), {'x': [1, 2]}, [0, 1, 2], [0, 1, 2])
  with pytest.raises(ValueError, match='1 values are not finite'):
    two_way.user_macro(jax.random.key(0), {'x': [1, np.nan]}, [0, 1], [0, 1])


def test_the_share_of_the_most_frequent():
  assert two_way.share_of_most_frequent(['a', 'a', 'b', 'c'], 1) == 0.5
  assert two_way.share_of_most_frequent([1, 2], 5) == 1.0


def simulate(rng, item_effect, num_users=150, num_items=20):
  """One observation a user, on items of Zipf popularity that differ by `item_effect`."""
  popularity = 1 / np.arange(1, num_items + 1)
  items = rng.choice(num_items, num_users, p=popularity / popularity.sum())
  values = item_effect * rng.normal(size=num_items)[items] + rng.normal(size=num_users)
  return values, np.arange(num_users), items


def covered(item_effect, simulations=120):
  """How often two-way and one-way intervals hold the mean, which is 0."""
  rng = np.random.default_rng(0)
  counts = np.zeros(2, int)
  for seed in range(simulations):
    values, users, items = simulate(rng, item_effect)
    key = jax.random.key(seed)
    both = two_way.user_macro(key, {'x': values}, users, items, resamples=400)['x']
    alone = intervals.user_mean(key, values, resamples=400)
    counts += [each.low <= 0 <= each.high for each in (both, alone)]
  return counts, simulations


def test_where_few_items_decide_only_the_two_way_interval_covers():
  (both, alone), number = covered(item_effect=1.5)
  # Percentile intervals of a mean over few items are a little short of 95 %.
  assert stats.binomtest(int(both), number, 0.93, alternative='less').pvalue > 0.01
  assert stats.binomtest(int(alone), number, 0.50, alternative='greater').pvalue > 0.5


def test_a_share_of_exposure_is_that_of_its_observations():
  rng = np.random.default_rng(5)
  users, items = rng.integers(0, 40, 600), rng.zipf(1.5, 600) % 30
  marked = np.arange(31) % 4 == 1
  exposure = sparse.coo_array((np.ones(600), (users, items)), (40, 31)).tocsr()
  found = two_way.exposure_share(jax.random.key(0), exposure, marked)
  observed = {'x': marked[items].astype(float)}
  expected = two_way.user_macro(jax.random.key(1), observed, users, items)['x']
  assert found.value == pytest.approx(expected.value) and found.n == expected.n == 30
  width = expected.high - expected.low
  np.testing.assert_allclose(
    [found.low, found.high], [expected.low, expected.high], atol=0.05 * width
  )


def test_tables_of_about_one_length_share_a_program():
  rng = np.random.default_rng(4)
  two_way.user_macro(jax.random.key(0), {'x': rng.normal(size=70)}, np.arange(70), np.arange(70))
  before = two_way._drawn._cache_size()
  two_way.user_macro(
    jax.random.key(0), {'x': rng.normal(size=120)}, np.arange(120), np.arange(120) % 100
  )
  assert two_way._drawn._cache_size() == before


def test_without_effects_of_items_it_is_wider_by_at_most_root_three():
  rng = np.random.default_rng(1)
  ratios = []
  for seed in range(20):
    values, users, items = simulate(rng, 0.0)
    key = jax.random.key(seed)
    both = two_way.user_macro(key, {'x': values}, users, items, resamples=400)['x']
    alone = intervals.user_mean(key, values, resamples=400)
    ratios.append((both.high - both.low) / (alone.high - alone.low))
  assert 0.95 < np.mean(ratios) < 3**0.5 * 1.05
