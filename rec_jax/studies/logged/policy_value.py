"""What a policy would have earned on a log, by every estimator that applies.

A policy learns from the first part of the log, is frozen, and is valued on the rest, so the rounds
that judge it have taught it nothing; a checkpoint knows the rounds that taught it. Some policies
need neither learning nor the candidates, only the probability of the logged action: the logging
policy itself, of which IPW is the mean reward, and the uniform one where the candidates change and
are not known, are valued on all rounds; the one that always shows one item is on those that offer
it.

The unit of an interval is the user where the log knows more than one: visits of one user depend on
each other, so users are resampled. Else it is the round.
"""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.data.logged_feedback import LoggedFeedback, policy_inputs, subset
from rec_jax.data.offered import are_candidates_unknown
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.registry import ESTIMATORS
from rec_jax.evaluation.off_policy.robust import robust_weight
from rec_jax.studies.logged import frozen_policy, log_checks, policy_checkpoint, structure, tables
from rec_jax.studies.logged.evaluation import ADAPTIVE, MRDR, Evaluation, Reading, evaluated
from rec_jax.studies.logged.log_checks import LOGGED, NUM_FOLDS
from rec_jax.studies.logged.named_policies import ITEM
from rec_jax.studies.logged.own_policy import POLICY
from rec_jax.studies.logged.policy_checkpoint import FrozenPolicy
from rec_jax.studies.logged.propensities import BALANCED, always, balanced, check_balanced
from rec_jax.studies.logged.reward_fits import expected_rewards
from rec_jax.studies.logged.tables import Table
from rec_jax.types import InputError

logger = logging.getLogger(__name__)

ALL = Reading()


def evaluate_policy(
  log: LoggedFeedback,
  policy: str | FrozenPolicy | np.ndarray,
  train_share: float,
  seed: int,
  reading: Reading = ALL,
  flag: str = POLICY,
) -> Evaluation:
  """Evaluates a policy on rounds that it did not learn from.

  Args:
    log: whose candidates are all actions or named in each round, unless nothing is to be learnt.
    policy: a frozen one, of a log without the rounds that taught it, which its caller has left out
      once (`policy_checkpoint.without_lessons`): neighbours that were none may seem to have taught;
      a name of the registry, 'item:ID': the policy that always shows one item, or 'logged': the one
      that logged, to check the log; or what any other policy would do in all rounds, [n] of the
      logged action or [n, C, L], see `own_policy`.
    train_share: part of the log, from its beginning, that a policy of the registry learns from; in
      (0, 1).
    seed: of the policy, the folds and the bootstrap.
    reading: estimators and intervals.
    flag: that named the policy, for errors.

  Raises:
    InputError: bad input, one line that names the row.
  """
  if isinstance(policy, np.ndarray):
    return _evaluate_given(log, policy, seed, reading, flag)
  if isinstance(policy, FrozenPolicy):
    return _evaluate_frozen(log, policy, seed, reading)
  name = policy
  if name == LOGGED:
    return _without_learning(log, log.propensity, seed, reading)
  if name.startswith(ITEM):
    return _always(log, name.removeprefix(ITEM), seed, reading, flag)
  if name == 'uniform' and are_candidates_unknown(log):
    return _without_learning(log, 1 / log.num_candidates, seed, reading)
  log_checks.check_candidates(log)
  num_rounds, num_train = len(log.action), round(train_share * len(log.action))
  log_checks.check_parts(num_rounds, num_rounds - num_train, num_train)
  log_checks.check_positions(log)
  log_checks.check_size(log)
  learn_key, choice_key = jax.random.split(jax.random.key(seed))
  made, inputs = bandits.make(name), policy_inputs(log, num_train)
  if not made.propensity_is_exact:
    logger.warning(
      '%s: its probabilities are estimated from draws, which adds noise to its value and pulls '
      'it a little towards that of the uniform policy',
      name,
    )
  state = frozen_policy.learn(learn_key, log, made, inputs, num_train)
  action_dist = frozen_policy.distributions(choice_key, log, made, inputs, state, num_train)
  q_hat = _expected(log, action_dist, num_train, seed, reading)
  return evaluate_distribution(log, name, action_dist, q_hat, num_train, seed, reading)


def evaluate_distribution(
  log: LoggedFeedback,
  name: str,
  action_dist: Table,
  q_hat: Table | None,
  num_train: int,
  seed: int,
  reading: Reading = ALL,
) -> Evaluation:
  """The value of a frozen policy on the rounds after the first `num_train`.

  Args:
    log: of n rounds.
    name: of the policy, for messages.
    action_dist: what it would do in these rounds, over the candidates of each.
    q_hat: from `expected_rewards`.
    num_train: rounds that it learnt from.
    seed: of the bootstrap.
    reading: estimators and intervals.

  Raises:
    InputError: no overlap, or bad input, one line that names the row.
  """
  rest = subset(log, slice(num_train, None))
  whole = _whole(rest, action_dist, reading)
  seen = action_dist if whole is None else tables.held(whole)
  rounds, truth = tables.matched(rest, seen, q_hat)
  if not np.asarray(rounds.target).any():
    raise InputError(
      f'policy {name}: no overlap with the log: from row {num_train} on it gives every logged '
      'action probability 0; log with more exploration near this policy'
    )
  if whole is not None and reading.propensities == BALANCED:
    weight = np.asarray(rounds.target) / balanced(rest, whole, seed)
    with jax.enable_x64():
      rounds = dataclasses.replace(rounds, weight=jnp.asarray(weight))
  if whole is not None and structure.applies(rest, reading.names):
    rounds = structure.weighed(rest, whole, rounds, reading.names, seed)
  rows = np.arange(num_train, len(log.action))
  result = evaluated(log, rows, rounds, q_hat is not None, seed, reading)
  return dataclasses.replace(result, num_train=num_train, truth=truth)


