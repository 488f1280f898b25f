"""The popularity baseline against counts by hand."""

import numpy as np
import pytest

from rec_jax.models.baselines import popularity

ITEM = np.array([2, 0, 2, 2, 1])
HISTORIES = np.zeros((3, 4), np.int32)


def test_posterior_mean_by_hand():
  params = popularity.fit(ITEM, np.array([1, 0, 1, 0, 1]), 20, 4)
  np.testing.assert_array_equal(params.alpha, [1, 2, 3, 1])
  np.testing.assert_array_equal(params.beta, [29, 28, 27, 29])
  scores = popularity.scores(params, HISTORIES)
  assert scores.shape == (3, 4)
  np.testing.assert_allclose(scores[1], [1 / 30, 2 / 30, 3 / 30, 1 / 30], rtol=1e-6)


def test_order_is_that_of_the_counts():
  counts = np.random.default_rng(0).permutation(500)
  item = np.repeat(np.arange(500), counts)
  params = popularity.fit(item, np.ones(len(item)), 600, 500)
  order = np.argsort(popularity.scores(params, HISTORIES)[0])
  np.testing.assert_array_equal(counts[order], np.arange(500))


def test_trials_of_each_item_give_the_mean_rating():
  params = popularity.fit(ITEM, np.array([1, 0, 1, 0, 1]), np.bincount(ITEM, minlength=4), 4)
  np.testing.assert_allclose(params.alpha + params.beta, [11, 11, 13, 10])


def test_more_positives_than_trials_is_an_error():
  with pytest.raises(ValueError, match='item 2 has 3 positives'):
    popularity.fit(ITEM, np.ones(5), 2, 4)
