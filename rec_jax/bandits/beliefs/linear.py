"""Bayesian linear regression on candidate features, shared by all arms.

reward = features . w + noise, w ~ N(prior_mean, I / lambda_), noise ~ N(0, noise_variance).
With `ucb` it is LinUCB with shared parameters (Li et al. 2010, section 3.2's "shared" part), with
`thompson` it is linear Thompson sampling (Agrawal & Goyal 2013).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.chunks import by_rows
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

# Of outer products: 4 MB.
_MOST_PRODUCTS = 2**20


@struct.dataclass
class LinearState:
  """The posterior N(mean, root root^T).

  Attributes:
    mean: [F].
    root: [F, F], a square root of the covariance.
    mean_rest: [F] what of the mean is lost to rounding, or None if that is not kept.
    root_rest: [F, F] or None likewise.
  """

  mean: jax.Array
  root: jax.Array
  mean_rest: jax.Array | None
  root_rest: jax.Array | None


def linear(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  prior_mean: ArrayLike = 0.0,
  gamma: ArrayLike = 1.0,
  compensated: bool = True,
) -> Belief:
  """Bayesian linear regression with known noise variance.

  The state is a square root of the covariance, updated by Potter's rule in O(F^2): the covariance
  stays positive semi-definite whatever the rounding, which Sherman-Morrison on the covariance
  does not promise in float32, and a draw needs no factorisation, which a precision matrix does.

  Args:
    lambda_: prior precision.
    noise_variance: of one reward around its expectation.
    prior_mean: of the weights, a number or [F].
    gamma: forgetting: before each row of non-zero weight, the precision and its mean move from
      what was learnt to the prior by 1 - gamma. The number 1 costs nothing, another value O(F^3).
    compensated: keeps what rounding takes from each sum, for twice the memory. After a million rows
      a step is smaller than the rounding of what it is added to: without the rest, collinear
      features leave variances up to several times too large, with it they are right to 1e-4.

  Returns:
    A belief that reads `features` only.

  Raises:
    InputError: lambda_ or noise_variance is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def init(key: jax.Array, spec: ArmSpec) -> LinearState:
    del key
    eye = jnp.eye(spec.arm_dim, dtype=jnp.float32)
    mean = jnp.broadcast_to(jnp.asarray(prior_mean, jnp.float32), (spec.arm_dim,))
    return normal(mean, eye * jnp.asarray(1 / jnp.sqrt(lambda_), jnp.float32), compensated)

  def predict(state: LinearState, context: Context) -> tuple[jax.Array, jax.Array]:
    return context.features @ state.mean, quadratic_forms(context.features, state.root)

  def sample(key: jax.Array, state: LinearState, context: Context, num_samples: int) -> jax.Array:
    noise = jax.random.normal(key, (num_samples, len(state.mean)))
    return (state.mean + noise @ state.root.T) @ context.features.T

  def update(key: jax.Array, state: LinearState, feedback: Feedback) -> LinearState:
    del key

    def row(state: LinearState, row: tuple[jax.Array, ...]) -> tuple[LinearState, None]:
      features, reward, weight = row
      if forgets:
        old, kept = state, forget(state, lambda_, prior_mean, gamma)
        state = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), kept, old)
      return learn(state, features, reward, weight, noise_variance), None

    rows = (feedback.features, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  return Belief(init=init, predict=predict, sample=sample, update=update)


def normal(mean: jax.Array, root: jax.Array, compensated: bool = True) -> LinearState:
  """N(mean, root root^T) with nothing lost to rounding yet."""
  if not compensated:
    return LinearState(mean, root, None, None)
  return LinearState(mean, root, jnp.zeros_like(mean), jnp.zeros_like(root))


def learn(
  state: LinearState,
  features: jax.Array,
  reward: jax.Array,
  weight: jax.Array,
  noise_variance: ArrayLike,
) -> LinearState:
  """One observation (Potter 1963; Maybeck 1979, section 7.3); weight 0 changes no bit.

  Args:
    state: the posterior before.
    features: [F].
    reward: [].
    weight: [] multiplies the log-likelihood.
    noise_variance: [] of one reward.

  Returns:
    The posterior after.
  """
  projected = state.root.T @ features
  return absorb(state, features, reward, weight, noise_variance, projected, state.root @ projected)


def absorb(
  state: LinearState,
  features: jax.Array,
  reward: jax.Array,
  weight: jax.Array,
  noise_variance: ArrayLike,
  projected: jax.Array,
  direction: jax.Array,
) -> LinearState:
  """`learn`, given `projected` = root^T features [F] and `direction` = root projected [F]."""
  innovation_variance = weight * jnp.dot(projected, projected) + noise_variance
  gain = weight / innovation_variance
  shrink = gain / (1 + jnp.sqrt(noise_variance / innovation_variance))
  surprise = reward - jnp.dot(features, state.mean)
  mean, mean_rest = add(state.mean, state.mean_rest, gain * surprise * direction)
  steps = shrink * direction, projected
  root, root_rest = add(state.root, state.root_rest, -jnp.outer(*steps))
  if root_rest is not None:
    # The same once more from what XLA takes for other numbers. Else it keeps the step and the new
    # root in memory for both results, and reads and writes twice as much as to compute them again.
    steps = jax.lax.optimization_barrier(steps)
    _, root_rest = add(state.root, state.root_rest, -jnp.outer(*steps))
  return LinearState(mean, root, mean_rest, root_rest)


def add(
  total: jax.Array, rest: jax.Array | None, step: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
  """total + rest + step and what rounding takes from it (Knuth's two-sum), if that is kept."""
  if rest is None:
    return total + step, None
  step = rest + step
  new = total + step
  of_step = new - total
  return new, (total - (new - of_step)) + (step - of_step)


def forget(
  state: LinearState, lambda_: ArrayLike, prior_mean: ArrayLike, gamma: ArrayLike
) -> LinearState:
  """The posterior with precision gamma * precision + (1 - gamma) * prior precision.

  With C = gamma I + (1 - gamma) lambda root^T root the new root is root C^(-1/2): the eigenvalues
  of C lie in [gamma, 1], so nothing here is ill-conditioned, however sharp the posterior is.
  """
  eye = jnp.eye(len(state.mean), dtype=state.root.dtype)
  blend = gamma * eye + (1 - gamma) * lambda_ * (state.root.T @ state.root)
  factor = jnp.linalg.cholesky(blend)
  root = jax.scipy.linalg.solve_triangular(factor, state.root.T, lower=True).T
  outer = gamma * eye + (1 - gamma) * lambda_ * (state.root @ state.root.T)
  learnt = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(outer), True), state.mean - prior_mean)
  compensated = state.root_rest is not None
  return normal(jnp.asarray(prior_mean + gamma * learnt), root, compensated)


def quadratic_forms(features: jax.Array, root: jax.Array) -> jax.Array:
  """[K] variances x^T root root^T x of the rows x of `features` [K, F].

  Of few rows as one product of the packed outer products x x^T [K, F (F + 1) / 2] and the packed
  covariance: under `vmap` over seeds the first factor is shared, so it is one matrix product over
  all seeds with half the operations of |root^T x|^2. Of many rows the products fit no cache, and
  the norms are taken, chunk by chunk.
  """
  num_rows, width = features.shape
  if num_rows * width * (width + 1) // 2 > _MOST_PRODUCTS:
    return by_rows(lambda rows: jnp.sum((rows @ root) ** 2, axis=1), features, width)
  row, column = np.triu_indices(width)
  pairs = features[:, row] * features[:, column]
  covariance = (root @ root.T)[row, column] * np.where(row == column, 1, 2).astype(np.float32)
  return jnp.maximum(pairs @ covariance, 0)
