"""Perturbed history: copies of any belief, each of which learnt from rewards with added noise."""

import dataclasses

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Belief, Info, State
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback


def perturbed_history(belief: Belief, num_copies: int = 16, num_pseudo_rewards: int = 1) -> Belief:
  """Adds fair coin flips to each reward (Kveton et al. 2019, algorithm 1) in M copies of `belief`.

  Kveton et al. flip all coins anew in every round, which takes the whole history. Here each copy
  flips its own once, when the reward arrives, and `thompson` follows one copy at random. The means
  are stretched back, so that they are those of the rewards.

  Args:
    belief: what each copy is; only its mean is used.
    num_copies: M.
    num_pseudo_rewards: coin flips a reward, Kveton's a.

  Returns:
    A belief with state of a leading [M], for rewards in [0, 1]. Its draws are its M members.

  Raises:
    InputError: num_copies or num_pseudo_rewards is below 1.
  """
  check_range('num_copies', num_copies, 1)
  check_range('num_pseudo_rewards', num_pseudo_rewards, 1)
  factor = 1 + num_pseudo_rewards

  def init(key: jax.Array, spec: ArmSpec) -> State:
    return jax.vmap(lambda key: belief.init(key, spec))(jax.random.split(key, num_copies))

  def members(state: State, context: Context) -> jax.Array:
    means = jax.vmap(lambda copy: belief.predict(copy, context)[0])(state)
    return factor * means - num_pseudo_rewards / 2

  def predict(state: State, context: Context) -> tuple[jax.Array, jax.Array]:
    means = members(state, context)
    return jnp.mean(means, axis=0), jnp.var(means, axis=0)

  def sample(key: jax.Array, state: State, context: Context, num_samples: int) -> jax.Array:
    return members(state, context)[jax.random.randint(key, (num_samples,), 0, num_copies)]

  def update(key: jax.Array, state: State, feedback: Feedback) -> State:
    def one(key: jax.Array, copy: State, info: Info) -> State:
      coin_key, update_key = jax.random.split(key)
      shape = (num_pseudo_rewards, *feedback.reward.shape)
      added = jnp.sum(jax.random.bernoulli(coin_key, 0.5, shape), axis=0)
      reward, weight = (feedback.reward + added) / factor, feedback.weight * factor
      rows = dataclasses.replace(feedback, reward=reward, weight=weight, info=info)
      return belief.update(update_key, copy, rows)

    return jax.vmap(one, in_axes=(0, 0, 1))(jax.random.split(key, num_copies), state, feedback.info)

  def info(state: State, context: Context, index: jax.Array) -> Info:
    return jax.vmap(lambda copy: belief.info(copy, context, index))(state)

  def refresh(key: jax.Array, state: State) -> State:
    return jax.vmap(belief.refresh)(jax.random.split(key, num_copies), state)

  def reset_arms(state: State, ids: jax.Array, features: jax.Array) -> State:
    return jax.vmap(belief.reset_arms, in_axes=(0, None, None))(state, ids, features)

  return Belief(init, predict, sample, update, info, refresh, reset_arms, members=members)
