"""How much of a log speaks of the evaluated policy, and when that is too little.

An asymptotic interval goes by the sum of squared weights. Where few rounds, or few that might have
been drawn, are most of it, a log that lacks them looks better than it is.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds

# Below it an estimate rests on so few rounds that its interval misleads, and below it, as the
# number of rounds that carry the sum of squared weights, its width does; the tables of coverage in
# docs/off_policy.md are by them, see rec_jax/studies/coverage.py.
LEAST_EFFECTIVE_SIZE = 30
# Standard errors by which the mean weight may differ from 1 before propensities are doubted.
MEAN_WEIGHT_TOLERANCE = 4.0
# Share of the weight that an estimator may take away before its bias is worth a warning.
LEAST_CUT = 0.01


@dataclasses.dataclass(frozen=True)
class Overlap:
  """How much of the log speaks of the evaluated policy; fields as in `PolicyValue`."""

  effective_sample_size: float
  max_weight: float
  warning: str


def overlap_of(rounds: Rounds, cluster: ArrayLike | None = None) -> Overlap:
  """Effective sample size (Kong 1992), largest weight, and a warning where they are poor.

  An asymptotic interval holds as it says where three numbers suffice: how many rounds the weighted
  ones are worth, (sum w)^2 / sum w^2; how many of these have another reward than the most common
  one; and how many carry the sum of squared weights, which the variance follows,
  (sum w^2)^2 / sum w^4: this sum is known to a share of one over the root of their number.

  Where the rounds hold moments, the first and the last number are those to be expected of the
  contexts of the log, so that a log without the large weights that it might have drawn warns as
  well. Else they are of the weights that were drawn.

  Args:
    rounds: [n], weights not clipped.
    cluster: [n] which rounds depend on each other, of which there have to be enough too.
  """
  weight = np.asarray(rounds.weight, np.float64)
  reward, place, count = np.unique(
    np.asarray(rounds.reward), return_inverse=True, return_counts=True
  )
  size, common = _effective_size(weight), int(np.argmax(count))
  told = _effective_size(weight[place != common])
  expected, carrying = _expected_sizes(rounds)
  complaints = [mean_weight(weight)]
  # Not a number where nothing is expected to be enough.
  if not min(expected, carrying) >= LEAST_EFFECTIVE_SIZE:
    whose = 'were drawn' if rounds.second_moment is None else 'may be drawn'
    complaints.append(
      f'poor overlap: {weight.size} rounds weigh as much as {expected:.0f}, and {carrying:.0f} of '
      f'the weights that {whose} make up the variance, intervals may be too narrow'
    )
  elif told < LEAST_EFFECTIVE_SIZE:
    complaints.append(
      f'few rewards: those that are not {reward[common]:g} weigh as much as {told:.0f} rounds, '
      'intervals may be too narrow'
    )
  if cluster is not None:
    users = _effective_size(np.bincount(np.unique(cluster, return_inverse=True)[1], weight))
    if users < LEAST_EFFECTIVE_SIZE <= size:
      complaints.append(
        f'few users: they weigh as much as {users:.0f}, intervals may be too narrow'
      )
  return Overlap(size, float(weight.max()), '; '.join(filter(None, complaints)))


def difference_warning(
  reward: ArrayLike,
  weight: ArrayLike,
  other: ArrayLike | None = None,
  second_moment: ArrayLike | None = None,
) -> str:
  """A complaint where few rounds tell two policies apart, so that their difference misleads.

  Of two policies that are near each other, or of one near the policy that logged, each may have
  weights that are all alike, and the difference still rests on the few rounds in which they are
  not. As the effective sample size of a value, that of a difference is of |w - w'|, and as many of
  its rounds as of the log have another reward than the most common one.

  Args:
    reward: [n].
    weight: [n] of the one policy.
    other: [n] of the other; None is the policy that logged, whose weights are 1.
    second_moment: [n] expected of the squared weight, where known and `other` is None.

  Returns:
    The complaint; empty where there is none, or no difference in any round.
  """
  reward, weight = np.asarray(reward), np.asarray(weight, np.float64)
  apart = weight - (1 if other is None else np.asarray(other, np.float64))
  if not apart.any():
    return ''
  square = float((apart**2).sum())
  if other is None and second_moment is not None:
    # A log without the rounds that differ, by luck, knows that it might have had them.
    square = max(square, float((np.asarray(second_moment, np.float64) - 1).sum()))
  size = float(np.abs(apart).sum()) ** 2 / square
  reward, count = np.unique(reward, return_counts=True)
  told = size * (1 - count.max() / count.sum())
  if told >= LEAST_EFFECTIVE_SIZE:
    return ''
  return (
    f'few rounds tell them apart: they weigh as much as {size:.0f}, of which {told:.0f} are to be '
    f'expected to earn other than {reward[np.argmax(count)]:g}, the interval of the effect may be '
    'too narrow'
  )


def _expected_sizes(rounds: Rounds) -> tuple[float, float]:
  """How many rounds the weighted ones are worth, and how many carry the sum of squared weights."""
  if rounds.second_moment is None or rounds.fourth_moment is None:
    weight = np.asarray(rounds.weight, np.float64)
    return _effective_size(weight), _effective_size(weight**2)
  second = float(np.asarray(rounds.second_moment, np.float64).sum())
  fourth = float(np.asarray(rounds.fourth_moment, np.float64).sum())
  with np.errstate(invalid='ignore'):
    # Weights average 1.
    return len(rounds.weight) ** 2 / second, float(np.divide(second**2, fourth))


def mean_weight(weight: np.ndarray) -> str:
  """A complaint where weights do not average to 1, else empty."""
  error = weight.std() / np.sqrt(weight.size)
  if abs(weight.mean() - 1) <= MEAN_WEIGHT_TOLERANCE * error + 1e-6:
    return ''
  return (
    f'weights average {weight.mean():.3g} ± {error:.2g}, not 1: the log never takes some actions '
    'of the policy, or its propensities are wrong'
  )


def with_cut(overlap: Overlap, estimator: Estimator, rounds: Rounds) -> Overlap:
  """The overlap, its warning with what an estimator makes of the weights.

  Clipping, switching and shrinking take weight away; replay, which is self-normalised, moves it
  from rounds that the log rarely chose to others.
  """
  ones, zeros = jnp.ones_like(rounds.reward), jnp.zeros_like(rounds.reward)
  terms = estimator(dataclasses.replace(rounds, reward=ones, q_logged=zeros, q_target=zeros))
  kept, weight = np.asarray(terms.correction), np.asarray(rounds.weight)
  if not kept.any():
    # Without any weight it is the direct method.
    return noted(overlap, 'the interval leaves out how wrong the model of the reward is')
  if bool(jnp.all(terms.normaliser == 1)):
    share, verb = float(1 - kept.sum() / weight.sum()), 'cut off'
  else:
    share = float(np.abs(kept / kept.sum() - weight / weight.sum()).sum() / 2)
    verb = 'moved to other rounds'
  if share < LEAST_CUT:
    return overlap
  complaint = f'{share:.0%} of the weight is {verb}: the interval leaves out the bias of that'
  return noted(overlap, complaint)


def _effective_size(weight: np.ndarray) -> float:
  square = float((weight**2).sum())
  return float(weight.sum() ** 2 / square) if square > 0 else 0.0


def noted(overlap: Overlap, *complaints: str) -> Overlap:
  """The overlap with further complaints, of which some may be empty."""
  return dataclasses.replace(
    overlap, warning='; '.join(filter(None, (overlap.warning, *complaints)))
  )
