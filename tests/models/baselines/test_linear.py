"""Neighbours by brute force, SLIM by its optimality conditions, PureSVD by a dense one."""

import tracemalloc

import jax
import numpy as np
import pytest

from rec_jax.models.baselines import item_knn, pure_svd, recent_popularity, slim, user_knn
from rec_jax.models.baselines.events import Events, buckets


def random_events(num_users=30, num_items=11, share=0.3, seed=0):
  chosen = np.random.default_rng(seed).random((num_users, num_items)) < share
  user, item = np.nonzero(chosen)
  order = np.random.default_rng(1).permutation(len(user))
  return Events(user[order], item[order], np.arange(len(user)), num_users, num_items)


def cosine(rows, shrink):
  norm = np.sqrt(rows.sum(1))
  return rows @ rows.T / np.maximum(np.outer(norm, norm) + shrink, 1e-9)


def kept(similarity, k):
  """All but the k largest of each row are 0."""
  order = np.argsort(-similarity, axis=1, kind='stable')
  found = similarity.copy()
  np.put_along_axis(found, order[:, k:], 0, axis=1)
  return found


@pytest.mark.parametrize('shrink', [0.0, 2.0])
def test_neighbours_of_items_are_those_of_all_cosines(shrink):
  events = random_events()
  seen = events.matrix.toarray()
  similarity = cosine(seen.T, shrink)
  np.fill_diagonal(similarity, 0)
  found = item_knn.scores(item_knn.fit(events, k=4, shrink=shrink), events.histories(11))
  np.testing.assert_allclose(found, seen @ kept(similarity, 4).T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('shrink', [0.0, 2.0])
def test_neighbours_of_users_are_those_of_all_cosines(shrink):
  events = random_events()
  seen = events.matrix.toarray()
  similarity = cosine(seen, shrink).astype(np.float32)
  found = user_knn.scores(user_knn.fit(events, k=7, shrink=shrink), events.histories(11))
  np.testing.assert_allclose(found, kept(similarity, 7) @ seen, rtol=1e-4, atol=1e-5)


def test_slim_is_where_no_weight_gains_by_moving():
  """Karush-Kuhn-Tucker: gradient 0 where positive, not negative at 0; more items than a block."""
  events = random_events(60, 45)
  x, l1, l2 = events.matrix.toarray(), 1.5, 4.0
  weights = np.asarray(slim.fit(events, l1=l1, l2=l2, num_sweeps=500, tolerance=1e-7), np.float64)
  gradient = x.T @ (x @ weights - x) + l2 * weights + l1
  np.fill_diagonal(gradient, 0)
  assert (weights >= 0).all()
  assert not np.diag(weights).any()
  assert np.abs(gradient[weights > 0]).max() < 1e-3
  assert gradient.min() > -1e-3
  assert 0.05 < (weights > 0).mean() < 0.6


@pytest.mark.parametrize('dim', [3, 11, 50])
def test_pure_svd_projects_on_the_largest_singular_vectors(dim):
  events = random_events()
  seen = events.matrix.toarray()
  rows = np.linalg.svd(seen, full_matrices=False)[2][:dim]
  vectors = pure_svd.fit(jax.random.key(0), events, dim=dim)
  found = pure_svd.scores(vectors, events.histories(11))
  np.testing.assert_allclose(found, seen @ rows.T @ rows, atol=1e-5)


def test_recent_events_count_more():
  day = 86_400
  events = Events(np.arange(3), np.array([0, 1, 1]), np.array([0, 10, 20]) * day, 3, 3)
  counts = recent_popularity.fit(events, half_life=10.0)
  np.testing.assert_allclose(counts, [0.25, 1.5, 0])


@pytest.mark.parametrize(
  ('fit', 'settings'),
  [
    (item_knn.fit, {'k': 0}),
    (item_knn.fit, {'k': 3, 'shrink': -1.0}),
    (user_knn.fit, {'k': 0}),
    (slim.fit, {'l1': -1.0, 'l2': 1.0}),
    (slim.fit, {'l1': 1.0, 'l2': 0.0}),
    (recent_popularity.fit, {'half_life': 0.0}),
  ],
)
def test_settings_out_of_range_are_refused(fit, settings):
  with pytest.raises(ValueError, match=next(reversed(settings))):
    fit(random_events(), **settings)


def test_buckets_hold_every_event_once():
  matrix = random_events(40, 30, 0.4).matrix
  found = np.zeros(matrix.shape)
  for row, columns in buckets(matrix):
    for r, c in zip(row, columns, strict=True):
      found[r, c[c < 30]] += 1
    assert ((columns < 30).sum(1) * 2 > columns.shape[1]).all() or columns.shape[1] == 8
  np.testing.assert_array_equal(found, matrix.toarray())


def test_histories_end_with_the_latest_events():
  events = Events(np.array([0, 1, 0, 0]), np.array([3, 1, 2, 0]), np.arange(4), 3, 4)
  np.testing.assert_array_equal(events.histories(2), [[3, 1], [2, 0], [0, 0]])


def test_neighbours_are_the_same_however_many_rows_are_held(monkeypatch):
  events = random_events()
  whole = item_knn.fit(events, k=4)
  monkeypatch.setattr(item_knn, '_MOST', 30)
  np.testing.assert_array_equal(item_knn.fit(events, k=4).item, whole.item)


def test_neighbours_are_sought_among_items_with_a_user_in_common():
  num_items, rng = 4_000, np.random.default_rng(0)
  # Each user chose two items that are next to each other.
  first = rng.permutation(num_items - 1)
  item = np.concatenate([first, first + 1])
  events = Events(np.tile(np.arange(len(first)), 2), item, item, len(first), num_items)
  tracemalloc.start()
  found = item_knn.fit(events, k=3)
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert most < num_items**2
  np.testing.assert_array_equal(found.item[1:-2, :2], np.arange(num_items - 3)[:, None] + [0, 2])
  np.testing.assert_allclose(found.similarity[2:-2], np.tile([0.5, 0.5, 0], (num_items - 4, 1)))
