"""CORRAL: shares of policies that must be followed to learn."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Policy
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.mixture import Master, mixture
from rec_jax.types import Feedback

_NUM_BISECTIONS = 40


@struct.dataclass
class CorralState:
  """Of the master.

  Attributes:
    shares: [P] before smoothing.
    rates: [P] learning rates.
    thresholds: [P] of one over the share, above which the rate grows.
  """

  shares: jax.Array
  rates: jax.Array
  thresholds: jax.Array


def corral(
  policies: Sequence[Policy], learning_rate: ArrayLike = 0.1, horizon: ArrayLike = 10_000.0
) -> Policy:
  """CORRAL (Agarwal et al. 2017, algorithm 1).

  Mirror descent with a log barrier, and learning rates that grow where a share falls, so that a
  policy that was starved and then proves good comes back. Agarwal et al. hand a policy its reward
  over its share, and 0 when it was not followed; here rewards are handed on as they are (as in
  Pacchiano et al. 2020), for one of many times one would mislead a posterior, and to all policies
  that can learn from the choices of others.

  Args:
    policies: P of them.
    learning_rate: at first, > 0.
    horizon: rows of feedback to come, T > 1: shares stay above 1 / (T P), and rates grow by
      e^(1 / ln T).

  Returns:
    A policy for rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """
  check_range('learning_rate', learning_rate, 0, open_low=True)
  check_range('horizon', horizon, 1, open_low=True)

  def init(num_policies: int) -> CorralState:
    return CorralState(
      shares=jnp.full(num_policies, 1 / num_policies, jnp.float32),
      rates=jnp.full(num_policies, jnp.asarray(learning_rate, jnp.float32)),
      thresholds=jnp.full(num_policies, 2.0 * num_policies, jnp.float32),
    )

  def smooth(shares: jax.Array) -> jax.Array:
    return (1 - 1 / jnp.asarray(horizon)) * shares + 1 / (horizon * len(shares))

  def update(state: CorralState, feedback: Feedback) -> CorralState:
    growth = jnp.exp(1 / jnp.log(horizon))

    def row(state: CorralState, row: tuple[jax.Array, ...]) -> tuple[CorralState, None]:
      chosen, share, reward, weight = row
      loss = weight * (1 - reward) / jnp.where(weight == 0, 1, share)
      losses = jnp.zeros_like(state.shares).at[chosen].set(loss)
      shares = descend(state.shares, state.rates, losses)
      inverse = 1 / smooth(shares)
      exceeds = inverse > state.thresholds
      new = CorralState(
        shares=shares,
        rates=jnp.where(exceeds, state.rates * growth, state.rates),
        thresholds=jnp.where(exceeds, 2 * inverse, state.thresholds),
      )
      return jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), new, state), None

    info = feedback.info
    return jax.lax.scan(row, state, (info.chosen, info.share, feedback.reward, feedback.weight))[0]

  def shares(state: CorralState) -> jax.Array:
    return smooth(state.shares)

  return mixture(policies, Master(init, shares, update, reads_likelihood=False))


def descend(shares: jax.Array, rates: jax.Array, losses: jax.Array) -> jax.Array:
  """One step of mirror descent with a log barrier (Agarwal et al. 2017, algorithm 2).

  Args:
    shares: [P].
    rates: [P].
    losses: [P], >= 0.

  Returns:
    [P] 1 / (1 / share + rate (loss - x)), with x such that they sum to 1.
  """

  def step(
    bracket: tuple[jax.Array, jax.Array], _: None
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    low, high = bracket
    middle = (low + high) / 2
    total = jnp.sum(1 / (1 / shares + rates * (losses - middle)))
    return (jnp.where(total < 1, middle, low), jnp.where(total < 1, high, middle)), None

  # The sum grows with x, is at most 1 at the least loss, and at least 1 at the largest, unless a
  # share would be infinite before.
  pole = jnp.min(losses + 1 / (rates * shares))
  bracket = (jnp.min(losses), jnp.minimum(jnp.max(losses), pole))
  low, high = jax.lax.scan(step, bracket, length=_NUM_BISECTIONS)[0]
  new = 1 / (1 / shares + rates * (losses - (low + high) / 2))
  return new / jnp.sum(new)
