"""The mean of the lowest rewards: by hand, by repeating rows, and its interval by coverage."""

import numpy as np
import pytest
from scipy import stats

from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.tails import cvar


def rounds(weight, reward):
  zeros = np.zeros(len(weight))
  return Rounds(np.asarray(reward, float), np.asarray(weight, float), zeros, zeros, zeros)


def test_by_hand_and_by_rows_that_are_there_more_often():
  # The lowest half of 1, 2, 3, 4 is 1 and 2.
  assert cvar(rounds(np.ones(4), [4, 2, 3, 1]), 0.5).value == pytest.approx(1.5)
  # The lowest 30 % of four are the lowest and a fifth of the next: (1 + .2 * 2) / 1.2.
  assert cvar(rounds(np.ones(4), [4, 2, 3, 1]), 0.3).value == pytest.approx(1.4 / 1.2)
  rng = np.random.default_rng(0)
  weight, reward = rng.integers(4, size=200), rng.normal(size=200)
  repeated = np.sort(np.repeat(reward, weight))
  expected = repeated[: len(repeated) // 4].sum() / (len(repeated) // 4)
  found = cvar(rounds(weight, reward), (len(repeated) // 4) / len(repeated))
  assert found.value == pytest.approx(expected)
  assert cvar(rounds(weight, reward), 1.0).value == pytest.approx(repeated.mean())
  assert np.isnan(cvar(rounds(np.zeros(3), np.ones(3))).value)


def test_the_interval_covers():
  # Weights 2 and 0 by the sign of a coin; under the policy rewards are standard normal.
  value, held, width = -stats.norm.pdf(stats.norm.ppf(0.1)) / 0.1, [], []
  for seed in range(400):
    rng = np.random.default_rng(seed)
    found = cvar(rounds(2 * rng.integers(2, size=1_000), rng.normal(size=1_000)))
    held.append(found.low <= value <= found.high)
    width.append(found.high - found.low)
  assert 0.92 <= np.mean(held) <= 0.98
  # Weights count relative to their mean.
  doubled = cvar(rounds(np.arange(1, 61) * 2.0, np.arange(60)))
  single = cvar(rounds(np.arange(1, 61), np.arange(60)))
  assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high))
  by_user = cvar(rounds(np.ones(60), np.arange(60)), cluster=np.arange(60) // 3)
  assert by_user.n == 20
