"""Regret curves against hand-computed ones."""

import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation import regret


def test_cumulative_regret_by_hand():
  expected, best = [[0.2, 0.5, 0.1], [0.4, 0.4, 0.4]], [[0.5, 0.5, 0.5], [0.4, 0.5, 0.6]]
  np.testing.assert_allclose(
    regret.cumulative_regret(expected, best), [[0.3, 0.3, 0.7], [0, 0.1, 0.3]], atol=1e-12
  )


def test_single_rounds_are_kept_after_many():
  expected, best = np.zeros((1, 300_000), np.float32), np.full((1, 300_000), 0.1, np.float32)
  curve = regret.cumulative_regret(expected, best)[0]
  np.testing.assert_allclose(curve[-1], 300_000 * np.float64(np.float32(0.1)), rtol=1e-12)


def test_average_reward_by_hand():
  np.testing.assert_allclose(regret.average_reward([[1, 0, 1, 1]]), [[1, 1 / 2, 2 / 3, 3 / 4]])


def test_band_is_student_s_interval_at_each_round():
  curves = np.random.default_rng(0).normal(size=(9, 5))
  band = regret.band(curves)
  low, high = scipy.stats.t.interval(0.95, 8, curves.mean(0), scipy.stats.sem(curves))
  np.testing.assert_allclose(band.low, low)
  np.testing.assert_allclose(band.high, high)
  np.testing.assert_allclose(band.value, curves.mean(0))
  assert band.n == 9


def test_band_of_one_seed_is_unknown():
  band = regret.band(np.ones((1, 4)))
  assert np.isnan(band.low).all()
  np.testing.assert_array_equal(band.value, 1)


def test_a_choice_better_than_the_best_is_an_error():
  with pytest.raises(ValueError, match='seed 0, round 1: the choice is worth'):
    regret.cumulative_regret([[0.1, 0.9]], [[0.5, 0.5]])
  with pytest.raises(ValueError, match=r'\(1, 2\) and \(2, 1\)'):
    regret.cumulative_regret([[0.1, 0.9]], [[0.5], [0.5]])


@pytest.mark.parametrize(('best', 'allowed'), [(0.5, 1e-4), (-20.0, 2e-3)])
def test_rounding_of_a_choice_is_no_error(best, allowed):
  """A ten-thousandth of the best, or of 1 where that is more."""
  curve = regret.cumulative_regret([[best + 0.9 * allowed]], [[best]])
  np.testing.assert_allclose(curve, [[-0.9 * allowed]], rtol=1e-6)
  with pytest.raises(ValueError, match='more than the best'):
    regret.cumulative_regret([[best + 1.1 * allowed]], [[best]])


def test_a_band_has_the_level_that_is_asked_for():
  curves = np.random.default_rng(0).normal(size=(6, 3))
  band = regret.band(curves, level=0.8)
  low, high = scipy.stats.t.interval(0.8, 5, curves.mean(0), scipy.stats.sem(curves))
  np.testing.assert_allclose([band.low, band.high], [low, high])


def test_simple_regret_by_hand():
  # Arm 1 leads in the first seed; arms 0 and 1 are tied in the second, and arm 2 is not chosen.
  arm = [[0, 1, 2, 1], [0, 1, 1, 0]]
  reward = [[0, 1, 0, 1], [1, 0, 1, 0]]
  worth = np.array([0.3, 0.5, 0.9])
  found = regret.simple_regret(reward, worth[np.array(arm)], np.full((2, 4), 0.9), arm)
  np.testing.assert_allclose(found, [0.9 - 0.5, 0.9 - 0.4])
  # What was never chosen is not recommended, though all others lost.
  found = regret.simple_regret([[-2, -1]], [[0.3, 0.5]], np.full((1, 2), 0.9), [[0, 2]])
  np.testing.assert_allclose(found, [0.9 - 0.5])


def test_simple_regret_wants_one_shape():
  with pytest.raises(ValueError, match=r'\(1, 2\) and \(1, 3\)'):
    regret.simple_regret(np.ones((1, 2)), np.ones((1, 3)), np.ones((1, 2)), np.zeros((1, 2), int))
