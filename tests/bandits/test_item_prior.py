"""Priors of items by hand."""

import numpy as np
import pytest

from rec_jax.bandits import item_prior


def test_who_has_not_chosen_an_item_that_was_there_has_passed_over_it():
  prior = item_prior.of_events(np.array([0, 0, 1]), np.array([1.0, 0.0, 1.0]), 5, 3)
  np.testing.assert_array_equal(prior.a0, [2, 2, 1])
  np.testing.assert_array_equal(prior.b0, [9 + 4, 9 + 4, 9])
  np.testing.assert_array_equal(prior.num_events, [2, 1, 0])
  np.testing.assert_allclose(prior.mean, [2 / 15, 2 / 15, 0.1])


def test_an_item_nobody_knows_is_as_doubtful_as_the_one_of_the_longest_features():
  features = np.array([[0.5, 0.0], [0.0, 1.0], [2.0, 0.0]])
  doubt = item_prior.doubt(features, np.array([0.0, 0.0, 50.0]), 20.0)
  # 2^2 / 20 before any event; 50 events of variance 0.2 + 0.2 leave 1 / (5 + 125).
  np.testing.assert_allclose(doubt['item_variance'], [0.2, 0.2, 1 / 130], rtol=1e-5)
  assert doubt['item_noise'] == pytest.approx(0.2)
