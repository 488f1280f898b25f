"""Low-rank matrix factorisation: a vector a user and a vector an arm, both uncertain."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import LinearState, forget, learn, normal
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class MatrixFactorisationState:
  """Normal posteriors, independent of each other.

  Attributes:
    users: mean [U, R], root [U, R, R].
    arms: mean [N, R], root [N, R, R].
    start: [N, R] prior means of the arms.
  """

  users: LinearState
  arms: LinearState
  start: jax.Array


def matrix_factorisation(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  rank: int = 8,
) -> Belief:
  """reward = user . arm + noise, user and arm ~ N(., I / (lambda_ sqrt(R))).

  Thompson sampling on it is that of Kawale et al. (2015) with normal posteriors instead of
  particles: a row tells the user's vector what a regression on the arm's mean does, with the arm's
  doubt as noise, and the other way round (as Stern et al. 2009 pass moments). Prior means are 0 for
  users and random for arms, which is what tells the R directions apart.

  Args:
    lambda_: prior precision of a reward: prior variances of its products sum to about 1 / lambda_.
    noise_variance: of one reward around its expectation.
    gamma: forgetting, by the rows of each user and of each arm.
    rank: R.

  Returns:
    A belief that reads `user_id` and `arm_ids`, approximate: exact only if one side is known.

  Raises:
    InputError: a value is out of range.
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  check_range('rank', rank, 1)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def precision() -> jax.Array:
    """Of one entry: R products of two such entries have variance 1 / lambda_."""
    return jnp.sqrt(jnp.asarray(lambda_ * rank, jnp.float32))

  def prior(mean: jax.Array) -> LinearState:
    root = jnp.eye(rank, dtype=jnp.float32) / jnp.sqrt(precision())
    return normal(mean, jnp.broadcast_to(root, (len(mean), rank, rank)), compensated=False)

  def init(key: jax.Array, spec: ArmSpec) -> MatrixFactorisationState:
    start = jax.random.normal(key, (spec.num_arms, rank)) / jnp.sqrt(precision())
    users = prior(jnp.zeros((spec.num_users, rank), jnp.float32))
    return MatrixFactorisationState(users, prior(start), start)

  def predict(state: MatrixFactorisationState, context: Context) -> tuple[jax.Array, jax.Array]:
    user = take_row(state.users, context.user_id)
    arms = jax.tree.map(lambda x: x[context.arm_ids], state.arms)
    doubt = jax.vmap(_doubt, (None, 0))(user, arms)
    of_user = jnp.sum((arms.mean @ user.root) ** 2, axis=1)
    return arms.mean @ user.mean, of_user + doubt

  def sample(
    key: jax.Array, state: MatrixFactorisationState, context: Context, num_samples: int
  ) -> jax.Array:
    user_key, arm_key = jax.random.split(key)
    user = take_row(state.users, context.user_id)
    arms = jax.tree.map(lambda x: x[context.arm_ids], state.arms)
    vectors = user.mean + jax.random.normal(user_key, (num_samples, rank)) @ user.root.T
    # Given the user's vector the rewards of the arms are independent normal numbers.
    spread = jnp.sum(jnp.einsum('kij,mi->mkj', arms.root, vectors) ** 2, axis=-1)
    noise = jax.random.normal(arm_key, (num_samples, len(arms.mean)))
    return vectors @ arms.mean.T + jnp.sqrt(spread) * noise

  def update(
    key: jax.Array, state: MatrixFactorisationState, feedback: Feedback
  ) -> MatrixFactorisationState:
    del key

    def row(
      state: MatrixFactorisationState, row: tuple[jax.Array, ...]
    ) -> tuple[MatrixFactorisationState, None]:
      user_id, arm_id, reward, weight = row
      # A padded row may name any arm, or none by -1, which must not wrap around.
      user_id, arm_id = jnp.maximum(user_id, 0), jnp.maximum(arm_id, 0)
      old = take_row(state.users, user_id), take_row(state.arms, arm_id)
      user, arm = old
      if forgets:
        user = forget(user, precision(), 0.0, gamma)
        arm = forget(arm, precision(), state.start[arm_id], gamma)
      new = (
        learn(user, arm.mean, reward, weight, noise_variance + _doubt(user, arm)),
        learn(arm, user.mean, reward, weight, noise_variance + _doubt(arm, user)),
      )
      user, arm = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), new, old)
      users, arms = put_row(state.users, user_id, user), put_row(state.arms, arm_id, arm)
      return dataclasses.replace(state, users=users, arms=arms), None

    rows = (feedback.user_id, feedback.arm_id, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  def reset_arms(
    state: MatrixFactorisationState, ids: jax.Array, features: jax.Array
  ) -> MatrixFactorisationState:
    del features
    arms = jax.tree.map(lambda x, y: x.at[ids].set(y[ids]), state.arms, prior(state.start))
    return dataclasses.replace(state, arms=arms)

  def reset_users(
    key: jax.Array, state: MatrixFactorisationState, ids: jax.Array, spec: ArmSpec
  ) -> MatrixFactorisationState:
    del key, spec
    fresh = prior(jnp.zeros((len(ids), rank), jnp.float32))
    users = jax.tree.map(lambda rows, fresh: rows.at[ids].set(fresh), state.users, fresh)
    return dataclasses.replace(state, users=users)

  return Belief(init, predict, sample, update, reset_arms=reset_arms, reset_users=reset_users)


def _doubt(known: LinearState, other: LinearState) -> jax.Array:
  """[] variance of known . other, less that of known . (mean of `other`)."""
  through_mean = jnp.sum((other.root.T @ known.mean) ** 2)
  return through_mean + jnp.sum((known.root.T @ other.root) ** 2)
