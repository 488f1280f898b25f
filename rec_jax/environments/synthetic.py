"""Worlds of fresh arms a round whose truth is known, for checking regret against theory.

The truth is drawn anew for each seed, so that a mean over seeds is one over problems.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class LinearData:
  """What the truth of each seed of a linear world has in common.

  Attributes:
    noise_variance: [] of one reward around its mean.
  """

  noise_variance: jax.Array


@struct.dataclass
class LogisticData:
  """Of `logistic_environment`, which has no settings."""


@struct.dataclass
class Network:
  """The truth of a seed: one hidden layer of H rectified linear units.

  Attributes:
    weights: [H, F] float32, of the hidden units.
    output: [H] float32, expected reward = relu(features @ weights.T) @ output + bias.
    bias: [] float32.
  """

  weights: jax.Array
  output: jax.Array
  bias: jax.Array


Move = Callable[[jax.Array, Any, Any, jax.Array], Any]


def _stay(key: jax.Array, data: Any, truth: Any, t: jax.Array) -> Any:
  del key, data, t
  return truth


def linear_environment(
  num_candidates: int, dim: int, num_users: int = 1, move: Move = _stay
) -> Environment:
  """At each round B users see K fresh candidates with features from N(0, I / F).

  The expected reward is features . weights, with weights of a seed as `unit_weights` draws them.

  Args:
    num_candidates: K; candidate k is arm k.
    dim: F.
    num_users: B users deciding at once, ids 0 to B - 1; queries are zeros with D = F.
    move: (key, data, weights, t []) -> the weights after round t; stationary unless given.

  Returns:
    An environment over `LinearData`, or what `move` reads beside the noise as well, whose state is
    the weights [F].
  """
  return fresh_arms_environment(
    num_candidates,
    dim,
    num_users,
    init=lambda key, data: unit_weights(key, dim),
    mean=lambda weights, features: features @ weights,
    move=move,
  )


def logistic_environment(num_candidates: int, dim: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, with rewards of 0 and 1 at sigmoid(features . weights).

  Args:
    num_candidates: K.
    dim: F.
    num_users: B.

  Returns:
    An environment over `LogisticData` whose state is the weights [F].
  """
  return fresh_arms_environment(
    num_candidates,
    dim,
    num_users,
    init=lambda key, data: unit_weights(key, dim),
    mean=lambda weights, features: jax.nn.sigmoid(features @ weights),
    draw=lambda key, data, mean: jax.random.bernoulli(key, mean).astype(jnp.float32),
  )


def neural_environment(
  num_candidates: int, dim: int, hidden_dim: int, num_users: int = 1
) -> Environment:
  """As `linear_environment`, but the expected reward is a network of the features.

  Its weights are drawn from N(0, I), and its output is scaled and moved so that expected rewards
  have mean 0 and variance 1 among arms.

  Args:
    num_candidates: K.
    dim: F.
    hidden_dim: H.
    num_users: B.

  Returns:
    An environment over `LinearData` whose state is a `Network`.
  """

  def init(key: jax.Array, data: LinearData) -> Network:
    del data
    weights_key, output_key = jax.random.split(key)
    weights = jax.random.normal(weights_key, (hidden_dim, dim))
    output = jax.random.normal(output_key, (hidden_dim,))
    mean, variance = neural_moments(weights, output)
    return Network(weights, output / jnp.sqrt(variance), -mean / jnp.sqrt(variance))

  def mean(truth: Network, features: jax.Array) -> jax.Array:
    return jax.nn.relu(features @ truth.weights.T) @ truth.output + truth.bias

  return fresh_arms_environment(num_candidates, dim, num_users, init=init, mean=mean)


def unit_weights(key: jax.Array, dim: int) -> jax.Array:
  """[F] of length sqrt(F), so that features . weights has variance 1 among arms."""
  direction = jax.random.normal(key, (dim,))
  return direction / jnp.linalg.norm(direction) * jnp.sqrt(dim)


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
  dim: int,
  num_users: int,
  *,
  init: Callable[[jax.Array, Any], Any],
  mean: Callable[[Any, jax.Array], jax.Array],
  draw: Callable[[jax.Array, Any, jax.Array], jax.Array] = _normal_reward,
  move: Move = _stay,
) -> Environment:
  """B users and K fresh candidates with features from N(0, I / F) a round.

  Args:
    num_candidates: K.
    dim: F.
    num_users: B.
    init: (key, data) -> the truth of a seed, which is the state.
    mean: (truth, features [B, K, F]) -> expected rewards [B, K].
    draw: (key, data, expected rewards [B, L]) -> rewards [B, L]; normal with `data.noise_variance`
      unless given.
    move: (key, data, truth, t []) -> the truth after round t; the same one unless given.
  """

  def observe(key: jax.Array, data: Any, truth: Any, t: jax.Array) -> Context:
    del data, truth, t
    shape = (num_users, num_candidates)
    return Context(
      user_id=jnp.arange(num_users),
      query=jnp.zeros((num_users, dim), jnp.float32),
      features=jax.random.normal(key, (*shape, dim)) / jnp.sqrt(dim),
      arm_ids=jnp.broadcast_to(jnp.arange(num_candidates), shape),
      mask=jnp.ones(shape, bool),
    )

  def step(
    key: jax.Array, data: Any, truth: Any, t: jax.Array, context: Context, decision: Decision
  ) -> tuple[Any, Feedback, Metrics]:
    draw_key, move_key = jax.random.split(key)
    expected = mean(truth, context.features)
    reward = draw(draw_key, data, jnp.take_along_axis(expected, decision.index, axis=1))
    metrics = known_metrics(context, decision, expected, reward)
    return move(move_key, data, truth, t), outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)
