"""Regret and reward by round, averaged over seeds, with bands.

The bands show the spread over seeds alone. Where users are the population of interest, see
`intervals.user_mean`.
"""

import dataclasses

import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import t_half_width

# Rewards are float32; the best candidate may lie below the chosen one by as much as rounding.
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Band:
  """A curve over rounds with a pointwise interval over seeds.

  Attributes:
    value: [T] mean over seeds.
    low: [T] lower end.
    high: [T] upper end.
    n: number of seeds.
  """

  value: np.ndarray
  low: np.ndarray
  high: np.ndarray
  n: int


def cumulative_regret(expected: ArrayLike, best: ArrayLike) -> np.ndarray:
  """Regret up to each round: the sum of best minus chosen expected reward.

  Args:
    expected: [S, T] expected reward of what was chosen.
    best: [S, T] expected reward of the best candidate of that round.

  Returns:
    [S, T] float64 (float32 would lose single rounds after a million of them).

  Raises:
    ValueError: if the shapes differ or a choice was better than the best.
  """
  expected, best = np.asarray(expected, np.float64), np.asarray(best, np.float64)
  if expected.ndim != 2 or expected.shape != best.shape:
    raise ValueError(f'expected two arrays [S, T], got {expected.shape} and {best.shape}')
  gap = best - expected
  allowed = TOLERANCE * np.maximum(np.abs(best), 1)
  if (gap < -allowed).any():
    seed, round_ = np.argwhere(gap < -allowed)[0]
    raise ValueError(
      f'seed {seed}, round {round_}: the choice is worth {expected[seed, round_]:.6g}, more than '
      f'the best candidate, {best[seed, round_]:.6g}'
    )
  return np.cumsum(gap, axis=1)


def average_reward(reward: ArrayLike) -> np.ndarray:
  """Mean reward up to each round, [S, T] -> [S, T] float64."""
  reward = np.asarray(reward, np.float64)
  return np.cumsum(reward, axis=1) / np.arange(1, reward.shape[1] + 1)


def band(curves: ArrayLike, *, level: float = 0.95) -> Band:
  """Mean over seeds with Student's interval at each round.

  Args:
    curves: [S, T].
    level: probability of covering, at each round by itself.

  Returns:
    The band; its ends are NaN for one seed, where nothing is known of the spread.
  """
  curves = np.asarray(curves, np.float64)
  mean, half = curves.mean(0), t_half_width(curves, level=level)
  return Band(mean, mean - half, mean + half, curves.shape[0])
