"""A policy's value by several estimators, each with its interval and what the overlap allows."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds, match
from rec_jax.evaluation.off_policy.finite_sample import (
  INTERVALS,
  RANGED,
  finite_sample,
  uses_model,
)
from rec_jax.evaluation.off_policy.likelihood import likelihood
from rec_jax.evaluation.off_policy.overlap import Overlap, mean_weight, noted, overlap_of, with_cut
from rec_jax.evaluation.off_policy.registry import STRUCTURED, applicable
from rec_jax.evaluation.off_policy.validation import check_level, check_log
from rec_jax.types import InputError

Interval = Literal[
  'bootstrap', 't', 'likelihood', 'adaptive', 'hoeffding', 'bernstein', 'betting', 'sequence'
]
ASYMPTOTIC = ('bootstrap', 't', 'likelihood', 'adaptive')
_match = jax.jit(match)

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


def evaluate(
  key: jax.Array,
  *,
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  action_dist: ArrayLike,
  position: ArrayLike | None = None,
  q_hat: ArrayLike | None = None,
  pi_b: ArrayLike | None = None,
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
    pi_b: [n, K, L] the whole policy that logged, if it is known: the overlap is then that of all
      that might have been drawn.
    estimators: label -> function of `Rounds`, settings bound; if not given, all of `ESTIMATORS`
      that the arguments allow, unclipped.
    cluster: [n] which rounds depend on each other, such as those of a user, for the asymptotic
      intervals but 'adaptive'; the others take rounds for independent, or for those of a policy
      that learnt meanwhile.
    interval: 'bootstrap', 't', 'likelihood' and 'adaptive' are asymptotic, the others hold for any
      n, given `max_weight`; 'sequence' needs none and serves estimators without a model.
    level: probability that each interval, by itself, covers the mean of its estimator.
    resamples: number of bootstrap resamples.
    reward_range: least and largest possible reward (and q_hat); the others need it.
    max_weight: largest possible importance weight, for the others too; if not given, the largest
      one of the log, which is an assumption: the warning then says that nothing is guaranteed.
    predictable: whether `q_hat` of each round is of a model of earlier rounds alone, as
      `reward_models.cross_fit(forward=True)` gives it, or of another log. Models of later rounds
      make rounds depend on each other: the intervals for any n then hold for many rounds only, and
      'adaptive' not for sure, which is said in the warning.

  Returns:
    label -> estimate, in the order of `estimators`.

  Raises:
    InputError: bad input, one line that names the row.
  """
  check_log(reward, action, pscore, action_dist, position, q_hat, pi_b)
  rounds = _match(reward, action, pscore, action_dist, position, q_hat, pi_b)
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
  _check_interval(interval, cluster, len(rounds.reward))
  overlap = overlap_of(rounds, cluster)
  if interval in INTERVALS:
    # These hold whatever the overlap is.
    overlap = dataclasses.replace(overlap, warning=mean_weight(np.asarray(rounds.weight)))
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
  else:
    found = _asymptotic(key, rounds, estimators, interval, cluster, level, resamples)
  result = {}
  for label, estimator in estimators.items():
    in_order = predictable or not uses_model(estimator)
    said = noted(
      _structured(estimator, rounds, cluster) or with_cut(overlap, estimator, rounds),
      ASSUMED if interval in RANGED and max_weight is None else '',
      '' if in_order or interval not in (*RANGED, 'adaptive') else CROSS_FITTED,
    )
    result[label] = PolicyValue(
      **dataclasses.asdict(found[label]), interval=interval, **dataclasses.asdict(said)
    )
  return result


def _check_interval(interval: str, cluster: ArrayLike | None, num_rounds: int) -> None:
  if interval not in (*ASYMPTOTIC, *INTERVALS):
    raise InputError(
      f'interval "{interval}" is unknown; choose {", ".join((*ASYMPTOTIC, *INTERVALS))}'
    )
  clustered = interval in ASYMPTOTIC and interval != 'adaptive'
  if cluster is not None and not (clustered and np.shape(cluster) == (num_rounds,)):
    raise InputError(
      f'cluster: needs interval "bootstrap", "t" or "likelihood", not "{interval}", and one label '
      f'for each of the {num_rounds} rounds, not {list(np.shape(cluster))}'
    )


def _structured(estimator: Estimator, rounds: Rounds, cluster: ArrayLike | None) -> Overlap | None:
  """The overlap by weights of what is known of actions, and what these assume; None of others."""
  name = getattr(estimator, '__name__', '')
  if name not in STRUCTURED:
    return None
  # The moments are those of weights of actions.
  seen = dataclasses.replace(
    rounds,
    weight=getattr(rounds, STRUCTURED[name]),
    second_moment=None,
    fourth_moment=None,
  )
  return noted(overlap_of(seen, cluster), dict(rounds.notes).get(name, ''))


def _asymptotic(
  key: jax.Array,
  rounds: Rounds,
  estimators: Mapping[str, Estimator],
  interval: str,
  cluster: ArrayLike | None,
  level: float,
  resamples: int,
) -> dict[str, Estimate]:
  if interval == 'adaptive':
    return {label: adaptive(rounds, each, level=level) for label, each in estimators.items()}
  if interval == 'likelihood':
    return {
      label: likelihood(rounds, each, cluster=cluster, level=level)
      for label, each in estimators.items()
    }
  table = {label: estimator(rounds) for label, estimator in estimators.items()}
  if interval == 'bootstrap':
    return intervals.bootstrap(key, table, cluster=cluster, level=level, resamples=resamples)
  return {
    label: intervals.student(terms, cluster=cluster, level=level) for label, terms in table.items()
  }
