"""Inverse gap weighting: the further behind the best, the rarer the choice."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.beliefs.per_epoch import epoch_start
from rec_jax.bandits.choice import argmax_probabilities
from rec_jax.bandits.explorers.by_chance import in_proportion
from rec_jax.bandits.hyperparameters import check_range

_TINY = 1e-30


def squarecb(gamma_scale: ArrayLike = 10.0, gamma_exponent: ArrayLike = 0.5) -> Explorer:
  """SquareCB (Foster & Rakhlin 2020, algorithm 1) with gamma = gamma_scale * t^gamma_exponent.

  Args:
    gamma_scale: how sharply gaps count at first, > 0.
    gamma_exponent: how that grows with the rows of feedback t; theory asks for 1/2.

  Raises:
    InputError: gamma_scale is not positive or gamma_exponent negative.
  """
  check_range('gamma_scale', gamma_scale, 0, open_low=True)
  check_range('gamma_exponent', gamma_exponent, 0)

  def rate(count: jax.Array, num_open: jax.Array) -> jax.Array:
    del num_open
    return jnp.asarray(gamma_scale * count.astype(jnp.float32) ** gamma_exponent)

  return _inverse_gap(rate)


def falcon(gamma_scale: ArrayLike = 1.0) -> Explorer:
  """FALCON (Simchi-Levi & Xu 2022, algorithm 1): gamma = gamma_scale * sqrt(K * t_m).

  The rate is that of the start t_m of the epoch; epochs double in length. The belief should be
  one of `per_epoch`: the algorithm regresses when an epoch begins and not again within it.

  Args:
    gamma_scale: the constant of the rate, > 0.

  Raises:
    InputError: gamma_scale is not positive.
  """
  check_range('gamma_scale', gamma_scale, 0, open_low=True)

  def rate(count: jax.Array, num_open: jax.Array) -> jax.Array:
    start = epoch_start(count).astype(jnp.float32)
    return jnp.asarray(gamma_scale * jnp.sqrt(num_open * start))

  return _inverse_gap(rate)


def fastcb(gamma_scale: ArrayLike = 10.0, gamma_exponent: ArrayLike = 0.5) -> Explorer:
  """FastCB (Foster & Krishnamurthy 2021, algorithm 1): gaps count by what the best may lose.

  With losses f = 1 - mean and the best b, another candidate has probability
  f_b / (K f_b + gamma (f - f_b)): the surer the best is of its reward, the less is explored. For
  beliefs about rewards in [0, 1] that regress with the log-loss, such as `logistic`.

  Args:
    gamma_scale: how sharply gaps count at first, > 0.
    gamma_exponent: how that grows with the rows of feedback t.

  Raises:
    InputError: gamma_scale is not positive or gamma_exponent negative.
  """
  check_range('gamma_scale', gamma_scale, 0, open_low=True)
  check_range('gamma_exponent', gamma_exponent, 0)

  def rate(count: jax.Array, num_open: jax.Array) -> jax.Array:
    del num_open
    return jnp.asarray(gamma_scale * count.astype(jnp.float32) ** gamma_exponent)

  return _inverse_gap(rate, lambda best: jnp.clip(1 - best, 0, 1))


def _inverse_gap(
  rate: Callable[[jax.Array, jax.Array], jax.Array],
  at_stake: Callable[[jax.Array], jax.Array] = jnp.ones_like,
) -> Explorer:
  """s / (K s + gamma gap) for each, what remains to the best.

  Args:
    rate: (t, K open) -> gamma.
    at_stake: highest mean -> s.
  """

  def weights(state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    num_open = jnp.maximum(jnp.sum(mask), 1)
    best = jnp.max(jnp.where(mask, outlook.mean, -jnp.inf))
    gap, stake = best - outlook.mean, at_stake(best)
    gamma = rate(jnp.maximum(state, 1), num_open)
    others = jnp.where(mask, stake / jnp.maximum(num_open * stake + gamma * gap, _TINY), 0)
    return others + (1 - jnp.sum(others)) * argmax_probabilities(outlook.mean, mask)

  return in_proportion(weights)
