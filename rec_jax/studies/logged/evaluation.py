"""The value of a policy on rounds of a log."""

import dataclasses
from collections.abc import Collection
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import tails
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.evaluate import Interval, PolicyValue, evaluate_rounds
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, STRUCTURED
from rec_jax.evaluation.off_policy.tuning import tuned
from rec_jax.studies.logged import propensities, structure
from rec_jax.types import InputError

# The interval for logs of a policy that learnt meanwhile.
ADAPTIVE = 'adaptive'
# Models of the reward: of least error, and of least variance of `dr` for the policy at hand.
PLAIN, MRDR = 'plain', 'mrdr'
# By the first of these that is there effects go, and the advice; never by a model alone.
ADVISED = ('dr', 'snipw')
# Share of the rewards, from the lowest on, of which the mean is shown.
LOWEST, LOWEST_TENTH = 0.1, 'lowest tenth'


@dataclasses.dataclass(frozen=True)
class Reading:
  """What is read off a log.

  Attributes:
    names: of the estimators, in any order.
    interval: one of `ASYMPTOTIC`.
    level: of the intervals, in (0, 1).
    propensities: where they come from, one of `propensities.SOURCES`.
    doubt: what speaks against them, a warning for all estimators; else empty.
    model: of the reward, `PLAIN` or `MRDR`.
  """

  names: Collection[str] = tuple(ESTIMATORS)
  interval: str = 'bootstrap'
  level: float = 0.95
  propensities: str = propensities.LOGGED
  doubt: str = ''
  model: str = PLAIN


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """A policy's value on the second part of a log.

  Attributes:
    values: estimator -> value with interval and overlap; settings chosen by SLOPE in the label.
    truth: what the policy really earns in the contexts of these rounds, None where it is not known.
    logged_mean: what the logging policy earned on the same rounds.
    num_train: rounds that the policy learnt from; 0 where it has nothing to learn.
    unit: of the intervals, 'users' or 'rounds'.
    rows: [m] which rounds of the log judge it.
    rounds: [m] how the policy sees them, in float64.
    condition: which rounds these are where they are chosen by what they offer, else empty.
    model: of the reward, `PLAIN` or `MRDR`.
  """

  values: dict[str, PolicyValue]
  truth: float | None
  logged_mean: float
  num_train: int
  unit: str
  rows: np.ndarray
  rounds: Rounds
  condition: str = ''
  model: str = PLAIN


def evaluated(
  log: LoggedFeedback,
  rows: np.ndarray,
  rounds: Rounds,
  has_model: bool,
  seed: int,
  reading: Reading = Reading(),
) -> Evaluation:
  """By every estimator that applies, of a policy that has learnt nothing.

  Args:
    log: of n rounds.
    rows: [m] which of them judge the policy.
    rounds: [m] how it sees them, in float64.
    has_model: whether they hold what a model expects.
    seed: of the bootstrap.
    reading: estimators and intervals.

  Raises:
    InputError: none of the estimators applies, or one that weighs by what is known of actions was
      asked for and does not.
  """
  unit, cluster = unit_of(log, rows)
  is_adaptive = reading.interval == ADAPTIVE
  if is_adaptive:
    unit, cluster = 'rounds', None
  with jax.enable_x64():
    table = tuned(rounds, has_model, reading.names)
    missing = [name for name in reading.names if name in STRUCTURED and name not in table]
    if missing and set(reading.names) != set(ESTIMATORS):
      raise InputError(f'--estimators: {missing[0]} needs {structure.NEEDS[missing[0]]}')
    if not table:
      raise InputError(
        f'--estimators: none of {", ".join(reading.names)} applies to this policy and log; add '
        'snipw, which always does'
      )
    values = evaluate_rounds(
      jax.random.key(seed),
      rounds,
      table,
      cluster=cluster,
      interval=cast(Interval, reading.interval),
      level=reading.level,
      predictable=is_adaptive,
    )
  if reading.doubt:
    values = {
      label: dataclasses.replace(
        value, warning='; '.join(filter(None, (reading.doubt, value.warning)))
      )
      for label, value in values.items()
    }
  mean = float(log.reward[rows].mean())
  return Evaluation(values, None, mean, 0, unit, rows, rounds, model=reading.model)


def lowest(
  log: LoggedFeedback, result: Evaluation, level: float
) -> tuple[Estimate, Estimate] | None:
  """Means of the lowest tenth of rewards under the policy and under the one that logged.

  None where rewards take two values, of which the mean says all.
  """
  check_log(log, result)
  if len(np.unique(log.reward[result.rows])) <= 2:
    return None
  cluster = unit_of(log, result.rows)[1]
  logged = dataclasses.replace(result.rounds, weight=jnp.ones_like(result.rounds.weight))
  mine, theirs = (
    tails.cvar(each, LOWEST, cluster=cluster, level=level) for each in (result.rounds, logged)
  )
  return mine, theirs


def model_gap(log: LoggedFeedback, result: Evaluation, level: float) -> Estimate | None:
  """What `dr` says more than `dm`: the mean weighted residual of the model, over the same units.

  A right model leaves residuals of mean 0 in all rounds. Intervals of `dr` and of `dm` do not say
  whether it does: the first has the spread of the model's values besides, and the second knows
  nothing of what the model misses. None without both estimators.
  """
  if not {'dr', 'dm'} <= set(result.values):
    return None
  check_log(log, result)
  rounds = jax.tree.map(np.asarray, result.rounds)
  residual = rounds.weight * (rounds.reward - rounds.q_logged)
  return corrected_t(summed(residual, unit_of(log, result.rows)[1]), level=level)


def print_notes(log: LoggedFeedback, interval: str) -> None:
  """Prints what intervals assume that the log does not meet, or does not let anybody see."""
  if log.is_adaptive and interval != ADAPTIVE:
    print(
      f'note: the policy that logged learnt from these rounds, and intervals by {interval} assume '
      'a fixed one: confirm values, effect and advice by --interval=adaptive'
    )
  if not structure.knows_policy(log):
    print(
      'note: the log holds no pi_b, so that poor overlap shows in weights that were drawn alone: '
      'where none showed, intervals of 95 % held in 80 to 94 % of such logs (docs/off_policy.md)'
    )


def doubt(result: Evaluation) -> str:
  """The warning of the estimator that effects go by, or of the first one that there is."""
  values = result.values
  name = next((name for name in ADVISED if name in values), next(iter(values)))
  return values[name].warning


def check_log(log: LoggedFeedback, result: Evaluation) -> None:
  """Raises unless an evaluation is of this log, whose rounds its rows then name."""
  reward = np.asarray(result.rounds.reward)
  if result.rows.max() >= len(log.reward) or (log.reward[result.rows] != reward).any():
    raise ValueError(f'the log, of {len(log.reward)} rounds, is not the one of the evaluation')


def unit_of(log: LoggedFeedback, rows: np.ndarray) -> tuple[str, np.ndarray | None]:
  """What is resampled, and which unit each round belongs to where that is not the round."""
  users = log.user_id[rows]
  return ('users', users) if (users != users[0]).any() else ('rounds', None)
