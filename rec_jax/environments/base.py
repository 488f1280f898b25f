"""The contract of an environment."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.outcome import outcome
from rec_jax.types import Context, Decision, Feedback

State = Any
Data = Any


@struct.dataclass
class Metrics:
  """What happened to B users at one round, for each of the L positions.

  Attributes:
    reward: [B, L] float32, 0 where nothing could be shown.
    expected_reward: [B, L] float32, of what was shown, 0 where nothing could be.
    best_expected_reward: [B, L] float32, of the best slate that could have been shown.
    arm_id: [B, L] int32, -1 where nothing could be shown.
    user_id: [B] int32.
  """

  reward: jax.Array
  expected_reward: jax.Array
  best_expected_reward: jax.Array
  arm_id: jax.Array
  user_id: jax.Array


class Environment(NamedTuple):
  """A world for one seed; `rollout` adds the axis S.

  `data` (features, outcomes) is an argument and shared by the seeds, and so is the round `t`, so
  that what depends on them alone is computed once for all seeds.

  Attributes:
    init: (key, data) -> state.
    observe: (key, data, state, t []) -> context [B].
    step: (key, data, state, t [], context [B], decision [B]) -> (state, feedback, metrics).
      Feedback has B * L rows, position after position of one user, and may be about earlier
      rounds; rows of weight 0 are padding.
  """

  init: Callable[[jax.Array, Data], State]
  observe: Callable[[jax.Array, Data, State, jax.Array], Context]
  step: Callable[
    [jax.Array, Data, State, jax.Array, Context, Decision], tuple[State, Feedback, Metrics]
  ]


def one_user(query: jax.Array, features: jax.Array, user_id: jax.Array | int = 0) -> Context:
  """Context with B = 1, in which every arm may be chosen and candidate k is arm k.

  Args:
    query: [D].
    features: [K, F].
    user_id: [].
  """
  num_arms = len(features)
  context = Context(
    user_id=jnp.int32(user_id),
    query=query,
    features=features,
    arm_ids=jnp.arange(num_arms),
    mask=jnp.ones(num_arms, bool),
  )
  return jax.tree.map(lambda x: x[None], context)


def known_metrics(
  context: Context, decision: Decision, expected: jax.Array, reward: jax.Array
) -> Metrics:
  """Metrics where all expected rewards are known.

  Args:
    context: [B].
    decision: [B], each with L positions.
    expected: [B, K] of all candidates.
    reward: [B, L] of what was shown.
  """
  shown = decision.index >= 0
  best = functools.partial(best_rewards, slate_size=decision.index.shape[1])
  return Metrics(
    reward=jnp.where(shown, reward, 0.0),
    expected_reward=jnp.where(shown, jnp.take_along_axis(expected, decision.index, axis=1), 0.0),
    best_expected_reward=jax.vmap(best)(expected, context.mask),
    arm_id=decision.arm_id,
    user_id=context.user_id,
  )


def best_rewards(rewards: jax.Array, mask: jax.Array, slate_size: int) -> jax.Array:
  """[L] the highest rewards among the candidates, 0 where there are fewer."""
  rewards = jnp.where(mask, rewards, -jnp.inf)
  # A maximum is far cheaper than a sort.
  best = jnp.max(rewards)[None] if slate_size == 1 else jax.lax.top_k(rewards, slate_size)[0]
  return jnp.where(jnp.isneginf(best), 0.0, best)


def outcome_rows(context: Context, decision: Decision, reward: jax.Array) -> Feedback:
  """Feedback [B * L] of every position of every slate; weight 0 where nothing was shown.

  Args:
    context: [B].
    decision: [B], each with L positions.
    reward: [B, L].
  """
  rows = jax.vmap(outcome)(context, decision, reward)
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
