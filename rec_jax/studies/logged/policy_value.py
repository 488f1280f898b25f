"""What a policy would have earned on a log, by every estimator that applies.

A policy learns from the first part of the log, is frozen, and is valued on the rest, so the rounds
that judge it have taught it nothing; a checkpoint knows the rounds that taught it. Some policies
need neither learning nor the candidates, only the probability of the logged action, and are valued
on all rounds: the logging policy itself, of which IPW is the mean reward, the one that always shows
one item, and the uniform one where the candidates change and are not known.

The unit of an interval is the user where the log knows more than one: visits of one user depend on
each other, so users are resampled. Else it is the round.
"""

import dataclasses
import functools
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.data.logged_feedback import (
  LoggedFeedback,
  chosen_index,
  policy_inputs,
  scaled,
  subset,
)
from rec_jax.evaluation.off_policy import estimators, intervals
from rec_jax.evaluation.off_policy.estimators import ESTIMATORS, MODEL_BASED, Estimator, Rounds
from rec_jax.evaluation.off_policy.evaluate import PolicyValue, evaluate, overlap_of, with_cut
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic, ridge
from rec_jax.evaluation.off_policy.tuning import slope
from rec_jax.studies.logged import frozen_policy, lessons, log_checks, policy_checkpoint
from rec_jax.studies.logged.log_checks import LOGGED, NUM_FOLDS
from rec_jax.studies.logged.policy_checkpoint import FrozenPolicy
from rec_jax.types import InputError

logger = logging.getLogger(__name__)

ITEM = 'item:'


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """A policy's value on the second part of a log.

  Attributes:
    values: estimator -> value with interval and overlap; settings chosen by SLOPE in the label.
    truth: what the policy really earns in the contexts of these rounds, None where it is not known.
    logged_mean: what the logging policy earned on the same rounds.
    num_train: rounds that the policy learnt from; 0 where it has nothing to learn.
    unit: of the intervals, 'users' or 'rounds'.
    target: [m] probability of the logged action under the policy, in the m rounds that judge it,
      which are the last of the log.
  """

  values: dict[str, PolicyValue]
  truth: float | None
  logged_mean: float
  num_train: int
  unit: str
  target: np.ndarray


def evaluate_policy(
  log: LoggedFeedback, policy: str | FrozenPolicy, train_share: float, seed: int
) -> Evaluation:
  """Evaluates a policy on rounds that it did not learn from.

  Args:
    log: whose candidates are all actions or named in each round, unless nothing is to be learnt.
    policy: a frozen one, or the directory of its checkpoint, which rounds of `without_lessons`
      judge; a name of the registry, 'item:ID': the policy that always shows one item, or 'logged':
      the one that logged, to check the log.
    train_share: part of the log, from its beginning, that a policy of the registry learns from; in
      (0, 1).
    seed: of the policy, the folds and the bootstrap.

  Raises:
    InputError: bad input, one line that names the row.
  """
  frozen = frozen_of(policy)
  if frozen is not None:
    return _evaluate_frozen(log, frozen, seed)
  name = str(policy)
  if name == LOGGED:
    return _without_learning(log, log.propensity, seed)
  if name.startswith(ITEM):
    return _without_learning(log, _always(log, name.removeprefix(ITEM)), seed)
  if name == 'uniform' and log_checks.are_candidates_unknown(log):
    return _without_learning(log, 1 / log.num_candidates, seed)
  log_checks.check_candidates(log)
  num_rounds = len(log.action)
  num_train = round(train_share * num_rounds)
  log_checks.check_parts(num_rounds, num_rounds - num_train, num_train)
  log_checks.check_size(log, num_rounds - num_train)
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
  q_hat = expected_rewards(log, num_train, seed)
  return evaluate_distribution(log, name, action_dist, q_hat, num_train, seed)


def frozen_of(policy: str | FrozenPolicy) -> FrozenPolicy | None:
  """The policy of a checkpoint's directory, itself if it is one, else None."""
  if isinstance(policy, FrozenPolicy):
    return policy
  return policy_checkpoint.load(policy) if Path(policy).is_dir() else None


