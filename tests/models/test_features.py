"""Candidate features: the prior of a linear belief is how tastes vary."""

import numpy as np
import pytest

from rec_jax.models.features import candidate_features

N, D = 8, 4


@pytest.fixture
def problem():
  rng = np.random.default_rng(0)
  return rng.normal(size=(N, D)) * [3.0, 0.5, 1.0, 2.0] + 5.0, rng.uniform(0.05, 0.95, N)


@pytest.mark.parametrize('num_features', [1, 2, D, D + 3])
def test_the_prior_covariance_is_that_of_tastes(problem, num_features):
  items, mean_reward = problem
  features = candidate_features(items, mean_reward, num_features)
  assert features.shape == (N, num_features)
  assert features.dtype == np.float32
  np.testing.assert_array_equal(features[:, D:], 0)
  # With fewer directions it is the best approximation of that rank (Eckart & Young 1936).
  scaled = (items - items.mean(0)) * np.sqrt(mean_reward * (1 - mean_reward))[:, None]
  left, size, right = np.linalg.svd(scaled, full_matrices=False)
  size[num_features:] = 0
  expected = (left * size) @ right
  expected /= np.sqrt(np.mean(np.sum(expected**2, axis=1)))
  np.testing.assert_allclose(features @ features.T, expected @ expected.T, rtol=1e-3, atol=1e-5)


def test_nothing_depends_on_scale_or_on_the_mean_item(problem):
  items, mean_reward = problem
  features = candidate_features(items, mean_reward, D)
  other = candidate_features(np.float32(7 * items + 3), mean_reward, D)
  np.testing.assert_allclose(other @ other.T, features @ features.T, rtol=1e-3, atol=1e-5)


def test_an_unpopular_item_has_little_room(problem):
  items, mean_reward = problem
  items[0] = items[1]
  mean_reward[:2] = 0.5, 0.01
  sizes = np.linalg.norm(candidate_features(items, mean_reward, D), axis=1)
  np.testing.assert_allclose(sizes[1] / sizes[0], np.sqrt(0.01 * 0.99 / 0.25), rtol=1e-4)


def test_items_that_are_all_alike_give_zeros():
  features = candidate_features(np.ones((N, D)), np.full(N, 0.3), D)
  np.testing.assert_array_equal(features, 0)
