"""Worlds that depend on features . weights, for checking regret against theory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class LinearData:
  """The truth of a linear world.

  Attributes:
    weights: [F] float32, expected reward = features . weights.
    noise_variance: [] of one reward around it.
  """

  weights: jax.Array
  noise_variance: jax.Array


@struct.dataclass
class LogisticData:
  """The truth of a logistic world.

  Attributes:
    weights: [F] float32, expected reward = sigmoid(features . weights).
  """

  weights: jax.Array


@struct.dataclass
class DriftingData:
  """The truth of a linear world whose weights wander.

  Attributes:
    weights: [F] float32, at the first round.
    noise_variance: [] of one reward around features . weights.
    drift: [] in [0, 1], share of the variance of the weights that is drawn anew in a round.
  """

  weights: jax.Array
  noise_variance: jax.Array
  drift: jax.Array


def linear_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """Stationary: at each round B users see K fresh candidates with features from N(0, I / F).

  Args:
    num_candidates: K; candidate k is arm k.
    num_users: B users deciding at once, ids 0 to B - 1; queries are zeros with D = F.

  Returns:
    An environment over `LinearData`.
  """
  return _environment(
    num_candidates,
    num_users,
    init=lambda data: (),
    mean=lambda data, state, features: features @ data.weights,
    draw=_normal_reward,
    move=lambda key, data, state: state,
  )


def logistic_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, with rewards of 0 and 1 at sigmoid(features . weights).

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `LogisticData`.
  """
  return _environment(
    num_candidates,
    num_users,
    init=lambda data: (),
    mean=lambda data, state, features: jax.nn.sigmoid(features @ data.weights),
    draw=lambda key, data, mean: jax.random.bernoulli(key, mean).astype(jnp.float32),
    move=lambda key, data, state: state,
  )


def drifting_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but each seed's weights wander after every round, all alike at first.

  w <- sqrt(1 - drift) w + sqrt(drift) N(0, I): entries of variance 1 keep it.

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `DriftingData` whose state is the weights [F].
  """

  def move(key: jax.Array, data: DriftingData, weights: jax.Array) -> jax.Array:
    fresh = jax.random.normal(key, weights.shape)
    return jnp.sqrt(1 - data.drift) * weights + jnp.sqrt(data.drift) * fresh

  return _environment(
    num_candidates,
    num_users,
    init=lambda data: data.weights,
    mean=lambda data, weights, features: features @ weights,
    draw=_normal_reward,
    move=move,
  )


def _environment(
  num_candidates: int,
  num_users: int,
  *,
  init: Callable[[Any], Any],
  mean: Callable[[Any, Any, jax.Array], jax.Array],
  draw: Callable[[jax.Array, Any, jax.Array], jax.Array],
  move: Callable[[jax.Array, Any, Any], Any],
) -> Environment:
  """B users and K fresh candidates with features from N(0, I / F) a round.

  Args:
    num_candidates: K.
    num_users: B.
    init: data -> state.
    mean: (data, state, features [B, K, F]) -> expected rewards [B, K].
    draw: (key, data, expected rewards [B, L]) -> rewards [B, L].
    move: (key, data, state) -> state after a round.
  """

  def observe(key: jax.Array, data: Any, state: Any, t: jax.Array) -> Context:
    del state, t
    arm_dim = len(data.weights)
    shape = (num_users, num_candidates)
    return Context(
      user_id=jnp.arange(num_users),
      query=jnp.zeros((num_users, arm_dim), jnp.float32),
      features=jax.random.normal(key, (*shape, arm_dim)) / jnp.sqrt(arm_dim),
      arm_ids=jnp.broadcast_to(jnp.arange(num_candidates), shape),
      mask=jnp.ones(shape, bool),
    )

  def step(
    key: jax.Array, data: Any, state: Any, t: jax.Array, context: Context, decision: Decision
  ) -> tuple[Any, Feedback, Metrics]:
    del t
    draw_key, move_key = jax.random.split(key)
    expected = mean(data, state, context.features)
    reward = draw(draw_key, data, jnp.take_along_axis(expected, decision.index, axis=1))
    metrics = known_metrics(context, decision, expected, reward)
    return move(move_key, data, state), outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: init(data), observe, step)


def _normal_reward(key: jax.Array, data: LinearData | DriftingData, mean: jax.Array) -> jax.Array:
  return mean + jax.random.normal(key, mean.shape) * jnp.sqrt(data.noise_variance)
