"""Bayesian logistic regression on candidate features, shared by all arms, for rewards in [0, 1].

P(reward = 1) = sigmoid(features . w), w ~ N(0, I / lambda_).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.bandits.base import UNIT_REWARD, Belief
from rec_jax.bandits.beliefs.linear import (
  LinearState,
  add,
  forget,
  learn,
  normal,
  quadratic_forms,
)
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

# Of Newton: a logit moves by about the logarithm of its variance, by one a step.
_NUM_STEPS = 32
# The trapezoid rule for the standard normal distribution: where the deviation of the logit is
# large, a sigmoid is so steep that it is right to 1e-4 when Gauss-Hermite is wrong by 1e-2.
_NODES = np.linspace(-6, 6, 129, dtype=np.float32)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.sum(np.exp(-(_NODES**2) / 2))


def logistic(lambda_: ArrayLike = 1.0, gamma: ArrayLike = 1.0) -> Belief:
  """Logistic regression by an online Laplace approximation (Chapelle & Li 2011, algorithm 3).

  Each row moves the mean to the mode of normal prior times likelihood, and the precision by the
  curvature there. Chapelle & Li keep its diagonal, here it is whole: the mode lies on the line
  mean + t covariance . features, so that it takes Newton steps on one number.

  Args:
    lambda_: prior precision.
    gamma: forgetting, as in `linear`.

  Returns:
    A belief that reads `features` only, for rewards in [0, 1].

  Raises:
    InputError: lambda_ is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def init(key: jax.Array, spec: ArmSpec) -> LinearState:
    del key
    eye = jnp.eye(spec.arm_dim, dtype=jnp.float32)
    root = eye * jnp.asarray(1 / jnp.sqrt(lambda_), jnp.float32)
    return normal(jnp.zeros(spec.arm_dim, jnp.float32), root)

  def predict(state: LinearState, context: Context) -> tuple[jax.Array, jax.Array]:
    deviation = jnp.sqrt(quadratic_forms(context.features, state.root))
    logits = context.features @ state.mean + deviation * _NODES[:, None]
    chances = jax.nn.sigmoid(logits)
    mean = _WEIGHTS @ chances
    return mean, _WEIGHTS @ (chances - mean) ** 2

  def sample(key: jax.Array, state: LinearState, context: Context, num_samples: int) -> jax.Array:
    noise = jax.random.normal(key, (num_samples, len(state.mean)))
    return jax.nn.sigmoid((state.mean + noise @ state.root.T) @ context.features.T)

  def update(key: jax.Array, state: LinearState, feedback: Feedback) -> LinearState:
    del key

    def row(state: LinearState, row: tuple[jax.Array, ...]) -> tuple[LinearState, None]:
      features, reward, weight = row
      if forgets:
        old, kept = state, forget(state, lambda_, 0.0, gamma)
        state = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), kept, old)
      logit = jnp.dot(features, state.mean)
      direction = state.root @ (state.root.T @ features)
      variance = weight * jnp.dot(features, direction)
      mode = _mode(logit, variance, reward)
      chance = jax.nn.sigmoid(mode)
      # A normal observation of the same curvature that surprises nobody narrows the root.
      narrowed = learn(state, features, logit, weight * chance * jax.nn.sigmoid(-mode), 1.0)
      # Of a wide belief the error is a small rest of larger numbers, and the mode says it better.
      by_mode = (mode - logit) / jnp.maximum(variance, 1)
      error = jnp.where(variance > 1, by_mode, _error(reward, mode))
      step = weight * error * direction
      mean, rest = add(state.mean, state.mean_rest, step)
      return dataclasses.replace(narrowed, mean=mean, mean_rest=rest), None

    rows = (feedback.features, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  return Belief(init, predict, sample, update, reward_range=UNIT_REWARD)


def _mode(logit: jax.Array, variance: jax.Array, reward: jax.Array) -> jax.Array:
  """[] the root t of t - logit = variance (reward - sigmoid(t)).

  By Newton's steps from 0, or from the logit where that lies between 0 and the root: the excess is
  convex below 0 and concave above, so that no step goes past the root, and each is one at least
  while the sigmoid is what is large. From elsewhere they may jump to and fro for ever.
  """

  def excess(t: jax.Array) -> jax.Array:
    return t - logit - variance * _error(reward, t)

  def step(t: jax.Array, _: None) -> tuple[jax.Array, None]:
    slope = 1 + variance * jax.nn.sigmoid(t) * jax.nn.sigmoid(-t)
    return t - excess(t) / slope, None

  # 1 where the root is above 0.
  side = -jnp.sign(excess(jnp.zeros_like(logit)))
  is_between = (side * logit > 0) & (side * excess(logit) < 0)
  start = jnp.where(is_between, logit, 0.0)
  return jax.lax.scan(step, start, length=_NUM_STEPS)[0]


def _error(reward: jax.Array, logit: jax.Array) -> jax.Array:
  """reward - sigmoid(logit), without a difference of numbers next to 1."""
  return reward * jax.nn.sigmoid(-logit) - (1 - reward) * jax.nn.sigmoid(logit)