def _whole(log: LoggedFeedback, action_dist: Table, reading: Reading) -> np.ndarray | None:
  """[n, C, L] where something is asked for that reads all probabilities at once, else None."""
  is_balanced = reading.propensities == BALANCED
  if not is_balanced and not structure.applies(log, reading.names):
    return None
  try:
    tables.check_whole(log)
  except InputError as error:
    if is_balanced or set(reading.names) != set(ESTIMATORS):
      raise
    logger.warning('%s are left out: %s', ', '.join(structure.NEEDS), error)
    return None
  return tables.whole(log, action_dist)


def _expected(
  log: LoggedFeedback, action_dist: Table, num_train: int, seed: int, reading: Reading
) -> Table | None:
  """What a model expects in the rounds after the first, fitted for this policy if asked for."""
  weight = None
  if reading.model == MRDR:
    rest = subset(log, slice(num_train, None))
    rounds, _ = tables.matched(rest, action_dist, None)
    weight = robust_weight(np.asarray(rounds.weight), rest.propensity)
  is_forward = reading.interval == ADAPTIVE
  return expected_rewards(log, num_train, seed, weight=weight, forward=is_forward)


def _evaluate_given(
  log: LoggedFeedback, given: np.ndarray, seed: int, reading: Reading, flag: str
) -> Evaluation:
  """The value on all rounds of a policy of which the probabilities are given."""
  name = 'with these probabilities'
  if given.ndim == 1:
    if not given.any():
      raise InputError(f'{flag}: no overlap: it gives every logged action probability 0')
    check_balanced(reading.propensities)
    return _without_learning(log, given, seed, reading)
  log_checks.check_candidates(log)
  log_checks.check_parts(len(log.action), len(log.action))
  action_dist = tables.held(given)
  q_hat = _expected(log, action_dist, 0, seed, reading)
  return evaluate_distribution(log, name, action_dist, q_hat, 0, seed, reading)


def _evaluate_frozen(
  log: LoggedFeedback, frozen: FrozenPolicy, seed: int, reading: Reading
) -> Evaluation:
  """The value of a frozen policy on a log without the rounds that taught it."""
  log = policy_checkpoint.with_items_of(frozen, log)
  log_checks.check_candidates(log)
  log_checks.check_parts(len(log.action), len(log.action))
  action_dist = policy_checkpoint.distributions(jax.random.key(seed), frozen, log)
  q_hat = _expected(log, action_dist, 0, seed, reading)
  return evaluate_distribution(log, frozen.name, action_dist, q_hat, 0, seed, reading)


def _always(
  log: LoggedFeedback, item_id: str, seed: int, reading: Reading, flag: str
) -> Evaluation:
  """The policy that always shows one item, in the rounds that offer it."""
  found = np.flatnonzero(log.item_ids == item_id)
  if found.size == 0 or not (log.action == found[0]).any():
    raise InputError(f'{flag}: item {item_id!r} is in no round of the log, from row 0 on')
  if are_candidates_unknown(log):
    row = int(np.argmax(log.num_candidates != len(log.item_ids)))
    raise InputError(
      f'{flag}: the log does not say which rounds offer item {item_id!r} (row {row} offers '
      f'{log.num_candidates[row]} of {len(log.item_ids)}); give it a column "candidates"'
    )
  rows, condition = np.arange(len(log.action)), ''
  if log.candidates is not None:
    rows = np.flatnonzero((log.candidates == found[0]).any(1))
    if len(rows) < len(log.action):
      condition = f'the {len(rows):,} of {len(log.action):,} rounds that offer item {item_id}'
  some, item = subset(log, rows), np.full(len(rows), found[0])
  # Of all candidates a model is asked of two: what was shown, and the item.
  asked = dataclasses.replace(some, candidates=np.stack([some.action, item], axis=1))
  target, q_hat = (some.action == item).astype(np.float64), None
  if len(rows) >= NUM_FOLDS:
    weight = robust_weight(target / some.propensity, some.propensity)
    q_hat = expected_rewards(
      asked,
      0,
      seed,
      weight=weight if reading.model == MRDR else None,
      forward=reading.interval == ADAPTIVE,
    )
  expected = np.zeros((len(rows), 2))
  if q_hat is not None:
    expected = q_hat(np.arange(len(rows)))[np.arange(len(rows)), :, some.position]
  if reading.propensities == BALANCED:
    tables.check_whole(some)
    some = dataclasses.replace(some, propensity=balanced(some, always(some, found[0]), seed))
  rounds = _rounds(some, target, expected)
  result = evaluated(log, rows, rounds, q_hat is not None, seed, reading)
  return dataclasses.replace(result, condition=condition)


def _without_learning(
  log: LoggedFeedback, target: np.ndarray, seed: int, reading: Reading
) -> Evaluation:
  """The estimators without a model, from the probability [n] of each logged action."""
  if reading.model == MRDR:
    raise InputError(
      '--model: mrdr is fitted for what a policy does with every candidate, and of this one the '
      'logged action alone is asked; leave it out'
    )
  rounds = _rounds(log, target, np.zeros((len(target), 2)))
  return evaluated(log, np.arange(len(target)), rounds, False, seed, reading)


def _rounds(log: LoggedFeedback, target: np.ndarray, expected: np.ndarray) -> Rounds:
  """From probabilities [n] of the logged actions; expected [n, 2] of them and of the policy."""
  columns = (log.reward, target / log.propensity, target, expected[:, 0], expected[:, 1])
  with jax.enable_x64():
    return Rounds(*(jnp.asarray(column, jnp.float64) for column in columns))
