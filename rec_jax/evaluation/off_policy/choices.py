"""What was chosen, in which context and out of what; and whether models of it fit.

Shape letters: n rounds, m rounds of a chunk, K actions, C candidates of a round, F columns.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.special

# Probability that a right model is called wrong.
FALSE_ALARM = 1e-3
# Rounds that have to be expected, and to be missing, before their number is as good as normal.
_LEAST_EXPECTED = 30
# Bins of probabilities: (1/2, 1], (1/4, 1/2], ...
_NUM_BINS = 64


class Choices(NamedTuple):
  """What was chosen, in which context, and out of what.

  Attributes:
    context: [n, F], any scale; no columns where nothing is known.
    action: [n] int in [0, K).
    num_actions: K.
    candidates: [n, C] int, -1 where there were fewer; None where they are all actions.
  """

  context: np.ndarray
  action: np.ndarray
  num_actions: int
  candidates: np.ndarray | None = None


class Misfit(NamedTuple):
  """Rounds in which something was chosen more or less often than models say, by no accident.

  Attributes:
    logged: how many there are.
    expected: how many the models say.
    action: which action was chosen; None where it is any to which they give some probability.
    column: of the context, which is farther from its median than in half of all rounds; None there.
    probability: the largest such one; its half is the least.
  """

  logged: float
  expected: float
  action: int | None = None
  column: int | None = None
  probability: float = 1.0


def by_action(
  choices: Choices, rows: np.ndarray, values: np.ndarray, columns: np.ndarray
) -> np.ndarray:
  """[K, F] sums of values [m, C] times columns [m, F] over the rounds that offer each action."""
  if choices.candidates is None:
    return values.T @ columns
  offered = choices.candidates[rows]
  held = offered >= 0
  starts = np.append(0, np.cumsum(held.sum(1)))
  shape = (len(rows), choices.num_actions)
  return scipy.sparse.csr_array((values[held], offered[held], starts), shape=shape).T @ columns


class Counts(NamedTuple):
  """Choices beside what models that have not seen them expect.

  Over all actions of about one probability, choices have to be as many as these add up to, which
  finds models that are too sure or not sure enough. And each action is counted in rounds whose
  context is far from its median: a model that is linear in the context fits both sides of the
  median alike, and misses what depends on the distance.

  Attributes:
    columns: [n, 1 + F] ones, and 1 where a column of the context is far from its median.
    logged: [K, 1 + F] choices of each action, by these columns.
    expected: [K, 1 + F] what models expect of them.
    variance: [K] of all choices of an action.
    bins: [3, bins] choices, expectation and variance by the probability of an action.
  """

  columns: np.ndarray
  logged: np.ndarray
  expected: np.ndarray
  variance: np.ndarray
  bins: np.ndarray


def no_counts(choices: Choices) -> Counts:
  """Before anything is expected."""
  distance = np.abs(choices.context - np.median(choices.context, axis=0))
  far = distance > np.median(distance, axis=0)
  columns = np.c_[np.ones(len(far)), far].astype(np.float32)
  size = choices.num_actions
  logged = [np.bincount(choices.action, column, minlength=size) for column in columns.T]
  zeros = np.zeros((size, columns.shape[1]))
  return Counts(columns, np.stack(logged, axis=1), zeros, zeros[:, 0], np.zeros((3, _NUM_BINS)))


def counted(
  counts: Counts, choices: Choices, rows: np.ndarray, place: np.ndarray, chance: np.ndarray
) -> Counts:
  """With rounds [m], of which the logged action is at a place [m] of chances [m, C]."""
  columns, spread = counts.columns[rows], chance * (1 - chance)
  bins = np.clip(-np.frexp(chance)[1], 0, _NUM_BINS - 1)
  values = (None, chance.ravel(), spread.ravel())
  where = (bins[np.arange(len(rows)), place], bins.ravel(), bins.ravel())
  added = [np.bincount(*pair, minlength=_NUM_BINS) for pair in zip(where, values, strict=True)]
  return counts._replace(
    expected=counts.expected + by_action(choices, rows, chance, columns),
    variance=counts.variance + by_action(choices, rows, spread, columns[:, :1])[:, 0],
    bins=counts.bins + added,
  )


def misfit(counts: Counts) -> Misfit | None:
  """Where models are most clearly wrong, None where all could be by accident (Bonferroni)."""
  logged, expected, variance = counts.bins
  told = variance >= _LEAST_EXPECTED
  in_bins = np.where(told, logged - expected, 0) / np.sqrt(np.where(told, variance, 1))
  known = (counts.variance >= _LEAST_EXPECTED)[:, None]
  excess = counts.logged - counts.expected
  # What is too much far from the median and too little near it, or the other way round.
  contrast = np.where(known, excess[:, 1:] - excess[:, :1] / 2, 0)
  at_far = 2 * contrast / np.sqrt(np.where(known, counts.variance[:, None], 1))
  num_tests = told.sum() + known.sum() * at_far.shape[1]
  worst = max(np.abs(in_bins).max(), np.abs(at_far).max(initial=0))
  if not worst > scipy.special.ndtri(1 - FALSE_ALARM / 2 / max(num_tests, 1)):
    return None
  if worst == np.abs(in_bins).max():
    place = int(np.argmax(np.abs(in_bins)))
    return Misfit(float(logged[place]), float(expected[place]), probability=0.5**place)
  action, column = np.unravel_index(np.argmax(np.abs(at_far)), at_far.shape)
  at = action, column + 1
  return Misfit(counts.logged[at], counts.expected[at], int(action), int(column))
