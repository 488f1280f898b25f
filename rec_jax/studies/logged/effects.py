"""What a policy earns more than another on the rounds that judge both, paired round by round."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import sensitivity
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.estimators import Rounds, Terms, dr, ipw
from rec_jax.evaluation.off_policy.overlap import difference_warning
from rec_jax.studies.logged import evaluation
from rec_jax.studies.logged.evaluation import Evaluation
from rec_jax.types import InputError


def effect(
  log: LoggedFeedback, result: Evaluation, other: Evaluation | None = None, level: float = 0.95
) -> sensitivity.Effect:
  """What one policy earns more than another, or than the one that logged, in the common rounds.

  Args:
    log: the one of both evaluations.
    result: of the one policy.
    other: of the other; None is the policy that logged.
    level: of the interval.

  Raises:
    InputError: no round judges both, or one of them takes no logged action of these rounds.
  """
  found = sensitivity.effect(**_pair(log, result, other), level=level)
  if not _is_adaptive(result):
    return found
  plain = difference(log, result, other, level)
  is_open = plain.low <= 0 <= plain.high
  return dataclasses.replace(
    found,
    **dataclasses.asdict(plain),
    gamma_of_interval=1.0 if is_open else found.gamma_of_interval,
  )


def doubt(log: LoggedFeedback, result: Evaluation, other: Evaluation | None = None) -> str:
  """What speaks against the interval of `effect` where nothing speaks against those of values."""
  if log.is_adaptive and not _is_adaptive(result):
    return (
      'the policy that logged learnt from these rounds, and the interval of the effect takes it '
      'for a fixed one: --interval=adaptive does not'
    )
  mine, *others = _common(log, result, other)[1]
  theirs = others[0].weight if others else None
  return difference_warning(mine.reward, mine.weight, theirs, mine.second_moment)


def difference(
  log: LoggedFeedback, result: Evaluation, other: Evaluation | None, level: float
) -> Estimate:
  """The estimate of `effect` alone, of which nothing hidden is asked.

  By the adaptive interval where values have it: what the other policy earned in these rounds is
  then what it did earn if it logged them, and else the rounds are weighted as those of a value.
  """
  if _is_adaptive(result):
    with jax.enable_x64():
      return _by_adaptive(log, result, other, level)
  pair = _pair(log, result, other)
  return sensitivity.effect_bounds(**pair, gamma=1.0, level=level).least


def check_weight(whose: str, rounds: Rounds) -> None:
  """Raises where a policy takes none of the logged actions of the rounds that are compared."""
  if not np.asarray(rounds.weight).any():
    raise InputError(
      f'{whose}: it takes no logged action of the {len(rounds.weight)} rounds that judge all of '
      'the policies; compare others, or log with more exploration near it'
    )


def _by_adaptive(
  log: LoggedFeedback, result: Evaluation, other: Evaluation | None, level: float
) -> Estimate:
  rows, seen = _common(log, result, other)
  estimator = dr if _have_model(result, other) else ipw
  if other is None:
    found = adaptive(seen[0], estimator, level=level)
    earned = float(log.reward[rows].mean())
    return Estimate(found.value - earned, found.low - earned, found.high - earned, found.n)
  terms = [estimator(each) for each in seen]
  scores = [jnp.asarray(each.direct + each.correction) for each in terms]
  zeros = jnp.zeros(len(rows))
  weight = jnp.asarray(seen[0].weight - seen[1].weight)
  apart = Rounds(scores[0] - scores[1], weight, zeros, zeros, zeros)
  return adaptive(apart, _as_they_are, level=level)


def _is_adaptive(result: Evaluation) -> bool:
  return next(iter(result.values.values())).interval == evaluation.ADAPTIVE


def _have_model(result: Evaluation, other: Evaluation | None) -> bool:
  """Values of which only one has a model would not be paired."""
  return 'dr' in result.values and (other is None or 'dr' in other.values)


def _as_they_are(rounds: Rounds) -> Terms:
  zeros = jnp.zeros_like(rounds.reward)
  return Terms(rounds.reward, zeros, zeros + 1)


def _common(
  log: LoggedFeedback, result: Evaluation, other: Evaluation | None
) -> tuple[np.ndarray, list[Rounds]]:
  """The rounds that judge both policies, and how each sees them."""
  rows, mine, theirs = np.intersect1d(
    result.rows, result.rows if other is None else other.rows, return_indices=True
  )
  if rows.size == 0:
    raise InputError('--against: no round of the log judges both policies; give another policy')
  both = [result] if other is None else [result, other]
  for each in both:
    evaluation.check_log(log, each)
  seen = [
    jax.tree.map(lambda leaf, at=at: np.asarray(leaf)[at], each.rounds)
    for each, at in zip(both, (mine, theirs), strict=False)
  ]
  for flag, each in zip(('--policy', '--against'), seen, strict=False):
    check_weight(flag, each)
  return rows, seen


def _pair(log: LoggedFeedback, result: Evaluation, other: Evaluation | None) -> dict[str, Any]:
  """Two policies, seen by the rounds that judge both, as arguments of `sensitivity`."""
  rows, seen = _common(log, result, other)
  has_model = _have_model(result, other)
  models = [sensitivity.Model(each.q_logged, each.q_target) if has_model else None for each in seen]
  # By the weights, which may be balanced for each policy by itself.
  targets = [np.asarray(each.weight) * log.propensity[rows] for each in seen]
  return {
    'reward': log.reward[rows],
    'pscore': log.propensity[rows],
    'target': targets[0],
    'other': None if other is None else targets[1],
    'model': models[0],
    'other_model': None if other is None else models[1],
    'cluster': evaluation.unit_of(log, rows)[1],
  }
