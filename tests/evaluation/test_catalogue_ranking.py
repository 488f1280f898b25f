"""Ranking by blocks of the catalogue against all scores at once."""

import jax
import numpy as np
import pytest

from rec_jax.evaluation import catalogue_ranking, ranking

K = 5


def problem(num_users=13, num_items=1500, levels=0, seed=0):
  """Whole-number vectors, so that sums are exact in any order; few levels mean many ties."""
  rng = np.random.default_rng(seed)
  high = levels or 1000
  users = rng.integers(-high, high + 1, (num_users, 4)).astype(np.float32)
  items = rng.integers(-high, high + 1, (num_items, 4)).astype(np.float32)
  scores = users @ items.T
  targets = np.full((num_users, 4), -1)
  seen = []
  for u in range(num_users):
    # Half of the targets are near the top, where it matters.
    near = np.argsort(-scores[u])[:K]
    chosen = np.unique(np.concatenate([rng.permutation(near)[:2], rng.integers(num_items, size=2)]))
    targets[u, : len(chosen)] = rng.permutation(chosen)
    seen.append(np.unique(np.concatenate([near[: u % 3], rng.integers(num_items, size=u)])))
  offsets = np.cumsum([0, *map(len, seen)])
  return users, items, targets, offsets, np.concatenate(seen), scores


def at_once(targets, offsets, seen, scores, k):
  mask = np.ones(scores.shape, bool)
  mask[np.repeat(np.arange(len(mask)), np.diff(offsets)), seen] = False
  where = jax.vmap(ranking.places)(scores, mask, targets)
  return where, np.asarray(jax.vmap(lambda s, m: ranking.top_k(s, m, k)[1])(scores, mask))


@pytest.mark.parametrize('levels', [0, 3, 1])
def test_blocks_tell_what_all_scores_tell(levels, monkeypatch):
  # Three parts, of which the last one is padded.
  monkeypatch.setattr(catalogue_ranking, '_FEWEST_USERS', 5)
  monkeypatch.setattr(catalogue_ranking, '_NUM_SCORES', 1)
  *given, scores = problem(levels=levels)
  found = catalogue_ranking.rank(*given, cutoffs=(1, K))
  expected, top = at_once(*given[2:], scores, K)
  np.testing.assert_array_equal(found.top, top)
  ours, theirs = found.metrics, ranking.evaluate(expected, (1, K))
  assert set(theirs) - set(ours) == {'mrr'}
  for name, values in ours.items():
    np.testing.assert_array_equal(values, theirs[name], err_msg=name)
  assert ours[f'recall@{K}'].mean() > (0.005 if levels else 0.1)
  if levels == 1:
    # Ties beyond the blocks that are kept, which only counting all scores can tell.
    assert np.asarray(expected.tied).max() > 64 * (K + catalogue_ranking._SPARE_BLOCKS) / 2


@pytest.mark.parametrize('num_items', [5, 64, 65])
def test_small_catalogues(num_items):
  users, items, targets, offsets, seen, scores = problem(3, num_items, seed=1)
  found = catalogue_ranking.rank(users, items, targets, offsets, seen, (K,))
  expected, top = at_once(targets, offsets, seen, scores, K)
  np.testing.assert_array_equal(found.top, top)
  for name, values in found.metrics.items():
    np.testing.assert_array_equal(values, ranking.evaluate(expected, (K,))[name], err_msg=name)


def test_nothing_left_to_recommend():
  users, items = np.ones((1, 2)), np.ones((6, 2))
  found = catalogue_ranking.rank(users, items, [[2]], [0, 6], np.arange(6), (3,))
  np.testing.assert_array_equal(found.top, [[-1, -1, -1]])
  assert found.metrics['recall@3'] == 0


def test_wrong_input_is_named():
  users, items, targets, offsets, seen, _ = problem(3, 20)
  with pytest.raises(ValueError, match=r'got \(3, 4\), \(20, 3\)'):
    catalogue_ranking.rank(users, items[:, :3], targets, offsets, seen)
  with pytest.raises(ValueError, match='k=21 is not in 1..20'):
    catalogue_ranking.rank(users, items, targets, offsets, seen, (21,))
  with pytest.raises(ValueError, match='not finite'):
    catalogue_ranking.rank(users * np.nan, items, targets, offsets, seen)
