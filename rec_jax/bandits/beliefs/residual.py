"""A mean from one belief plus deviations learnt by another."""

import dataclasses
from typing import Any

import jax
from flax import struct

from rec_jax.bandits.base import Belief
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class ResidualState:
  """States of the two beliefs."""

  base: Any
  deviation: Any


@struct.dataclass
class ResidualInfo:
  """What was true at the decision.

  Attributes:
    base_mean: [] what the base expected of the chosen candidate.
    base: what the base wants back.
    deviation: what the deviation wants back.
  """

  base_mean: jax.Array
  base: Any
  deviation: Any


def residual(base: Belief, deviation: Belief, doubts_base: bool = False) -> Belief:
  """The mean of `base` plus `deviation`, which learns reward minus the mean of `base`.

  The subtraction uses the base mean at decision time, so feedback may come late. Unless told, only
  the deviation is uncertain: the base is a point estimate that all of a population's data sharpen,
  and exploring is about what is particular. `residual(beta_bernoulli(), per_user(linear()))` is a
  linear posterior a user around the popularity of each item.

  Args:
    base: learns from the reward itself.
    deviation: learns from the reward minus the base mean.
    doubts_base: adds the variance and the draws of the base, as those of an independent term.

  Returns:
    A belief with the variance and draws of `deviation`, shifted by the mean or draws of `base`.
  """

  def init(key: jax.Array, spec: ArmSpec) -> ResidualState:
    base_key, deviation_key = jax.random.split(key)
    return ResidualState(base.init(base_key, spec), deviation.init(deviation_key, spec))

  def predict(state: ResidualState, context: Context) -> tuple[jax.Array, jax.Array]:
    mean, variance = deviation.predict(state.deviation, context)
    base_mean, base_variance = base.predict(state.base, context)
    return base_mean + mean, variance + base_variance if doubts_base else variance

  def sample(key: jax.Array, state: ResidualState, context: Context, num_samples: int) -> jax.Array:
    draws = deviation.sample(key, state.deviation, context, num_samples)
    if not doubts_base:
      return base.predict(state.base, context)[0] + draws
    return draws + base.sample(jax.random.fold_in(key, 0), state.base, context, num_samples)

  def update(key: jax.Array, state: ResidualState, feedback: Feedback) -> ResidualState:
    base_key, deviation_key = jax.random.split(key)
    info = feedback.info
    to_base = dataclasses.replace(feedback, info=info.base)
    to_deviation = dataclasses.replace(
      feedback, reward=feedback.reward - info.base_mean, info=info.deviation
    )
    return ResidualState(
      base=base.update(base_key, state.base, to_base),
      deviation=deviation.update(deviation_key, state.deviation, to_deviation),
    )

  def info(state: ResidualState, context: Context, index: jax.Array) -> ResidualInfo:
    return ResidualInfo(
      base_mean=base.predict(state.base, context)[0][index],
      base=base.info(state.base, context, index),
      deviation=deviation.info(state.deviation, context, index),
    )

  def refresh(key: jax.Array, state: ResidualState) -> ResidualState:
    base_key, deviation_key = jax.random.split(key)
    return ResidualState(
      base=base.refresh(base_key, state.base),
      deviation=deviation.refresh(deviation_key, state.deviation),
    )

  def reset_arms(state: ResidualState, ids: jax.Array, features: jax.Array) -> ResidualState:
    return ResidualState(
      base=base.reset_arms(state.base, ids, features),
      deviation=deviation.reset_arms(state.deviation, ids, features),
    )

  def reset_users(
    key: jax.Array, state: ResidualState, ids: jax.Array, spec: ArmSpec
  ) -> ResidualState:
    base_key, deviation_key = jax.random.split(key)
    return ResidualState(
      base=base.reset_users(base_key, state.base, ids, spec),
      deviation=deviation.reset_users(deviation_key, state.deviation, ids, spec),
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
    is_normal=deviation.is_normal and not doubts_base,
    reward_range=base.reward_range,
    learns_at_refresh=base.learns_at_refresh and deviation.learns_at_refresh,
  )
