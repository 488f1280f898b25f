"""A policy's value by several estimators, each with its interval and what the overlap allows."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.estimators import (
  STRUCTURED,
  Estimator,
  Rounds,
  applicable,
  match,
)
from rec_jax.evaluation.off_policy.finite_sample import (
  INTERVALS,
  RANGED,
  finite_sample,
  uses_model,
)
from rec_jax.evaluation.off_policy.validation import check_level, check_log
from rec_jax.types import InputError

Interval = Literal['bootstrap', 't', 'hoeffding', 'bernstein', 'betting', 'sequence']
_match = jax.jit(match)
# Below and above these an estimate rests on so few rounds that its interval misleads; the table of
# coverage in docs/off_policy.md is by them, see rec_jax/studies/coverage.py.
LEAST_EFFECTIVE_SIZE = 30
LARGEST_SHARE = 0.1
# Standard errors by which the mean weight may differ from 1 before propensities are doubted.
MEAN_WEIGHT_TOLERANCE = 4.0
# Share of the weight that an estimator may take away before its bias is worth a warning.
LEAST_CUT = 0.01

ASSUMED = 'max_weight is not given but taken from the log: the interval is not guaranteed to cover'
CROSS_FITTED = (
  'q_hat is not said to be of models of earlier rounds alone, which would make rounds depend on '
  'each other: the interval is not guaranteed to cover'
)


@dataclasses.dataclass(frozen=True)
class PolicyValue(Estimate):
  """An off-policy estimate.

  Attributes:
    interval: how low and high were found; NaN ends mean that this interval does not apply.
    effective_sample_size: (sum w)^2 / sum w^2 of the importance weights; n where w is constant.
    max_weight: largest importance weight, before any clipping.
    warning: one line where the overlap is poor, or where the estimator takes away so much of the
      weight that its bias counts, which no interval here has in it; else empty.
  """

  interval: str
  effective_sample_size: float
  max_weight: float
  warning: str


@dataclasses.dataclass(frozen=True)
class Overlap:
  """How much of the log speaks of the evaluated policy; fields as in `PolicyValue`."""

  effective_sample_size: float
  max_weight: float
  warning: str


def evaluate(
  key: jax.Array,
  *,
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  action_dist: ArrayLike,
  position: ArrayLike | None = None,
  q_hat: ArrayLike | None = None,
  estimators: Mapping[str, Estimator] | None = None,
  cluster: ArrayLike | None = None,
  interval: Interval = 'bootstrap',
  level: float = 0.95,
  resamples: int = intervals.RESAMPLES,
  reward_range: tuple[float, float] | None = None,
  max_weight: float | None = None,
  predictable: bool = False,
) -> dict[str, PolicyValue]:
  """Evaluates a policy from a log of another one.

  Args:
    key: typed key, for the bootstrap.
    reward: [n] float.
    action: [n] int in [0, K).
    pscore: [n] in (0, 1], probability of the logged action.
    action_dist: [n, K, L] evaluated policy.
    position: [n] int in [0, L); 0 if not given.
    q_hat: [n, K, L] expected rewards by a model that was not fitted on the same rows.
    estimators: label -> function of `Rounds`, settings bound; if not given, all of `ESTIMATORS`
      that the arguments allow, unclipped.
    cluster: [n] which rounds depend on each other, such as those of a user, for the asymptotic
      intervals; the others take rounds for independent.
    interval: 'bootstrap' and 't' are asymptotic, the others hold for any n, given `max_weight`;
      'sequence' needs none and serves estimators without a model.
    level: probability that each interval, by itself, covers the mean of its estimator.
    resamples: number of bootstrap resamples.
    reward_range: least and largest possible reward (and q_hat); the others need it.
    max_weight: largest possible importance weight, for the others too; if not given, the largest
      one of the log, which is an assumption: the warning then says that nothing is guaranteed.
    predictable: whether `q_hat` of each round is of a model of earlier rounds alone, as
      `reward_models.cross_fit(forward=True)` gives it, or of another log. Models of later rounds
      make rounds depend on each other: the intervals for any n then hold for many rounds only,
      which is said in the warning.

  Returns:
    label -> estimate, in the order of `estimators`.

  Raises:
    InputError: bad input, one line that names the row.
  """
  check_log(reward, action, pscore, action_dist, position, q_hat)
  rounds = _match(reward, action, pscore, action_dist, position, q_hat)
  return evaluate_rounds(
    key,
    rounds,
    applicable(rounds, q_hat is not None) if estimators is None else estimators,
    cluster=cluster,
    interval=interval,
    level=level,
    resamples=resamples,
    reward_range=reward_range,
    max_weight=max_weight,
    predictable=predictable,
  )


def evaluate_rounds(
  key: jax.Array,
  rounds: Rounds,
  estimators: Mapping[str, Estimator],
  *,
  cluster: ArrayLike | None = None,
  interval: Interval = 'bootstrap',
  level: float = 0.95,
  resamples: int = intervals.RESAMPLES,
  reward_range: tuple[float, float] | None = None,
  max_weight: float | None = None,
  predictable: bool = False,
) -> dict[str, PolicyValue]:
  """`evaluate` of rounds that are matched already, [n]; other arguments as there."""
  check_level(level)
  if interval not in ('bootstrap', 't', *INTERVALS):
    raise InputError(
      f'interval "{interval}" is unknown; choose bootstrap, t, {", ".join(INTERVALS)}'
    )
  if cluster is not None and (interval in INTERVALS or np.shape(cluster) != rounds.reward.shape):
    raise InputError(
      f'cluster: needs interval "bootstrap" or "t", not "{interval}", and one label for each of '
      f'the {len(rounds.reward)} rounds, not {list(np.shape(cluster))}'
    )
  overlap = overlap_of(rounds, cluster)
  if interval in INTERVALS:
    # These hold whatever the overlap is.
    overlap = dataclasses.replace(overlap, warning=_mean_weight(np.asarray(rounds.weight)))
  table = {label: estimator(rounds) for label, estimator in estimators.items()}
  if interval == 'bootstrap':
    found = intervals.bootstrap(key, table, cluster=cluster, level=level, resamples=resamples)
  elif interval == 't':
    found = {
      label: intervals.student(terms, cluster=cluster, level=level)
      for label, terms in table.items()
    }
  else:
    if reward_range is None:
      raise InputError(f'interval "{interval}" needs reward_range=(least, largest) of a reward')
    found = {
      label: finite_sample(
        interval,
        estimator,
        rounds,
        reward_range=reward_range,
        max_weight=overlap.max_weight if max_weight is None else max_weight,
        level=level,
      )
      for label, estimator in estimators.items()
    }
  result = {}
  for label, estimator in estimators.items():
    noted = _structured(estimator, rounds, cluster) or with_cut(overlap, estimator, rounds)
    if interval in RANGED:
      unsure = not predictable and uses_model(estimator)
      noted = _noted(noted, ASSUMED if max_weight is None else '', CROSS_FITTED if unsure else '')
    result[label] = PolicyValue(
      **dataclasses.asdict(found[label]), interval=interval, **dataclasses.asdict(noted)
    )
  return result


def overlap_of(rounds: Rounds, cluster: ArrayLike | None = None) -> Overlap:
  """Effective sample size (Kong 1992), largest weight, and a warning where they are poor.

  An asymptotic interval holds as it says where three numbers suffice: how many rounds the weighted
  ones are worth; how many of these have another reward than the most common one; and how much of
  the sum of squared weights, which the variance follows, is the largest one alone.

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
  single = weight.max() ** 2 > LARGEST_SHARE * (weight**2).sum()
  complaints = [_mean_weight(weight)]
  if size < LEAST_EFFECTIVE_SIZE or single:
    complaints.append(
      f'poor overlap: {weight.size} rounds weigh as much as {size:.0f}, the largest weight is '
      f'{weight.max():.3g}, intervals may be too narrow'
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


def _mean_weight(weight: np.ndarray) -> str:
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
    return overlap
  if bool(jnp.all(terms.normaliser == 1)):
    share, verb = float(1 - kept.sum() / weight.sum()), 'cut off'
  else:
    share = float(np.abs(kept / kept.sum() - weight / weight.sum()).sum() / 2)
    verb = 'moved to other rounds'
  if share < LEAST_CUT:
    return overlap
  complaint = f'{share:.0%} of the weight is {verb}: the interval leaves out the bias of that'
  return _noted(overlap, complaint)


def _structured(estimator: Estimator, rounds: Rounds, cluster: ArrayLike | None) -> Overlap | None:
  """The overlap by weights of what is known of actions, and what these assume; None of others."""
  name = getattr(estimator, '__name__', '')
  if name not in STRUCTURED:
    return None
  overlap = overlap_of(
    dataclasses.replace(rounds, weight=getattr(rounds, STRUCTURED[name])), cluster
  )
  return _noted(overlap, dict(rounds.notes).get(name, ''))


def _effective_size(weight: np.ndarray) -> float:
  square = float((weight**2).sum())
  return float(weight.sum() ** 2 / square) if square > 0 else 0.0


def _noted(overlap: Overlap, *complaints: str) -> Overlap:
  return dataclasses.replace(
    overlap, warning='; '.join(filter(None, (overlap.warning, *complaints)))
  )