def without_lessons(log: LoggedFeedback, policies: Collection[FrozenPolicy]) -> LoggedFeedback:
  """The rounds of a log that taught none of the policies, see `lessons`.

  Raises:
    InputError: too few are left to judge by.
  """
  taught = np.zeros(len(log.action), bool)
  for frozen in policies:
    taught |= lessons.taught(frozen.lessons, log)
  num_left = int((~taught).sum())
  if num_left < NUM_FOLDS:
    raise InputError(
      f'{taught.sum()} of {len(taught)} rounds of the log taught the policy, which they cannot '
      f'judge; give {NUM_FOLDS} others at least'
    )
  return subset(log, ~taught) if taught.any() else log


def evaluate_distribution(
  log: LoggedFeedback,
  name: str,
  action_dist: np.ndarray,
  q_hat: np.ndarray | None,
  num_train: int,
  seed: int,
  names: Collection[str] = tuple(ESTIMATORS),
) -> Evaluation:
  """The value of a frozen policy on the rounds after the first `num_train`.

  Args:
    log: of n rounds.
    name: of the policy, for messages.
    action_dist: [n - num_train, C, L] what it would do, over the candidates of each round.
    q_hat: [n - num_train, C, L] from `expected_rewards`.
    num_train: rounds that it learnt from.
    seed: of the bootstrap.
    names: of the estimators.

  Raises:
    InputError: no overlap, or bad input, one line that names the row.
  """
  rest = slice(num_train, len(log.action))
  reward, position = log.reward[rest], log.position[rest]
  index = chosen_index(log)[rest]
  target = action_dist[np.arange(len(index)), index, position]
  if not target.any():
    raise InputError(
      f'policy {name}: no overlap with the log: from row {num_train} on it gives every logged '
      'action probability 0; log with more exploration near this policy'
    )
  unit, cluster = unit_of(log, rest)
  with jax.enable_x64():
    columns: dict[str, Any] = {
      'reward': reward,
      'action': index,
      'pscore': log.propensity[rest],
      'action_dist': action_dist,
      'position': position,
      'q_hat': q_hat,
    }
    table = tuned(estimators.match(**columns), q_hat is not None, names)
    values = evaluate(jax.random.key(seed), **columns, estimators=table, cluster=cluster)
  truth = None if log.expected_reward is None else true_value(log, action_dist, num_train)
  return Evaluation(values, truth, float(reward.mean()), num_train, unit, target)


def true_value(log: LoggedFeedback, action_dist: np.ndarray, num_train: int) -> float:
  """Mean over rounds of sum over candidates of pi(a|x) r(x, a), where the log knows r."""
  position = log.position[num_train:, None, None]
  chosen = np.take_along_axis(action_dist, position, axis=2)[:, :, 0]
  return float(np.mean(np.sum(chosen * np.asarray(log.expected_reward)[num_train:], axis=1)))


def expected_rewards(
  log: LoggedFeedback, num_train: int, seed: int, item_features: np.ndarray | None = None
) -> np.ndarray | None:
  """What a reward model expects in the rounds after the first, by cross-fitting on them.

  Args:
    log: of n rounds.
    num_train: how many rounds come before.
    seed: of the folds.
    item_features: [K, A] what the model reads of an action; the action context if not given.

  Returns:
    [n - num_train, C, L]; None where there is neither a context nor anything known of actions.
  """
  rest = slice(num_train, len(log.action))
  if item_features is None:
    item_features = log.action_context
  if log.context is None and item_features is None:
    return None
  reward, num_rounds = log.reward[rest], len(log.reward[rest])
  is_probability = ((reward >= 0) & (reward <= 1)).all()
  context = np.zeros((num_rounds, 0)) if log.context is None else scaled(log.context)[rest]
  # Without anything known of actions each has an intercept, by its number.
  num_actions = len(log.item_ids) if item_features is None else 0
  actions = np.arange(num_actions)[:, None] if item_features is None else scaled(item_features)
  with jax.enable_x64():
    return cross_fit(
      jax.random.key(seed),
      (logistic if is_probability else ridge)(num_actions=num_actions),
      context=context,
      action_context=actions,
      action=log.action[rest],
      reward=reward,
      fold=folds(seed, num_rounds, NUM_FOLDS),
      position=log.position[rest],
      num_positions=int(log.position.max()) + 1,
      candidates=None if log.candidates is None else log.candidates[rest],
    )


