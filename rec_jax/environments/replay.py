"""Replay of a uniformly logged stream by rejection: what a policy that learns would have earned.

Li, Chu, Langford & Wang (2011), Unbiased Offline Evaluation of Contextual-bandit-based News Article
Recommendation Algorithms, algorithm 2.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.data.logged_feedback import LoggedFeedback, policy_inputs
from rec_jax.environments.base import Environment, Metrics, one_user, outcome_rows
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

# Of a propensity, relative to that of the uniform policy; logs may hold single precision.
_TOLERANCE = 1e-5


@struct.dataclass
class ReplayData:
  """A log whose actions were drawn uniformly.

  Attributes:
    user: [n] int32 in [0, U).
    query: [n, D] float32.
    features: [K, F] float32, of the actions; candidate k is arm k.
    action: [n] int32 in [0, K), what was logged.
    reward: [n] float32, of the logged action.
  """

  user: Any
  query: Any
  features: Any
  action: Any
  reward: Any


def replay_environment() -> Environment:
  """Round t of the log is round t of the run, for one user and one item (B = L = 1).

  Where the policy chooses the logged action, its reward is revealed. Any other round is rejected:
  its feedback has weight 0 and its metrics say that nothing was shown (arm -1, reward 0). What is
  kept is distributed as if the policy had acted itself, if rounds are independent. Positions are
  taken for a part of the chance: the log is uniform at each of them. Expected rewards are unknown,
  NaN.

  Returns:
    An environment over `ReplayData`, for as many rounds as the log has.
  """

  def observe(key: jax.Array, data: ReplayData, state: tuple[()], t: jax.Array) -> Context:
    del key, state
    return one_user(data.query[t], data.features, data.user[t])

  def step(
    key: jax.Array,
    data: ReplayData,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    del key
    if decision.index.shape != (1, 1):
      raise ValueError(f'a log reveals one item a round, not slates {decision.index.shape}')
    matched = decision.index == data.action[t]
    reward = jnp.where(matched, data.reward[t], 0.0)
    unknown = jnp.full(reward.shape, jnp.nan)
    metrics = Metrics(
      reward=reward,
      expected_reward=unknown,
      best_expected_reward=unknown,
      arm_id=jnp.where(matched, decision.arm_id, -1),
      user_id=context.user_id,
    )
    rows = outcome_rows(context, decision, reward)
    rows = dataclasses.replace(rows, weight=jnp.where(matched[:, 0], rows.weight, 0.0))
    return state, rows, metrics

  return Environment(lambda key, data: (), observe, step)


def replay_data(log: LoggedFeedback) -> ReplayData:
  """Checks that a log is uniform and builds the data of `replay_environment`.

  Raises:
    InputError: a round had other candidates, or another probability than one over their number.
  """
  num_actions = len(log.item_ids)
  partial = log.num_candidates != num_actions
  if partial.any():
    row = int(np.argmax(partial))
    raise InputError(
      f'num_candidates, row {row}: chosen from {log.num_candidates[row]} of {num_actions} items; '
      'replay needs a log in which every item could be chosen in every round'
    )
  biased = np.abs(log.propensity * num_actions - 1) > _TOLERANCE
  if biased.any():
    row = int(np.argmax(biased))
    raise InputError(
      f'propensity, row {row}: {log.propensity[row]:.6g} is not 1 / {num_actions}; replay needs a '
      'log of the uniform policy: value policies on this one by python -m '
      'experiments.evaluate_policy'
    )
  user, query, features = policy_inputs(log)
  return ReplayData(
    user=user,
    query=query,
    features=features,
    action=log.action.astype(np.int32),
    reward=log.reward.astype(np.float32),
  )


def replay_spec(data: ReplayData) -> ArmSpec:
  """The sizes of a policy for `data`."""
  num_actions, arm_dim = data.features.shape
  num_users = int(data.user.max()) + 1
  return ArmSpec(num_actions, num_actions, data.query.shape[1], arm_dim, num_users=num_users)
