"""Linear regression with weights shared by all arms and weights of each arm.

reward = features . b + query . t_n + noise, b ~ N(0, I / lambda_), t_n ~ N(0, I / lambda_). With
`ucb` it is LinUCB's hybrid model (Li et al. 2010, section 3.2 and algorithm 2).
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import (
  LinearState,
  forget,
  learn,
  normal,
  quadratic_forms,
)
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class LinearHybridState:
  """The joint posterior, as that of b and those of t_n given b, which are independent.

  Attributes:
    shared: of b; mean [F], root [F, F].
    arms: root [N, D, D] of the covariance of t_n given b; mean [N, 1 + F, D]: its mean is
      mean[:, 0] - mean[:, 1:].T b, regressions of the rewards and of each feature on the queries.
  """

  shared: LinearState
  arms: LinearState


def linear_hybrid(
  lambda_: ArrayLike = 1.0, noise_variance: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Belief:
  """The hybrid model, exact, in O(F^2 + D^2 + F D) an update and without a matrix inverse.

  Li et al. keep precision matrices, whose difference A_0 - B^T A^-1 B loses its digits in float32.
  Here an observation tells b what it says once t_n is integrated out, and then t_n given b, both
  by the square-root rule of `linear`.

  Args:
    lambda_: prior precision of all weights.
    noise_variance: of one reward around its expectation.
    gamma: forgetting: each row of non-zero weight takes the posterior of b, and that of the row's
      t_n given b, towards its prior as `linear` does. The number 1 costs nothing.

  Returns:
    A belief that reads `features`, `query` and `arm_ids`.

  Raises:
    InputError: lambda_ or noise_variance is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def init(key: jax.Array, spec: ArmSpec) -> LinearHybridState:
    del key
    shape = (spec.num_arms, 1 + spec.arm_dim, spec.query_dim)
    root = _prior_root(spec.query_dim, lambda_)
    roots = jnp.broadcast_to(root, (spec.num_arms, *root.shape))
    return LinearHybridState(
      shared=normal(jnp.zeros(spec.arm_dim), _prior_root(spec.arm_dim, lambda_)),
      arms=normal(jnp.zeros(shape), roots, compensated=False),
    )

  def parts(state: LinearHybridState, context: Context) -> tuple[jax.Array, ...]:
    """([K] offset, [K, F] x: reward = offset + x . b + noise; [K] variance given b)."""
    regressions = state.arms.mean[context.arm_ids] @ context.query
    projected = jnp.einsum('kij,i->kj', state.arms.root[context.arm_ids], context.query)
    left = context.features - regressions[:, 1:]
    return regressions[:, 0], left, jnp.sum(projected**2, axis=-1)

  def predict(state: LinearHybridState, context: Context) -> tuple[jax.Array, jax.Array]:
    offset, left, variance = parts(state, context)
    return offset + left @ state.shared.mean, variance + quadratic_forms(left, state.shared.root)

  def sample(
    key: jax.Array, state: LinearHybridState, context: Context, num_samples: int
  ) -> jax.Array:
    shared_key, arm_key = jax.random.split(key)
    offset, left, variance = parts(state, context)
    noise = jax.random.normal(shared_key, (num_samples, len(state.shared.mean)))
    own = jnp.sqrt(variance) * jax.random.normal(arm_key, (num_samples, len(offset)))
    return offset + (state.shared.mean + noise @ state.shared.root.T) @ left.T + own

  def update(key: jax.Array, state: LinearHybridState, feedback: Feedback) -> LinearHybridState:
    del key

    def row(state: LinearHybridState, row: tuple[jax.Array, ...]) -> tuple[LinearHybridState, None]:
      arm, query, features, reward, weight = row
      # A padded row may name any arm, or none by -1, which must not wrap around.
      arm = jnp.maximum(arm, 0)
      before = state.shared, take_row(state.arms, arm)
      known, old = before
      if forgets:
        known = forget(known, lambda_, 0.0, gamma)
        old = _forget_all(old, lambda_, 0.0, gamma)
      targets = jnp.concatenate([reward[None], features])
      surprise = targets - old.mean @ query
      variance = noise_variance + weight * jnp.sum((old.root.T @ query) ** 2)
      after = (
        learn(known, surprise[1:], surprise[0], weight, variance),
        _learn_all(old, query, targets, weight, noise_variance),
      )
      shared, new = jax.tree.map(lambda x, y: jnp.where(weight == 0, y, x), after, before)
      return LinearHybridState(shared, put_row(state.arms, arm, new)), None

    columns = (feedback.arm_id, feedback.query, feedback.features)
    rows = (*columns, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  def reset_arms(
    state: LinearHybridState, ids: jax.Array, features: jax.Array
  ) -> LinearHybridState:
    del features
    root = _prior_root(state.arms.root.shape[-1], lambda_)
    empty = jax.tree.map(lambda leaf: leaf.at[ids].set(0), state.arms)
    arms = dataclasses.replace(empty, root=empty.root.at[ids].set(root))
    return LinearHybridState(state.shared, arms)

  return Belief(init, predict, sample, update, reset_arms=reset_arms)


_of_mean = LinearState(mean=0, root=None, mean_rest=None, root_rest=None)  # type: ignore[arg-type]
# One root serves the regressions of all 1 + F targets on the query.
_learn_all = jax.vmap(learn, in_axes=(_of_mean, None, 0, None, None), out_axes=_of_mean)
_forget_all = jax.vmap(forget, in_axes=(_of_mean, None, None, None), out_axes=_of_mean)


def _prior_root(size: int, lambda_: ArrayLike) -> jax.Array:
  return jnp.eye(size, dtype=jnp.float32) * jnp.asarray(1 / jnp.sqrt(lambda_), jnp.float32)