def _evaluate_frozen(log: LoggedFeedback, frozen: FrozenPolicy, seed: int) -> Evaluation:
  """The value of a frozen policy on the rounds that did not teach it."""
  log = policy_checkpoint.with_items_of(frozen, without_lessons(log, [frozen]))
  log_checks.check_candidates(log)
  log_checks.check_size(log, len(log.action))
  action_dist = policy_checkpoint.distributions(jax.random.key(seed), frozen, log)
  q_hat = expected_rewards(log, 0, seed)
  return evaluate_distribution(log, frozen.name, action_dist, q_hat, 0, seed)


def _always(log: LoggedFeedback, item_id: str) -> np.ndarray:
  """[n] probability of the logged action under the policy that always shows one item."""
  target = (log.item_ids[log.action] == item_id).astype(np.float64)
  if not target.any():
    raise InputError(f'--policy: item {item_id!r} is in no round of the log, from row 0 on')
  return target


def _without_learning(log: LoggedFeedback, target: np.ndarray, seed: int) -> Evaluation:
  """The estimators without a model, from the probability [n] of each logged action."""
  unit, cluster = unit_of(log, slice(None))
  with jax.enable_x64():
    none = jnp.zeros(len(target))
    rounds = Rounds(
      jnp.asarray(log.reward), jnp.asarray(target / log.propensity), jnp.asarray(target), none, none
    )
    estimators = tuned(rounds, False)
    terms = {label: estimator(rounds) for label, estimator in estimators.items()}
    found = intervals.bootstrap(jax.random.key(seed), terms, cluster=cluster)
    overlap = overlap_of(rounds.weight)
    values = {
      label: PolicyValue(
        **dataclasses.asdict(estimate),
        interval='bootstrap',
        **dataclasses.asdict(with_cut(overlap, estimators[label], rounds)),
      )
      for label, estimate in found.items()
    }
  return Evaluation(values, None, float(log.reward.mean()), 0, unit, target)


def tuned(
  rounds: Rounds, has_model: bool, names: Collection[str] = tuple(ESTIMATORS)
) -> dict[str, Estimator]:
  """The estimators that apply, those with `lambda_` also at the value that SLOPE chooses."""
  deterministic = bool(np.isin(np.asarray(rounds.target), (0, 1)).all())
  weight = np.asarray(rounds.weight)
  above = weight[weight > 1]
  clips = np.unique(np.quantile(above, np.linspace(0, 1, 20))) if above.size else np.ones(1)
  grids = {'ipw': clips, 'dr': clips, 'switch_dr': clips, 'dr_os': clips**2}
  grids |= dict.fromkeys(('sg_ipw', 'sg_dr'), np.array([0, 0.001, 0.01, 0.03, 0.1, 0.3, 1]))
  table: dict[str, Estimator] = {}
  for name, estimator in ESTIMATORS.items():
    if name not in names:
      continue
    if (name in MODEL_BASED and not has_model) or (name == 'replay' and not deterministic):
      continue
    if name not in ('switch_dr', 'dr_os', 'sg_ipw', 'sg_dr'):
      table[name] = estimator
    if name in grids:
      lambda_ = slope(estimator, rounds, grids[name].tolist())
      table[f'{name}, lambda {lambda_:.3g}'] = functools.partial(estimator, lambda_=lambda_)
  return table


def unit_of(log: LoggedFeedback, rows: slice) -> tuple[str, np.ndarray | None]:
  """What is resampled, and which unit each round belongs to where that is not the round."""
  users = log.user_id[rows]
  return ('users', users) if (users != users[0]).any() else ('rounds', None)
