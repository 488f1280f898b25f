"""Ranking metrics against brute-force Python."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation import ranking


def brute_force_order(scores, mask, targets):
  """Allowed items, best first; of equal ones the targets last, in their given order."""
  place = {int(t): i for i, t in enumerate(targets) if t >= 0}
  allowed = [i for i in range(len(scores)) if mask[i]]
  return sorted(allowed, key=lambda i: (-scores[i], place.get(i, -1)))


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


# Compiled whole rather than operation by operation.
evaluate = jax.jit(ranking.evaluate, static_argnums=3)
target_ranks = jax.jit(ranking.target_ranks)
top_k = jax.jit(ranking.top_k, static_argnums=2)


@functools.cache
def evaluated(levels):
  """All metrics of the random lists, compiled once."""
  evaluate = jax.jit(jax.vmap(lambda *row: ranking.evaluate(*row, (1, 3, 10))))
  return evaluate(*random_lists(levels))


def random_lists(levels):
  """40 lists over 12 items; few levels mean many ties."""
  rng = np.random.default_rng(levels)
  scores = rng.integers(0, levels, (40, 12)).astype(np.float32)
  mask = rng.random((40, 12)) < 0.7
  targets = np.full((40, 4), -1)
  for row in targets:
    count = rng.integers(1, 5)
    row[rng.permutation(4)[:count]] = rng.permutation(12)[:count]
  return scores, mask, targets


@pytest.mark.parametrize('levels', [2, 4, 1000])
@pytest.mark.parametrize('name', ranking.METRICS)
def test_metric_equals_brute_force(name, levels):
  scores, mask, targets = random_lists(levels)
  for k in (1, 3, 10):
    expected = [
      brute_force(name, brute_force_order(*row), row[2], k)
      for row in zip(scores, mask, targets, strict=True)
    ]
    np.testing.assert_allclose(evaluated(levels)[f'{name}@{k}'], expected, atol=1e-6)


def test_mrr_without_cutoff_reaches_the_end_of_the_list():
  values = evaluate(-jnp.arange(50.0), jnp.ones(50, bool), jnp.array([49]))
  assert values['mrr'] == pytest.approx(1 / 50)
  assert values['mrr@10'] == 0


def test_constant_scores_get_the_last_rank():
  ranks = target_ranks(jnp.zeros(100), jnp.ones(100, bool), jnp.array([0, 57]))
  np.testing.assert_array_equal(ranks, [99, 100])


@pytest.mark.parametrize('value', [np.nan, -np.inf])
def test_scores_that_are_not_finite_get_the_last_rank(value):
  scores = jnp.arange(10.0).at[3].set(value)
  np.testing.assert_array_equal(target_ranks(scores, jnp.ones(10, bool), jnp.array([3])), [10])
  everywhere = jnp.full(10, value)
  np.testing.assert_array_equal(target_ranks(everywhere, jnp.ones(10, bool), jnp.array([3])), [10])


def test_excluded_items_do_not_count_and_an_excluded_target_is_a_miss():
  scores, mask = jnp.array([5.0, 4.0, 3.0, 2.0]), jnp.array([False, True, False, True])
  ranks = target_ranks(scores, mask, jnp.array([3, 0, -1]))
  np.testing.assert_array_equal(ranks, [2, np.inf, np.inf])
  values = evaluate(scores, mask, jnp.array([3, 0, -1]))
  assert values['recall@10'] == 0.5


def test_order_of_items_plays_no_part():
  scores, mask, targets = random_lists(3)
  order = np.random.default_rng(0).permutation(12)
  inverse = np.argsort(order)
  ranks = jax.vmap(ranking.target_ranks)
  moved = np.where(targets >= 0, inverse[targets], -1)
  np.testing.assert_array_equal(
    ranks(scores, mask, targets), ranks(scores[:, order], mask[:, order], moved)
  )


def test_every_metric_is_nan_without_targets():
  values = evaluate(jnp.arange(5.0), jnp.ones(5, bool), jnp.array([-1, -1]), (1, 3))
  assert len(values) == 2 * len(ranking.METRICS) + 1
  assert all(np.isnan(value) for value in values.values())


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


def test_top_k_agrees_with_the_ranks_where_nothing_ties():
  scores = jax.random.normal(jax.random.key(0), (30,))
  mask = jnp.arange(30) % 3 > 0
  items = top_k(scores, mask, 10)[1]
  np.testing.assert_array_equal(target_ranks(scores, mask, items), np.arange(1, 11))


def test_misshapen_input_is_named():
  with pytest.raises(ValueError, match=r'\(2, 5\)'):
    ranking.target_ranks(jnp.zeros((2, 5)), jnp.ones((2, 5), bool), jnp.zeros((2, 1), int))
  with pytest.raises(ValueError, match='k=6 is not in'):
    ranking.top_k(jnp.zeros(5), jnp.ones(5, bool), 6)
