"""A policy that learns from the first rounds of a log and is frozen: what it would do on the rest.

Shape letters: n rounds, K actions, C candidates of a round at most, L positions, D query features,
F features of an action.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.base import Info, Policy, State
from rec_jax.data.logged_feedback import Inputs, LoggedFeedback
from rec_jax.studies.logged.tables import Table
from rec_jax.types import ArmSpec, Context, Feedback, InputError

InfoOf = Callable[[State, Context, jax.Array], Info]

# Rounds whose distributions are computed at once; fewer where the features of their candidates are
# more numbers than this.
CHUNK_SIZE = 256
CHUNK_FEATURES = 1 << 24


def spec_of(log: LoggedFeedback, inputs: Inputs) -> ArmSpec:
  """The sizes of a policy for a log."""
  num_actions, arm_dim = inputs.features.shape
  return ArmSpec(
    num_arms=num_actions,
    num_candidates=num_actions if log.candidates is None else log.candidates.shape[1],
    query_dim=inputs.query.shape[1],
    arm_dim=arm_dim,
    slate_size=int(log.position.max()) + 1,
    num_users=int(inputs.user.max()) + 1,
  )


def learn(
  key: jax.Array, log: LoggedFeedback, policy: Policy, inputs: Inputs, num_train: int
) -> State:
  """The state of a policy after the first rounds of a log.

  Raises:
    InputError: it can learn from its own decisions only, or from other rewards only.
  """
  if policy.info is None:
    raise InputError(
      '--policy: it learns from its own decisions only, and this log is of another policy'
    )
  low, high = policy.reward_range
  outside = np.flatnonzero((log.reward[:num_train] < low) | (log.reward[:num_train] > high))
  if len(outside):
    raise InputError(
      f'reward, row {outside[0]}: {log.reward[outside[0]]:g} is outside [{low:g}, {high:g}], which '
      'this policy is made for; scale rewards to it or take another --policy'
    )
  init_key, update_key, refresh_key = jax.random.split(key, 3)
  action = log.action[:num_train].astype(np.int32)
  feedback = Feedback(
    user_id=jnp.asarray(inputs.user[:num_train]),
    query=jnp.asarray(inputs.query[:num_train]),
    features=jnp.asarray(inputs.features[action]),
    arm_id=jnp.asarray(action),
    propensity=jnp.asarray(log.propensity[:num_train], jnp.float32),
    reward=jnp.asarray(log.reward[:num_train], jnp.float32),
    weight=jnp.ones(num_train, jnp.float32),
  )
  state = jax.jit(_learn, static_argnames=('policy', 'info_of'))(
    update_key,
    policy.init(init_key, spec_of(log, inputs)),
    feedback,
    policy=policy,
    info_of=policy.info,
  )
  return jax.jit(policy.refresh)(refresh_key, state)


def distributions(
  key: jax.Array,
  log: LoggedFeedback,
  policy: Policy,
  inputs: Inputs,
  state: State,
  first: int,
  arms: np.ndarray | None = None,
) -> Table:
  """What a frozen policy would do in the rounds from `first` on, of which it counts the rows.

  Over the candidates of each round; these are all K actions where the log does not name them.
  `arms` [K] says which arm of the policy each action is, -1 for none; if not given, arm and action
  are the same, and so are the features of `inputs`.
  """
  keys = jax.random.split(key, len(log.action) - first)
  arms = np.arange(len(log.item_ids)) if arms is None else arms
  features = jnp.asarray(inputs.features)
  num_offered = len(arms) if log.candidates is None else log.candidates.shape[1]
  size = max(1, min(CHUNK_SIZE, CHUNK_FEATURES // (num_offered * features.shape[1])))

  def table(rows: np.ndarray) -> np.ndarray:
    offered = []
    if log.candidates is not None:
      candidates = log.candidates[first + rows]
      offered = [np.where(candidates >= 0, arms[candidates], -1)]
    rounds = [keys[rows], inputs.user[first + rows], inputs.query[first + rows], *offered]
    found = _distributions(state, features, arms, rounds, policy=policy, size=size)
    probabilities = np.asarray(found, np.float64)
    # Sums of float32 are off in the last digits.
    probabilities /= probabilities.sum(1, keepdims=True)
    return probabilities

  return table


@functools.partial(jax.jit, static_argnames=('policy', 'size'))
def _distributions(
  state: State, features: jax.Array, all_arms: jax.Array, rounds: Any, *, policy: Policy, size: int
) -> jax.Array:
  """[m, C, L] from the key, the user, the query and the arms offered in each round.

  Where these are all of them they are not given, so that their features are not copied a round.
  """

  def one(
    key: jax.Array, user: jax.Array, query: jax.Array, arms: jax.Array = all_arms
  ) -> jax.Array:
    context = Context(user, query, features[arms], jnp.maximum(arms, 0), arms >= 0)
    return policy.probabilities(key, state, context)

  return jax.lax.map(lambda round_: one(*round_), rounds, batch_size=size)


def _learn(
  key: jax.Array, state: State, feedback: Feedback, *, policy: Policy, info_of: InfoOf
) -> State:
  """The state after all rows; one after the other where a row carries what was believed before."""
  index = jnp.zeros(1, jnp.int32)

  def informed(state: State, row: Feedback) -> Feedback:
    context = Context(row.user_id, row.query, row.features[None], row.arm_id[None], index == 0)
    rows = jax.tree.map(lambda x: x[None], row)
    return dataclasses.replace(rows, info=info_of(state, context, index))

  def step(state: State, round_: tuple[jax.Array, Feedback]) -> tuple[State, None]:
    key, row = round_
    return policy.update(key, state, informed(state, row)), None

  first = jax.eval_shape(informed, state, jax.tree.map(lambda x: x[0], feedback))
  if not jax.tree.leaves(first.info):
    return policy.update(key, state, dataclasses.replace(feedback, info=first.info))
  return jax.lax.scan(step, state, (jax.random.split(key, len(feedback.reward)), feedback))[0]
