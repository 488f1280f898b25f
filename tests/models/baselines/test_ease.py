"""EASE against its definition as a constrained least-squares problem."""

import tracemalloc

import numpy as np
import pytest

from rec_jax.models import linear_path
from rec_jax.models.baselines import ease, registry


def small_matrix():
  return (np.random.default_rng(0).random((30, 7)) < 0.4).astype(np.float64)


def test_weights_minimise_the_regularised_loss_with_a_zero_diagonal():
  """Equation 4 of the paper, solved column by column as ridge regression on the other items."""
  seen, lambda_ = small_matrix(), 3.0
  weights = ease.fit(*np.nonzero(seen), 7, lambda_=lambda_)
  for j in range(7):
    others = np.delete(np.arange(7), j)
    x = seen[:, others]
    expected = np.linalg.solve(x.T @ x + lambda_ * np.eye(6), x.T @ seen[:, j])
    np.testing.assert_allclose(weights[others, j], expected, rtol=1e-4, atol=1e-6)
    assert weights[j, j] == 0


def test_scores_are_the_history_times_the_weights():
  seen = small_matrix()
  weights = ease.fit(*np.nonzero(seen), 7, lambda_=1.0)
  histories = np.zeros((30, 9), np.int32)
  for row, user in zip(histories, seen, strict=True):
    items = np.nonzero(user)[0]
    row[len(row) - len(items) :] = items + 1
  np.testing.assert_allclose(ease.scores(weights, histories), seen @ weights, atol=1e-5)


@pytest.mark.parametrize('history', [[0, 0, 3, 1, 6], [3, 1, 6, 0, 0]])
def test_older_events_count_less_whatever_the_side_of_the_padding(history):
  weights = np.random.default_rng(0).normal(size=(7, 7))
  expected = weights[5] + 0.5 * weights[0] + 0.25 * weights[2]
  scores = ease.scores(weights, np.array([history]), decay=0.5)
  np.testing.assert_allclose(scores[0], expected, rtol=1e-5)


def test_an_empty_history_scores_nothing():
  np.testing.assert_array_equal(ease.scores(np.ones((4, 4)), np.zeros((1, 3), np.int32)), 0)


def test_items_without_events_get_finite_weights():
  weights = ease.fit(np.array([0, 1]), np.array([1, 1]), 5, lambda_=10.0)
  assert np.isfinite(weights).all()


@pytest.mark.parametrize('lambda_', [0.0, -1.0, np.nan])
def test_lambda_must_be_positive(lambda_):
  with pytest.raises(ValueError, match='is not positive'):
    ease.fit(np.array([0]), np.array([0]), 2, lambda_=lambda_)


def test_a_pair_of_several_events_counts_once():
  user, item = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 0])
  twice = np.concatenate([user, user[:3]]), np.concatenate([item, item[:3]])
  once = ease.fit(user, item, 3, lambda_=1.0)
  np.testing.assert_array_equal(ease.fit(*twice, 3, lambda_=1.0), once)
  spectra = [linear_path.spectrum(*pairs, 3, 3, 0).values for pairs in ((user, item), twice)]
  np.testing.assert_allclose(*spectra, rtol=1e-5)


@pytest.mark.parametrize('share', [0.01, 0.3])
def test_a_fit_takes_no_more_memory_than_it_says(share):
  num_items = 700
  seen = np.nonzero(np.random.default_rng(0).random((1_000, num_items)) < share)
  tracemalloc.start()
  weights = ease.fit(*seen, num_items, lambda_=10.0)
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  # What grows with the events is not counted.
  assert most < registry.get('ease').num_bytes(1_000, num_items) + 30 * len(seen[0])
  gram = np.zeros((1_000, num_items))
  gram[seen] = 1
  precision = np.linalg.inv(gram.T @ gram + 10.0 * np.eye(num_items))
  expected = -precision / np.diag(precision) * (1 - np.eye(num_items))
  np.testing.assert_allclose(weights, expected, atol=1e-6)
