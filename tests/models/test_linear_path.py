import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import linear_path
from rec_jax.models.baselines import ease
from rec_jax.models.linear_path import LinearPath


def _events(num_users, num_items, seed=0):
  """User and item of events, each pair once, some items more popular than others."""
  rng = np.random.default_rng(seed)
  chosen = rng.random((num_users, num_items)) < 0.6 * rng.beta(1, 3, num_items)
  return np.nonzero(chosen)


def _path(spectrum, lambda_, decay):
  path = LinearPath(*spectrum.vectors.shape)
  path.given[...] = spectrum.vectors
  path.sought[...] = spectrum.vectors * spectrum.shares(lambda_) * spectrum.scales(lambda_)[:, None]
  path.decay[...] = jnp.float32(decay)
  return path


@pytest.mark.parametrize('num_users', [12, 60])
def test_with_all_directions_candidates_score_as_in_ease(num_users):
  user, item = _events(num_users, 30)
  spectrum = linear_path.spectrum(user, item, 30, 30, seed=0)
  path = _path(spectrum, 7.0, 0.8)
  history = np.array([[3, 9, 0, 0], [30, 1, 12, 5], [0, 0, 0, 0]], np.int32)
  found = np.asarray(path.users(jnp.asarray(history)) @ path.sought[...].T)
  weights = ease.fit(user, item, 30, lambda_=7.0)
  expected = np.asarray(ease.scores(weights, history, decay=0.8))
  candidate = ~np.any(history[:, :, None] == np.arange(1, 31), axis=1)
  np.testing.assert_allclose(found[candidate], expected[candidate], rtol=1e-3, atol=1e-4)
  assert np.abs(expected[candidate]).max() > 0.1


def test_the_spectrum_is_that_of_the_events():
  user, item = _events(200, 120, seed=1)
  dense = np.zeros((200, 120))
  dense[user, item] = 1
  _, singular, right = np.linalg.svd(dense)
  found = linear_path.spectrum(user, item, 120, 16, seed=0)
  np.testing.assert_allclose(found.values, singular[:16] ** 2, rtol=2e-3)
  # The signs of directions are free; the leading ones are far enough apart to be told.
  overlap = np.abs(np.sum(np.asarray(found.vectors)[:, :4] * right[:4].T, axis=0))
  np.testing.assert_allclose(overlap, 1, atol=1e-2)


def test_directions_that_events_do_not_have_are_zeros():
  found = linear_path.spectrum(np.array([4, 4, 7]), np.array([0, 2, 2]), 5, 5, seed=0)
  np.testing.assert_allclose(found.values[2:], 0, atol=1e-6)
  path = _path(found, 1.0, 1.0)
  scores = path.users(jnp.array([[1]])) @ path.sought[...].T
  assert np.isfinite(scores).all()
  # Items 1, 3 and 4 have no event: nothing leads to them.
  np.testing.assert_allclose(np.asarray(scores)[0, [1, 3, 4]], 0, atol=1e-6)
  assert scores[0, 2] > 0.05


def test_items_without_an_event_are_at_zero_and_tied():
  user, item = _events(60, 30)
  met = ~np.isin(item, [4, 17, 29])
  vectors = linear_path.spectrum(user[met], item[met], 30, 12, seed=0).vectors
  np.testing.assert_array_equal(np.any(vectors, axis=1), np.isin(np.arange(30), item[met]))


def test_items_of_like_users_start_side_by_side():
  rng = np.random.default_rng(2)
  group = np.arange(60) % 3
  chosen = rng.random((150, 60)) < np.where(np.arange(150)[:, None] % 3 == group, 0.4, 0.02)
  start = np.asarray(linear_path.spectrum(*np.nonzero(chosen), 60, 20, seed=0).start(8, seed=0))
  assert np.mean(np.sum(start**2, axis=1)) == pytest.approx(1, rel=1e-4)
  cosine = start @ start.T / np.outer(*[np.linalg.norm(start, axis=1)] * 2)
  same = group[:, None] == group
  assert cosine[same].mean() > 0.5 > cosine[~same].mean() + 0.3
  # No coordinate is ahead of another.
  assert start.std(0).max() < 4 * start.std(0).min()


def test_each_prefix_is_a_history():
  path = LinearPath(9, 4)
  path.given[...] = jax.random.normal(jax.random.key(0), (9, 4))
  path.decay[...] = jnp.float32(0.7)
  history = np.array([[2, 9, 4], [7, 0, 0]], np.int32)
  prefixes = np.asarray(nnx.jit(LinearPath.users_after_prefixes)(path, jnp.asarray(history)))
  given = np.asarray(path.given[...])
  by_hand = [np.zeros(4), given[1], 0.7 * given[1] + given[8]]
  np.testing.assert_allclose(prefixes[0, :3], by_hand, rtol=1e-5)
  for length in range(4):
    part = np.where(np.arange(3) < length, history, 0)
    if (part > 0).sum(1).max() == length:
      np.testing.assert_allclose(path.users(jnp.asarray(part))[0], prefixes[0, length], rtol=1e-5)
  np.testing.assert_allclose(prefixes[1, 1], given[6], rtol=1e-6)


@pytest.mark.parametrize(
  ('num_items', 'rank', 'expected'), [(1, 512, 1), (300, 512, 300), (1682, 512, 512), (1682, 0, 0)]
)
def test_the_rank_follows_from_the_number_of_items(num_items, rank, expected):
  assert linear_path.rank_of(num_items, rank) == expected


def test_the_tables_of_a_million_items_take_little_memory():
  assert 0 < linear_path.rank_of(1_000_000, 512) * 1_000_000 * 4 <= 2**28
