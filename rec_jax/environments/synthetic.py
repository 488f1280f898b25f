"""Worlds of fresh arms a round whose truth is known, for checking regret against theory."""

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
class NeuralData:
  """The truth of a world that is a network with one hidden layer of H rectified linear units.

  Attributes:
    weights: [H, F] float32, of the hidden units.
    output: [H] float32, expected reward = relu(features @ weights.T) @ output + bias.
    bias: [] float32.
    noise_variance: [] of one reward around it.
  """

  weights: jax.Array
  output: jax.Array
  bias: jax.Array
  noise_variance: jax.Array


def linear_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """Stationary: at each round B users see K fresh candidates with features from N(0, I / F).

  Args:
    num_candidates: K; candidate k is arm k.
    num_users: B users deciding at once, ids 0 to B - 1; queries are zeros with D = F.

  Returns:
    An environment over `LinearData`.
  """
  return fresh_arms_environment(
    num_candidates,
    num_users,
    mean=lambda data, state, t, features: features @ data.weights,
  )


def logistic_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, with rewards of 0 and 1 at sigmoid(features . weights).

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `LogisticData`.
  """
  return fresh_arms_environment(
    num_candidates,
    num_users,
    mean=lambda data, state, t, features: jax.nn.sigmoid(features @ data.weights),
    draw=lambda key, data, mean: jax.random.bernoulli(key, mean).astype(jnp.float32),
  )


def neural_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but the expected reward is a network of the features.

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `NeuralData`.
  """

  def mean(data: NeuralData, state: tuple[()], t: jax.Array, features: jax.Array) -> jax.Array:
    del state, t
    return jax.nn.relu(features @ data.weights.T) @ data.output + data.bias

  return fresh_arms_environment(num_candidates, num_users, mean=mean)


def neural_moments(weights: jax.Array, output: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean [] and variance [] among arms of the expected reward of `neural_environment`.

  Two units are jointly normal over arms, so that the second moment of their rectified values is
  the arc-cosine kernel of order 1 of Cho & Saul (2009), Kernel Methods for Deep Learning.

  Args:
    weights: [H, F], of the hidden units.
    output: [H], with a bias of 0.
  """
  scale = jnp.linalg.norm(weights, axis=1) / jnp.sqrt(weights.shape[1])
  directions = weights / jnp.linalg.norm(weights, axis=1, keepdims=True)
  # Rounding may take a cosine past 1, where arccos has no value.
  cosine = jnp.clip(directions @ directions.T, -1, 1)
  angle = jnp.arccos(cosine)
  covariance = (jnp.sin(angle) + (jnp.pi - angle) * cosine - 1) / (2 * jnp.pi)
  scaled = scale * output
  return jnp.sum(scaled) / jnp.sqrt(2 * jnp.pi), scaled @ covariance @ scaled


def _normal_reward(key: jax.Array, data: Any, mean: jax.Array) -> jax.Array:
  return mean + jax.random.normal(key, mean.shape) * jnp.sqrt(data.noise_variance)


def fresh_arms_environment(
  num_candidates: int,
  num_users: int,
  *,
  mean: Callable[[Any, Any, jax.Array, jax.Array], jax.Array],
  draw: Callable[[jax.Array, Any, jax.Array], jax.Array] = _normal_reward,
  init: Callable[[Any], Any] = lambda data: (),
  move: Callable[[jax.Array, Any, Any], Any] = lambda key, data, state: state,
) -> Environment:
  """B users and K fresh candidates with features from N(0, I / F) a round.

  Args:
    num_candidates: K.
    num_users: B.
    mean: (data, state, t [], features [B, K, F]) -> expected rewards [B, K]; F is the last axis of
      `data.weights`.
    draw: (key, data, expected rewards [B, L]) -> rewards [B, L]; normal with `data.noise_variance`
      unless given.
    init: data -> state; nothing unless given.
    move: (key, data, state) -> state after a round; the same one unless given.
  """

  def observe(key: jax.Array, data: Any, state: Any, t: jax.Array) -> Context:
    del state, t
    arm_dim = data.weights.shape[-1]
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
    draw_key, move_key = jax.random.split(key)
    expected = mean(data, state, t, context.features)
    reward = draw(draw_key, data, jnp.take_along_axis(expected, decision.index, axis=1))
    metrics = known_metrics(context, decision, expected, reward)
    return move(move_key, data, state), outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: init(data), observe, step)
