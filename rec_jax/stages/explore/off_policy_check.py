"""Other policies valued from the log of the exploring one, beside what they really earn there.

Every entry's outcome is known on the rated candidates, so the value of a policy on the logged
contexts is a sum, not an estimate: it judges the estimators and their intervals.
"""

import math
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from rec_jax.bandits.base import Policy
from rec_jax.data import logged
from rec_jax.data.logged_feedback import Inputs, LoggedFeedback, subset
from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs.config import Config
from rec_jax.stages.explore import exploration_log, policies, worlds
from rec_jax.stages.explore.policies import Hyperparameters
from rec_jax.stages.explore.worlds import World
from rec_jax.studies.logged import frozen_policy, policy_value, reward_fits, tables
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.studies.logged.tables import Table
from rec_jax.types import InputError

# In the order of the table; of the last, the setting is chosen by SLOPE.
ESTIMATORS = ('ipw', 'snipw', 'dm', 'dr', 'sndr', 'dr_os')


def compare(
  config: Config, world: World, chosen: dict[str, Hyperparameters], path: Path
) -> dict[str, Any]:
  """What each policy would have earned, by every estimator and in truth.

  Args:
    config: of the run.
    world: on which was logged.
    chosen: tuned settings by label.
    path: of the log, see `exploration_log.write`.

  Returns:
    The protocol and a row for each policy whose probabilities are exact, as JSON; no row where the
    log is too short to be cut into halves.
  """
  log = logged.read(path)
  num_train = len(log.action) // 2
  rows = []
  if num_train >= policy_value.NUM_FOLDS:
    mean_reward = np.asarray(world.a0 / (world.a0 + world.b0))
    known = np.c_[np.asarray(log.action_context), mean_reward]
    q_hat = reward_fits.expected_rewards(log, num_train, config.seed, known)
    rows = [
      {'name': label} | _row(config.seed, log, label, policy, q_hat, num_train)
      for label, policy in _policies(config, world, chosen).items()
    ]
  offered = worlds.with_offers(world, config.explore.log_candidates, config.seed)
  protocol = (
    f'{world.name}: {offered.protocol}; logged by {exploration_log.LOGGED.label}, with a share '
    f'of {config.explore.log_epsilon:g} of uniform choices, which learnt meanwhile, so that rounds '
    'depend on earlier ones through it and intervals hold approximately; each policy learns from '
    f'the first {num_train:,} rounds of the log, is frozen, and is valued on the other '
    f'{len(log.action) - num_train:,}; intervals: 95 %, over users; truth: the sum over '
    'the candidates of probability times reward, in the logged contexts'
  )
  return {'protocol': protocol, 'rows': rows}


def unscaled_inputs(log: LoggedFeedback) -> Inputs:
  """What the policies of the chain read: features as they are, and no query."""
  features = np.asarray(log.action_context, np.float32)
  user = np.unique(log.user_id, return_inverse=True)[1].astype(np.int32)
  return Inputs(user, np.zeros((len(user), features.shape[1]), np.float32), features)


def _policies(
  config: Config, world: World, chosen: dict[str, Hyperparameters]
) -> dict[str, Policy]:
  """Those that need no user tower and whose probabilities are exact, and the one that logged.

  A Monte Carlo estimate of a probability would add its own error to that of the estimators, and
  what has decayed by half of the log is no different from the baseline.
  """
  settings = chosen | {exploration_log.LOGGED.label: exploration_log.logged_setting(config, chosen)}
  made = {
    entry.label: policies.policy(entry, world, settings.get(entry.label) or policies.first(entry))
    for entry in (*policies.comparison(world), exploration_log.LOGGED)
    if not entry.needs_query and entry is not policies.EPSILON_GREEDY
  }
  return {label: policy for label, policy in made.items() if policy.propensity_is_exact}


def _row(
  seed: int,
  log: LoggedFeedback,
  label: str,
  policy: Policy,
  q_hat: Table | None,
  num_train: int,
) -> dict[str, Any]:
  learn_key, choice_key = jax.random.split(jax.random.key(seed))
  inputs = unscaled_inputs(log)
  state = frozen_policy.learn(learn_key, log, policy, inputs, num_train)
  action_dist = frozen_policy.distributions(choice_key, log, policy, inputs, state, num_train)
  rest = subset(log, slice(num_train, None))
  truth = cast(float, tables.matched(rest, action_dist, None)[1])
  num_users = len(np.unique(inputs.user[num_train:]))
  row = {'truth': intervals.to_json(Estimate(truth, math.nan, math.nan, num_users))}
  try:
    values = policy_value.evaluate_distribution(
      log, label, action_dist, q_hat, num_train, seed, Reading(ESTIMATORS)
    ).values
  except InputError as error:
    # A short log may hold no choice of a policy at all.
    return row | {'estimates': {}, 'effective_sample_size': 0.0, 'warning': str(error)}
  found = {name: value for name, value in values.items() if name in ESTIMATORS}
  found['dr_os'] = next(value for name, value in values.items() if name.startswith('dr_os'))
  return row | {
    'estimates': {name: intervals.to_json(found[name]) for name in ESTIMATORS},
    'effective_sample_size': found['ipw'].effective_sample_size,
    'warning': found['ipw'].warning,
  }
