"""Clicks on a slate: the cascade, and examination by position.

Attraction probabilities are drawn anew for each seed, so that a mean over seeds is one over
problems. The sum over the positions of a slate is what it earns, also of the expected rewards.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import (
  Environment,
  Metrics,
  best_rewards,
  one_user,
  outcome_rows,
)
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class CascadeData:
  """What attractions are drawn from.

  Attributes:
    max_attraction: [] in (0, 1]; the attraction of each item is uniform on [0, max_attraction].
  """

  max_attraction: jax.Array


@struct.dataclass
class PositionData:
  """As `CascadeData`, and what is seen.

  Attributes:
    max_attraction: [] in (0, 1].
    examination: [L] in (0, 1], the probability that each position is looked at, the highest first.
  """

  max_attraction: jax.Array
  examination: jax.Array


def cascade_environment(num_items: int) -> Environment:
  """The cascade model: the user scans top down and clicks the first attractive item, then leaves.

  A slate earns 1 - prod_l (1 - w(a_l)) (Kveton, Szepesvári, Wen & Ashkan 2015, Cascading Bandits,
  section 2), of which position l has w(a_l) prod_{j < l} (1 - w(a_j)), the probability that the
  click is there. Positions below the click were not seen: their rows have weight 0.

  Args:
    num_items: K, without features: each has a 1 in its own place of F = K.

  Returns:
    An environment over `CascadeData` whose state is the attractions w [K].
  """

  def clicks(key: jax.Array, data: CascadeData, attraction: jax.Array) -> tuple[jax.Array, ...]:
    del data
    is_attractive = jax.random.bernoulli(key, attraction)
    clicks_above = jnp.cumsum(is_attractive) - is_attractive
    clicked = (is_attractive & (clicks_above == 0)).astype(jnp.float32)
    return clicked, clicked, (clicks_above == 0).astype(jnp.float32)

  def chances(data: CascadeData, attraction: jax.Array) -> jax.Array:
    del data
    unclicked = jnp.cumprod(1 - attraction)
    return attraction * jnp.concatenate([jnp.ones(1), unclicked[:-1]])

  return _clicks_environment(num_items, clicks, chances)


def position_based_environment(num_items: int) -> Environment:
  """The position-based model: a click is an attractive item at a position that was looked at.

  The click at position l has probability kappa_l w(a_l) (Richardson, Dominowska & Ragno 2007;
  Lagree, Vernade & Cappe 2016, Multiple-Play Bandits in the Position-Based Model, section 2).
  Whether a position was looked at is not seen but by its click, so a row has the reward
  click / kappa_l and the weight kappa_l: the weighted mean of an item's rows is clicks over the
  examinations to be expected, the unbiased estimate of Lagree et al. (section 4). Such rewards
  are above 1, which policies for rewards in [0, 1] leave out.

  Args:
    num_items: K, without features: each has a 1 in its own place of F = K.

  Returns:
    An environment over `PositionData`, with slates of L, whose state is the attractions w [K].
  """

  def clicks(key: jax.Array, data: PositionData, attraction: jax.Array) -> tuple[jax.Array, ...]:
    examination = data.examination[: len(attraction)]
    clicked = jax.random.bernoulli(key, examination * attraction).astype(jnp.float32)
    return clicked, clicked / examination, examination

  def chances(data: PositionData, attraction: jax.Array) -> jax.Array:
    return data.examination[: len(attraction)] * attraction

  return _clicks_environment(num_items, clicks, chances)


def _clicks_environment(
  num_items: int,
  clicks: Callable[[jax.Array, Any, jax.Array], tuple[jax.Array, ...]],
  chances: Callable[[Any, jax.Array], jax.Array],
) -> Environment:
  """One user a round.

  Args:
    num_items: K.
    clicks: (key, data, attraction [L] of a slate) -> clicks [L], rewards and weights of the rows.
    chances: (data, attraction [L] of a slate) -> probability of a click [L]; their sum is highest
      for the L highest attractions in descending order.
  """

  def init(key: jax.Array, data: Any) -> jax.Array:
    return jax.random.uniform(key, (num_items,), maxval=data.max_attraction)

  def observe(key: jax.Array, data: Any, state: jax.Array, t: jax.Array) -> Context:
    del key, data, state, t
    return one_user(jnp.ones(1), jnp.eye(num_items))

  def step(
    key: jax.Array, data: Any, state: jax.Array, t: jax.Array, context: Context, decision: Decision
  ) -> tuple[jax.Array, Feedback, Metrics]:
    del t
    index = decision.index[0]
    # Nothing attracts nobody, and is passed over.
    attraction = jnp.where(index < 0, 0.0, state[index])
    clicked, reward, weight = clicks(key, data, attraction)
    rows = outcome_rows(context, decision, reward[None])
    metrics = Metrics(
      reward=clicked[None],
      expected_reward=chances(data, attraction)[None],
      best_expected_reward=chances(data, best_rewards(state, context.mask[0], len(index)))[None],
      arm_id=decision.arm_id,
      user_id=context.user_id,
    )
    return state, dataclasses.replace(rows, weight=rows.weight * weight), metrics

  return Environment(init, observe, step)
