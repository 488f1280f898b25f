"""Perturbed history: copies of any belief, each of which learnt from rewards with added noise."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief, Info, keep_arms
from rec_jax.bandits.beliefs.beta_bernoulli import BetaBernoulliState
from rec_jax.bandits.beliefs.linear import LinearState
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

PerturbPrior = Callable[[jax.Array, Any, jax.Array, float], Any]


@struct.dataclass
class PerturbedHistoryState:
  """M copies.

  Attributes:
    copies: leading [M].
    seed: [M] uint32, of the noise in the prior of each copy.
  """

  copies: Any
  seed: jax.Array


def perturbed_history(
  belief: Belief,
  perturb_prior: PerturbPrior,
  num_copies: int = 16,
  num_pseudo_rewards: int = 1,
) -> Belief:
  """Adds fair coin flips to each reward (Kveton et al. 2019, algorithm 1) in M copies of `belief`.

  Kveton et al. flip all coins anew in every round, which takes the whole history, choose every arm
  once at first, and compare sums of which each has the same share of coins. Here each copy flips
  its own once, when the reward arrives, and `thompson` follows one copy at random; coins count by
  their distance from 1/2, so that the means are those of the rewards; and the prior counts as a
  history of its own whose noise differs between copies, so that arms nobody chose differ as well
  (as in ensemble sampling, Lu & Van Roy 2017).

  Args:
    belief: what each copy is; only its mean is used.
    perturb_prior: (key, state of one copy, ids of arms as new, variance of one reward's noise) ->
      state; called with all arms at first. What it does to an arm depends on the key and its id.
    num_copies: M.
    num_pseudo_rewards: coin flips a reward, Kveton's a.

  Returns:
    A belief whose draws are its M members.

  Raises:
    InputError: num_copies or num_pseudo_rewards is below 1.
  """
  check_range('num_copies', num_copies, 1)
  check_range('num_pseudo_rewards', num_pseudo_rewards, 1)
  variance = num_pseudo_rewards / 4

  def perturb(copy: Any, seed: jax.Array, ids: jax.Array) -> Any:
    return perturb_prior(jax.random.key(seed), copy, ids, variance)

  def init(key: jax.Array, spec: ArmSpec) -> PerturbedHistoryState:
    init_key, seed_key = jax.random.split(key)
    keys = jax.random.split(init_key, num_copies)
    copies = jax.vmap(lambda key: belief.init(key, spec))(keys)
    seed = jax.random.bits(seed_key, (num_copies,), jnp.uint32)
    every = jnp.arange(spec.num_arms)
    return PerturbedHistoryState(jax.vmap(perturb, (0, 0, None))(copies, seed, every), seed)

  def members(state: PerturbedHistoryState, context: Context) -> jax.Array:
    return jax.vmap(lambda copy: belief.predict(copy, context)[0])(state.copies)

  def predict(state: PerturbedHistoryState, context: Context) -> tuple[jax.Array, jax.Array]:
    means = members(state, context)
    return jnp.mean(means, axis=0), jnp.var(means, axis=0)

  def sample(
    key: jax.Array, state: PerturbedHistoryState, context: Context, num_samples: int
  ) -> jax.Array:
    return members(state, context)[jax.random.randint(key, (num_samples,), 0, num_copies)]

  def update(
    key: jax.Array, state: PerturbedHistoryState, feedback: Feedback
  ) -> PerturbedHistoryState:
    def one(key: jax.Array, copy: Any, info: Info) -> Any:
      coin_key, update_key = jax.random.split(key)
      shape = (num_pseudo_rewards, *feedback.reward.shape)
      added = jnp.sum(jax.random.bernoulli(coin_key, 0.5, shape) - 0.5, axis=0)
      rows = dataclasses.replace(feedback, reward=feedback.reward + added, info=info)
      return belief.update(update_key, copy, rows)

    keys = jax.random.split(key, num_copies)
    copies = jax.vmap(one, in_axes=(0, 0, 1))(keys, state.copies, feedback.info)
    return dataclasses.replace(state, copies=copies)

  def info(state: PerturbedHistoryState, context: Context, index: jax.Array) -> Info:
    return jax.vmap(lambda copy: belief.info(copy, context, index))(state.copies)

  def refresh(key: jax.Array, state: PerturbedHistoryState) -> PerturbedHistoryState:
    copies = jax.vmap(belief.refresh)(jax.random.split(key, num_copies), state.copies)
    return dataclasses.replace(state, copies=copies)

  def reset_arms(
    state: PerturbedHistoryState, ids: jax.Array, features: jax.Array
  ) -> PerturbedHistoryState:
    empty = jax.vmap(belief.reset_arms, in_axes=(0, None, None))(state.copies, ids, features)
    copies = jax.vmap(perturb, (0, 0, None))(empty, state.seed, ids)
    return dataclasses.replace(state, copies=copies)

  def reset_users(
    key: jax.Array, state: PerturbedHistoryState, ids: jax.Array, spec: ArmSpec
  ) -> PerturbedHistoryState:
    keys = jax.random.split(key, num_copies)
    reset = jax.vmap(lambda key, copy: belief.reset_users(key, copy, ids, spec))
    return dataclasses.replace(state, copies=reset(keys, state.copies))

  return Belief(
    init,
    predict,
    sample,
    update,
    info,
    refresh,
    keep_arms if belief.reset_arms is keep_arms else reset_arms,
    reset_users,
    members=members,
    reward_range=belief.reward_range,
    learns_at_refresh=belief.learns_at_refresh,
  )


def perturb_counts(a0: ArrayLike, b0: ArrayLike) -> PerturbPrior:
  """For `beta_bernoulli(a0, b0)`: noise in the a0 + b0 rewards that the prior stands for."""

  def perturb(
    key: jax.Array, state: BetaBernoulliState, ids: jax.Array, variance: float
  ) -> BetaBernoulliState:
    noise = jax.vmap(lambda arm: jax.random.normal(jax.random.fold_in(key, arm)))(ids)
    num_rewards = jnp.broadcast_to(jnp.asarray(a0) + jnp.asarray(b0), state.successes.shape)[ids]
    moved = noise * jnp.sqrt(num_rewards * variance)
    return BetaBernoulliState(
      successes=state.successes.at[ids].add(moved), failures=state.failures.at[ids].add(-moved)
    )

  return perturb


def perturb_weights(noise_variance: ArrayLike) -> PerturbPrior:
  """For `linear`: a draw from the prior, as wide as noise in rewards makes posteriors."""

  def perturb(key: jax.Array, state: LinearState, ids: jax.Array, variance: float) -> LinearState:
    del ids
    draw = state.root @ jax.random.normal(key, state.mean.shape)
    return dataclasses.replace(state, mean=state.mean + jnp.sqrt(variance / noise_variance) * draw)

  return perturb
