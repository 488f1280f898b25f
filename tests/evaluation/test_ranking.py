"""Ranking metrics against the mean over all orders of equal items, by brute force."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation import ranking


def brute_force(name, order, targets, k):
  targets = [int(t) for t in targets if t >= 0]
  found = [i + 1 for i, item in enumerate(order[:k]) if item in targets]
  ideal = sum(1 / math.log2(1 + i) for i in range(1, min(k, len(targets)) + 1))
  return {
    'recall': len(found) / len(targets),
    'precision': len(found) / k,
    'hit': float(bool(found)),
    'ndcg': sum(1 / math.log2(1 + r) for r in found) / ideal,
    'mrr': 1 / found[0] if found else 0.0,
    'map': sum((i + 1) / r for i, r in enumerate(found)) / min(k, len(targets)),
  }[name]


def orders(scores, mask):
  """All orders of the allowed items that a sort could yield."""
  allowed = [i for i in range(len(scores)) if mask[i]]
  levels = sorted({scores[i] for i in allowed}, reverse=True)
  blocks = [[i for i in allowed if scores[i] == level] for level in levels]
  for parts in itertools.product(*(itertools.permutations(block) for block in blocks)):
    yield [item for part in parts for item in part]


# Compiled whole rather than operation by operation.
many_places = jax.jit(jax.vmap(ranking.places))
places = jax.jit(ranking.places)
top_k = jax.jit(ranking.top_k, static_argnums=2)


def evaluate(scores, mask, targets, cutoffs=(10,)):
  return ranking.evaluate(places(scores, mask, targets), cutoffs)


def random_lists(levels, num_items=6):
  """20 lists; few levels mean many ties."""
  rng = np.random.default_rng(levels)
  scores = rng.integers(0, levels, (20, num_items)).astype(np.float32)
  mask = rng.random((20, num_items)) < 0.8
  targets = np.full((20, 4), -1)
  for row in targets:
    count = rng.integers(1, 5)
    row[rng.permutation(4)[:count]] = rng.permutation(num_items)[:count]
  return scores, mask, targets


@functools.cache
def evaluated(levels):
  return ranking.evaluate(many_places(*random_lists(levels)), (1, 3, 10))


@functools.cache
def by_all_orders(levels):
  """(name, k) -> the mean of each list over all orders of equal items."""
  found = {(name, k): [] for name in ranking.METRICS for k in (1, 3, 10)}
  for scores, mask, targets in zip(*random_lists(levels), strict=True):
    possible = list(orders(scores, mask))
    for (name, k), values in found.items():
      values.append(np.mean([brute_force(name, order, targets, k) for order in possible]))
  return found


@pytest.mark.parametrize('levels', [1, 2, 3, 1000])
@pytest.mark.parametrize('name', ranking.METRICS)
def test_metric_is_the_mean_over_all_orders_of_ties(name, levels):
  for k in (1, 3, 10):
    expected = by_all_orders(levels)[name, k]
    np.testing.assert_allclose(evaluated(levels)[f'{name}@{k}'], expected, atol=1e-12)
  if levels == 2 and name != 'mrr':
    # Ties matter in these lists.
    worst = [
      min(brute_force(name, order, targets, 3) for order in orders(scores, mask))
      for scores, mask, targets in zip(*random_lists(levels), strict=True)
    ]
    assert np.mean(evaluated(levels)[f'{name}@3']) > np.mean(worst) + 0.01


def test_mrr_without_cutoff_reaches_the_end_of_the_list():
  values = evaluate(-jnp.arange(50.0), jnp.ones(50, bool), jnp.array([49]))
  assert values['mrr'] == pytest.approx(1 / 50)
  assert values['mrr@10'] == 0


def test_constant_scores_get_what_chance_gets():
  values = evaluate(jnp.zeros(100), jnp.ones(100, bool), jnp.array([0, 57]))
  assert values['recall@10'] == pytest.approx(0.1, abs=1e-15)
  assert values['precision@10'] == pytest.approx(0.02, abs=1e-15)
  assert values['hit@10'] == pytest.approx(1 - 90 * 89 / (100 * 99), abs=1e-15)
  one = evaluate(jnp.zeros(100), jnp.ones(100, bool), jnp.array([57]))
  assert one['mrr'] == pytest.approx(sum(1 / r for r in range(1, 101)) / 100, abs=1e-15)


def test_many_targets_in_large_blocks_keep_their_precision():
  """A million items of one score: the probabilities are products of many factors."""
  rng = np.random.default_rng(0)
  where = ranking.Places(np.zeros((1, 50), int), np.full((1, 50), 10**6), np.ones((1, 50), bool))
  values = ranking.evaluate(where, (1000,))
  assert values['recall@1000'] == pytest.approx(1e-3, rel=1e-12)
  exact = 1 - math.comb(10**6 - 1000, 50) / math.comb(10**6, 50)
  assert values['hit@1000'] == pytest.approx(exact, rel=1e-9)
  # The first of 50 targets among a million, by chance: 200,000 draws.
  first = np.sort(rng.integers(1, 10**6 + 1, (200_000, 50)))[:, 0]
  drawn = 1 / first
  assert values['mrr'] == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(len(drawn)))


def test_minus_infinity_is_a_score_and_nan_is_none():
  everywhere, one = jnp.ones(10, bool), jnp.array([3])
  scores = jnp.arange(10.0)
  assert evaluate(scores.at[3].set(jnp.nan), everywhere, one)['mrr'] == pytest.approx(0.1)
  assert evaluate(scores.at[3].set(-jnp.inf), everywhere, one)['mrr'] == pytest.approx(0.1)
  by_chance = sum(1 / r for r in range(1, 11)) / 10
  assert evaluate(jnp.full(10, -jnp.inf), everywhere, one)['mrr'] == pytest.approx(by_chance)
  # A model that has failed gets nothing by chance.
  assert evaluate(jnp.full(10, jnp.nan), everywhere, one)['mrr'] == pytest.approx(0.1)
  both = evaluate(jnp.full(10, jnp.nan), everywhere, jnp.array([3, 4]), (9,))
  assert both['recall@9'] == pytest.approx(0.5)
  # An item with NaN does not stand before one with the lowest score.
  mixed = jnp.full(10, jnp.nan).at[3].set(-jnp.inf)
  assert evaluate(mixed, everywhere, one)['mrr'] == 1


def test_excluded_items_do_not_count_and_an_excluded_target_is_a_miss():
  scores, mask = jnp.array([5.0, 4.0, 3.0, 2.0]), jnp.array([False, True, False, True])
  where = places(scores, mask, jnp.array([3, 0, -1]))
  np.testing.assert_array_equal(where.better, [1, 0, 0])
  np.testing.assert_array_equal(where.tied, [1, 0, 0])
  np.testing.assert_array_equal(where.valid, [True, True, False])
  values = evaluate(scores, mask, jnp.array([3, 0, -1]))
  assert values['recall@10'] == 0.5


def test_order_of_items_plays_no_part():
  scores, mask, targets = random_lists(3)
  order = np.random.default_rng(0).permutation(scores.shape[1])
  moved = np.where(targets >= 0, np.argsort(order)[targets], -1)
  for before, after in zip(
    many_places(scores, mask, targets),
    many_places(scores[:, order], mask[:, order], moved),
    strict=True,
  ):
    np.testing.assert_array_equal(before, after)


def test_every_metric_is_nan_without_targets():
  values = evaluate(jnp.arange(5.0), jnp.ones(5, bool), jnp.array([-1, -1]), (1, 3))
  assert len(values) == 2 * len(ranking.METRICS) + 1
  assert all(np.isnan(value) for value in values.values())


@pytest.mark.parametrize('name', ranking.METRICS)
def test_one_metric_alone_is_that_of_all(name):
  rng = np.random.default_rng(3)
  valid = rng.random((5, 3)) < 0.6
  valid[0] = False
  where = ranking.Places(*rng.integers(0, 4, (2, 5, 3)), valid)
  found = ranking.one_metric(where, name, 2)
  np.testing.assert_array_equal(found, ranking.evaluate(where, (2, 3))[f'{name}@2'])
  assert np.isnan(found[0]) and len(np.unique(found[1:])) > 1


def test_a_perfect_list_gets_one_and_precision_its_share():
  values = evaluate(jnp.arange(20.0), jnp.ones(20, bool), jnp.array([18, 19]))
  for name in ('recall', 'ndcg', 'mrr', 'hit', 'map'):
    assert values[f'{name}@10'] == pytest.approx(1)
  assert values['precision@10'] == pytest.approx(0.2)


def test_top_k_leaves_out_excluded_items_and_pads():
  scores = jnp.array([1.0, 9.0, jnp.nan, -jnp.inf, 5.0])
  mask = jnp.array([True, False, True, True, True])
  values, items = top_k(scores, mask, 5)
  np.testing.assert_array_equal(items, [4, 0, 2, 3, -1])
  assert values[-1] == -jnp.inf
  np.testing.assert_array_equal(top_k(scores, mask, 2)[1], [4, 0])


def test_top_k_agrees_with_the_places_where_nothing_ties():
  scores = jax.random.normal(jax.random.key(0), (30,))
  mask = jnp.arange(30) % 3 > 0
  items = top_k(scores, mask, 10)[1]
  where = places(scores, mask, items)
  np.testing.assert_array_equal(where.better, np.arange(10))
  np.testing.assert_array_equal(where.tied, 1)


def test_misshapen_input_is_named():
  with pytest.raises(ValueError, match=r'\(2, 5\)'):
    ranking.places(jnp.zeros((2, 5)), jnp.ones((2, 5), bool), jnp.zeros((2, 1), int))
  with pytest.raises(ValueError, match='k=6 is not in'):
    ranking.top_k(jnp.zeros(5), jnp.ones(5, bool), 6)
