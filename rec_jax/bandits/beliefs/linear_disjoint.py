"""Bayesian linear regression on the query, one for each arm."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits import packed
from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import LinearState, absorb, forget, normal
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class LinearDisjointState:
  """A posterior an arm.

  A decision reads the covariances of all arms, an update the row of one; so what a decision reads
  is kept once more, as small as it can be.

  Attributes:
    posterior: leading [N], what is learnt; a decision reads its mean alone.
    covariance: leading [N], root root^T, packed: D (D + 1) / 2 numbers an arm.
  """

  posterior: LinearState
  covariance: jax.Array


def linear_disjoint(
  lambda_: ArrayLike = 1.0, noise_variance: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Belief:
  """LinUCB's and linear Thompson sampling's disjoint model (Li et al. 2010, section 3.1).

  The reward of arm n is query . w_n + noise, w_n ~ N(0, I / lambda_). Each arm learns as in
  `linear`. The covariance that decisions read is updated by the same rank-one step and, because
  rounding would add up there, one of its D rows, picked by chance, is computed anew from the root
  at each update: an update costs O(D^2), and an entry is D / 2 updates old on average. Arms are
  independent, so a draw is one normal number an arm, not D.

  Args:
    lambda_: prior precision.
    noise_variance: of one reward around its expectation.
    gamma: forgetting, by the rows of each arm. The number 1 costs nothing, another value O(D^3).

  Returns:
    A belief that reads `query` and `arm_ids`.

  Raises:
    InputError: lambda_ or noise_variance is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def prior(num_arms: int, dim: int) -> LinearDisjointState:
    eye = jnp.eye(dim, dtype=jnp.float32)
    one = normal(jnp.zeros(dim), eye / jnp.sqrt(lambda_), compensated=False)
    arm = LinearDisjointState(one, packed.pack(eye / lambda_))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_arms, *leaf.shape)), arm)

  def init(key: jax.Array, spec: ArmSpec) -> LinearDisjointState:
    del key
    return prior(spec.num_arms, spec.query_dim)

  def predict(state: LinearDisjointState, context: Context) -> tuple[jax.Array, jax.Array]:
    mean, covariance, ids = state.posterior.mean, state.covariance, context.arm_ids
    # Unless the candidates are few, gathering the results of all arms moves less than their rows.
    gathers_rows = 2 * len(ids) < len(mean)
    if gathers_rows:
      mean, covariance = mean[ids], covariance[ids]
    mean = mean @ context.query
    variance = jnp.maximum(packed.quadratic_forms(covariance, context.query), 0)
    return (mean, variance) if gathers_rows else (mean[ids], variance[ids])

  def sample(
    key: jax.Array, state: LinearDisjointState, context: Context, num_samples: int
  ) -> jax.Array:
    mean, variance = predict(state, context)
    return mean + jnp.sqrt(variance) * jax.random.normal(key, (num_samples, len(mean)))

  def update(key: jax.Array, state: LinearDisjointState, feedback: Feedback) -> LinearDisjointState:
    dim = feedback.query.shape[1]
    renewed = (jax.random.bits(key, feedback.reward.shape) % dim).astype(jnp.int32)

    def row(
      state: LinearDisjointState, row: tuple[jax.Array, ...]
    ) -> tuple[LinearDisjointState, None]:
      arm, query, reward, weight, index = row
      # A padded row may name any arm, or none by -1, which must not wrap around.
      arm = jnp.maximum(arm, 0)
      old = take_row(state, arm)
      before = old.posterior
      if forgets:
        kept = forget(before, lambda_, 0.0, gamma)
        before = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), kept, before)
      projected = before.root.T @ query
      direction = before.root @ projected
      after = absorb(before, query, reward, weight, noise_variance, projected, direction)
      if forgets:
        covariance = packed.pack(after.root @ after.root.T)
      else:
        gain = weight / (weight * jnp.dot(projected, projected) + noise_variance)
        exact = before.root @ jax.lax.dynamic_index_in_dim(before.root, index, keepdims=False)
        covariance = packed.with_row(old.covariance, exact, index) - gain * packed.square(direction)
        # Never so, but XLA does not know: it writes the root in place once `exact` has been read.
        after = dataclasses.replace(after, root=jnp.where(index < 0, exact, after.root))
      new = LinearDisjointState(after, jnp.where(weight == 0, old.covariance, covariance))
      return put_row(state, arm, new), None

    rows = (feedback.arm_id, feedback.query, feedback.reward, feedback.weight, renewed)
    return jax.lax.scan(row, state, rows)[0]

  def reset_arms(
    state: LinearDisjointState, ids: jax.Array, features: jax.Array
  ) -> LinearDisjointState:
    del features
    fresh = prior(len(ids), state.posterior.mean.shape[1])
    return jax.tree.map(lambda leaf, fresh: leaf.at[ids].set(fresh), state, fresh)

  return Belief(init, predict, sample, update, reset_arms=reset_arms, is_normal=True)
