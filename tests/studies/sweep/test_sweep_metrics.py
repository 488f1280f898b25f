"""Sums over rounds and positions, by hand."""

import numpy as np

from rec_jax.environments.base import Metrics
from rec_jax.studies.sweep.sweep_metrics import REGRET, REGRET_IN_HINDSIGHT

# One run, two rounds, one user, slates of two: the second round is worth more than its best.
EXPECTED = np.array([[[[0.5, 0.1]], [[0.5, 0.5]]]])
BEST = np.array([[[[0.6, 0.3]], [[0.25, 0.5]]]])
METRICS = Metrics(EXPECTED, EXPECTED, BEST, np.zeros((1, 2, 1, 2), int), np.zeros((1, 2, 1), int))


def test_regret_is_that_of_whole_slates():
  sums = REGRET.sums(METRICS.replace(best_expected_reward=BEST + 0.5))
  np.testing.assert_allclose(sums['regret'], [[1.3, 2.05]])
  np.testing.assert_allclose(sums['expected_reward'], [[0.6, 1.6]])


def test_regret_in_hindsight_may_fall():
  np.testing.assert_allclose(REGRET_IN_HINDSIGHT.sums(METRICS)['regret'], [[0.3, 0.05]])
