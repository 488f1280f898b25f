"""Candidate features: the prior of a linear belief is how tastes vary."""

import numpy as np
import pytest

from rec_jax.models.features import candidate_features

N, U, D = 8, 40, 4


@pytest.fixture
def problem():
  rng = np.random.default_rng(0)
  items = rng.normal(size=(N, D))
  users = rng.normal(size=(U, D)) * [3.0, 0.5, 1.0, 2.0] + rng.normal(size=D)
  return items, users, rng.uniform(0.05, 0.95, N)


def taste_covariance(items, users, mean_reward, directions=None):
  """Of the items' rewards over users, by the model: with all directions or the leading ones."""
  variance, vectors = np.linalg.eigh(np.cov(users.T))
  kept = np.argsort(-variance)[:directions]
  covariance = (vectors[:, kept] * variance[kept]) @ vectors[:, kept].T
  deviation = np.sqrt(mean_reward * (1 - mean_reward))
  return deviation[:, None] * (items @ covariance @ items.T) * deviation


@pytest.mark.parametrize('num_features', [1, 2, D, D + 3])
def test_the_prior_covariance_is_that_of_tastes(problem, num_features):
  features = candidate_features(*problem, num_features)
  assert features.shape == (N, num_features)
  assert features.dtype == np.float32
  np.testing.assert_allclose(np.mean(np.sum(features**2, axis=1)), 1, rtol=1e-5)
  np.testing.assert_array_equal(features[:, D:], 0)
  expected = taste_covariance(*problem, num_features)
  expected /= np.trace(expected) / N
  np.testing.assert_allclose(features @ features.T, expected, rtol=1e-3, atol=1e-5)


def test_nothing_depends_on_scale_or_on_the_mean_user(problem):
  items, users, mean_reward = problem
  features = candidate_features(items, users, mean_reward, D)
  other = candidate_features(7 * items, 0.1 * users + 5, mean_reward, D)
  np.testing.assert_allclose(other @ other.T, features @ features.T, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('users', [np.ones((1, D)), np.ones((5, D))], ids=['one', 'all alike'])
def test_users_who_do_not_differ_give_the_item_vectors(problem, users):
  items, _, mean_reward = problem
  features = candidate_features(items, users, mean_reward, D)
  assert np.isfinite(features).all()
  scaled = items * np.sqrt(mean_reward * (1 - mean_reward))[:, None]
  expected = scaled @ scaled.T
  np.testing.assert_allclose(
    features @ features.T, expected / np.trace(expected) * N, rtol=1e-3, atol=1e-5
  )
