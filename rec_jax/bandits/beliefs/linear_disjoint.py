"""Bayesian linear regression on the query, one for each arm."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import LinearState, forget, learn, normal
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


def linear_disjoint(
  lambda_: ArrayLike = 1.0, noise_variance: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Belief:
  """LinUCB's and linear Thompson sampling's disjoint model (Li et al. 2010, section 3.1).

  The reward of arm n is query . w_n + noise, w_n ~ N(0, I / lambda_). The state is that of
  `linear` with a leading [N], without compensated sums, which would double what a decision moves.
  Arms are independent, so a draw is one normal number an arm, not D.

  Args:
    lambda_: prior precision.
    noise_variance: of one reward around its expectation.
    gamma: forgetting, by the rows of each arm.

  Returns:
    A belief that reads `query` and `arm_ids`.

  Raises:
    InputError: lambda_ or noise_variance is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def init(key: jax.Array, spec: ArmSpec) -> LinearState:
    del key
    eye = jnp.eye(spec.query_dim, dtype=jnp.float32) / jnp.sqrt(lambda_)
    mean = jnp.zeros((spec.num_arms, spec.query_dim), jnp.float32)
    return normal(mean, jnp.broadcast_to(eye, (spec.num_arms, *eye.shape)), compensated=False)

  def predict(state: LinearState, context: Context) -> tuple[jax.Array, jax.Array]:
    mean, root = state.mean[context.arm_ids], state.root[context.arm_ids]
    projected = jnp.einsum('kij,i->kj', root, context.query)
    return mean @ context.query, jnp.sum(projected**2, axis=-1)

  def sample(key: jax.Array, state: LinearState, context: Context, num_samples: int) -> jax.Array:
    mean, variance = predict(state, context)
    return mean + jnp.sqrt(variance) * jax.random.normal(key, (num_samples, len(mean)))

  def update(key: jax.Array, state: LinearState, feedback: Feedback) -> LinearState:
    del key

    def row(state: LinearState, row: tuple[jax.Array, ...]) -> tuple[LinearState, None]:
      arm, query, reward, weight = row
      # A padded row may name any arm, or none by -1, which must not wrap around.
      arm = jnp.maximum(arm, 0)
      old = take_row(state, arm)
      prior = old
      if forgets:
        kept = forget(old, lambda_, 0.0, gamma)
        prior = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), kept, old)
      return put_row(state, arm, learn(prior, query, reward, weight, noise_variance)), None

    rows = (feedback.arm_id, feedback.query, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  def reset_arms(state: LinearState, ids: jax.Array, features: jax.Array) -> LinearState:
    del features
    eye = jnp.eye(state.mean.shape[1], dtype=state.root.dtype) / jnp.sqrt(lambda_)
    empty = jax.tree.map(lambda leaf: leaf.at[ids].set(0), state)
    return dataclasses.replace(empty, root=empty.root.at[ids].set(eye))

  def cdf(state: LinearState, context: Context, x: jax.Array) -> jax.Array:
    mean, variance = predict(state, context)
    return jax.scipy.special.ndtr((x - mean) / jnp.sqrt(jnp.maximum(variance, 1e-30)))

  return Belief(init, predict, sample, update, reset_arms=reset_arms, cdf=cdf)
