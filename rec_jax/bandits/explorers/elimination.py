"""Choose evenly among all candidates that may still be the best."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.explorers.by_score import highest
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def elimination(alpha: Hyperparameter = 1.0) -> Explorer:
  """RegCB with elimination (Foster et al. 2018, algorithm 1); its optimistic form is `ucb`.

  Uniform over the candidates whose upper bound reaches the highest lower bound. Foster et al. find
  the bounds by regressions under a constraint on the loss; here they are alpha standard deviations
  of the belief, which for a linear one are the same ellipsoid.

  Args:
    alpha: width, a number >= 0 or an Optax schedule of the rows of feedback so far.

  Raises:
    InputError: alpha is negative.
  """
  check_range('alpha', alpha, 0)

  def may_be_best(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    width = value_at(alpha, count) * jnp.sqrt(outlook.variance)
    highest_lower = jnp.max(jnp.where(mask, outlook.mean - width, -jnp.inf))
    return (outlook.mean + width >= highest_lower).astype(jnp.float32)

  return highest(may_be_best)
