"""The update of item vectors on a log against least squares, item by item."""

import numpy as np
import pytest

from rec_jax.stages.explore import payoff

N, F, ROWS = 6, 3, 40


@pytest.fixture
def log():
  rng = np.random.default_rng(0)
  # Item 5 is not in the log.
  return (
    rng.normal(size=(N, F)),
    rng.integers(0, N - 1, ROWS),
    rng.normal(size=(ROWS, F)),
    rng.normal(size=ROWS),
  )


@pytest.mark.parametrize('precision', [0.1, 3.0])
def test_each_item_minimises_its_own_ridge_loss(log, precision):
  features, item, weights, residual = log
  refitted = payoff.refit_items(*log, precision)
  for i in range(N - 1):
    rows = item == i
    # Ridge around x0 is least squares with sqrt(precision) I and its x0 as further rows.
    design = np.vstack([weights[rows], np.sqrt(precision) * np.eye(F)])
    target = np.concatenate([residual[rows], np.sqrt(precision) * features[i]])
    np.testing.assert_allclose(refitted[i], np.linalg.lstsq(design, target)[0], rtol=1e-8)
    assert not np.allclose(refitted[i], features[i])
  np.testing.assert_array_equal(refitted[-1], features[-1])


def test_a_strong_prior_moves_nothing_and_an_exact_log_is_fitted(log):
  features, item, weights, _ = log
  truth = np.random.default_rng(1).normal(size=(N, F))
  residual = np.sum(weights * truth[item], axis=1)
  np.testing.assert_allclose(
    payoff.refit_items(features, item, weights, residual, 1e9), features, atol=1e-6
  )
  fitted = payoff.refit_items(features, item, weights, residual, 1e-9)
  enough = np.flatnonzero(np.bincount(item, minlength=N) >= F)
  np.testing.assert_allclose(fitted[enough], truth[enough], atol=1e-5)


def test_means_of_users_with_a_visit():
  reward, visits = np.array([[1, 0, 1, 1], [0, 0, 1, 0]]), np.array([2, 0, 0, 2])
  assert payoff._by_user(reward, visits) == [0.5, 0.5]
  assert payoff._by_user(reward[:, :2], visits[:2]) == [0, 0.5]
