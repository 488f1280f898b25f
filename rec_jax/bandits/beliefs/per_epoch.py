"""A belief that is looked at as it was when the epoch began, while it goes on learning."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief, Info
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class PerEpochState:
  """Two states of one belief.

  Attributes:
    learning: after all feedback.
    seen: after the feedback before the epoch, by which decisions are made.
    count: [] int32, rows of feedback so far.
  """

  learning: Any
  seen: Any
  count: jax.Array


def epoch_start(count: jax.Array) -> jax.Array:
  """[] int32, the rows of feedback before the epoch of row `count`: 1, 2, 4, 8..., or 0."""
  return jnp.where(count < 1, 0, 1 << (31 - jax.lax.clz(count)))


def per_epoch(belief: Belief) -> Belief:
  """Freezes what is seen of `belief` within epochs that double (Simchi-Levi & Xu 2022).

  Args:
    belief: what learns.

  Returns:
    A belief with the means, variances and draws that `belief` had after 1, 2, 4, 8... rows.
  """

  def init(key: jax.Array, spec: ArmSpec) -> PerEpochState:
    state = belief.init(key, spec)
    return PerEpochState(state, state, jnp.zeros((), jnp.int32))

  def predict(state: PerEpochState, context: Context) -> tuple[jax.Array, jax.Array]:
    return belief.predict(state.seen, context)

  def sample(key: jax.Array, state: PerEpochState, context: Context, num_samples: int) -> jax.Array:
    return belief.sample(key, state.seen, context, num_samples)

  def update(key: jax.Array, state: PerEpochState, feedback: Feedback) -> PerEpochState:
    until_key, rest_key = jax.random.split(key)
    counted = feedback.weight != 0
    number = state.count + jnp.cumsum(counted, dtype=jnp.int32)
    start = epoch_start(number[-1])

    def learn(key: jax.Array, learning: Any, rows: jax.Array) -> Any:
      weight = jnp.where(rows, feedback.weight, 0.0)
      return belief.update(key, learning, dataclasses.replace(feedback, weight=weight))

    # An epoch may begin amid the rows: what is seen from then on has learnt those before it.
    at_start = learn(until_key, state.learning, number <= start)
    begins = start > state.count
    return PerEpochState(
      learning=learn(rest_key, at_start, number > start),
      seen=jax.tree.map(lambda new, old: jnp.where(begins, new, old), at_start, state.seen),
      count=number[-1],
    )

  def info(state: PerEpochState, context: Context, index: jax.Array) -> Info:
    return belief.info(state.learning, context, index)

  def refresh(key: jax.Array, state: PerEpochState) -> PerEpochState:
    return dataclasses.replace(state, learning=belief.refresh(key, state.learning))

  def reset_arms(state: PerEpochState, ids: jax.Array, features: jax.Array) -> PerEpochState:
    return dataclasses.replace(
      state,
      learning=belief.reset_arms(state.learning, ids, features),
      seen=belief.reset_arms(state.seen, ids, features),
    )

  def reset_users(
    key: jax.Array, state: PerEpochState, ids: jax.Array, spec: ArmSpec
  ) -> PerEpochState:
    return dataclasses.replace(
      state,
      learning=belief.reset_users(key, state.learning, ids, spec),
      seen=belief.reset_users(key, state.seen, ids, spec),
    )

  return Belief(
    init,
    predict,
    sample,
    update,
    info,
    refresh,
    reset_arms,
    reset_users,
    reward_range=belief.reward_range,
  )
