"""Perturbed history: copies of any belief, each of which learnt from rewards with added noise."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.beta_bernoulli import BetaBernoulliState
from rec_jax.bandits.beliefs.copies import copies
from rec_jax.bandits.beliefs.linear import LinearState
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import Feedback

PerturbPrior = Callable[[jax.Array, Any, jax.Array, float], Any]


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
  check_range('num_pseudo_rewards', num_pseudo_rewards, 1)
  variance = num_pseudo_rewards / 4

  def perturb(key: jax.Array, copy: Any, ids: jax.Array) -> Any:
    return perturb_prior(key, copy, ids, variance)

  def add_coins(key: jax.Array, feedback: Feedback) -> Feedback:
    shape = (num_pseudo_rewards, *feedback.reward.shape)
    added = jnp.sum(jax.random.bernoulli(key, 0.5, shape) - 0.5, axis=0)
    return dataclasses.replace(feedback, reward=feedback.reward + added)

  return copies(belief, num_copies, perturb, add_coins)


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
