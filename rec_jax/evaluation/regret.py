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


def simple_regret(
  reward: ArrayLike, expected: ArrayLike, best: ArrayLike, arm: ArrayLike
) -> np.ndarray:
  """What is lost by the arm that would be recommended after all rounds.

  Recommended is the arm with the highest mean observed reward (Bubeck, Munos & Stoltz 2009, Pure
  Exploration in Multi-armed Bandits Problems, figure 2), ties at random, over which this is the
  expectation. Arms and their expected rewards are to stay the same in all rounds.

  Args:
    reward: [S, T] observed.
    expected: [S, T] expected reward of the chosen arm.
    best: [S, T] expected reward of the best arm.
    arm: [S, T] integers >= 0, the chosen arm.

  Returns:
    [S] float64.

  Raises:
    ValueError: if the shapes differ.
  """
  arm = np.asarray(arm, np.int64)
  arrays = [np.asarray(x, np.float64) for x in (reward, expected, best)]
  if shapes := {x.shape for x in arrays} - {arm.shape}:
    raise ValueError(f'expected arrays of one shape [S, T], got {arm.shape} and {shapes.pop()}')
  shape = len(arm), arm.max() + 1
  rows = (np.arange(len(arm))[:, None] * shape[1] + arm).ravel()
  count, total, worth = (
    np.bincount(rows, weights, minlength=shape[0] * shape[1]).reshape(shape)
    for weights in (None, arrays[0].ravel(), arrays[1].ravel())
  )
  # An arm that was never chosen cannot be recommended.
  times = np.maximum(count, 1)
  mean = np.where(count > 0, total / times, -np.inf)
  tied = mean == mean.max(axis=1, keepdims=True)
  return arrays[2][:, -1] - np.mean(worth / times, axis=1, where=tied)


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
