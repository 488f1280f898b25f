"""Starting a bandit from a log: what its `update` is given, and how it begins.

Any policy learns from a log by its own `update` with the logged rows as feedback, then `refresh`:

  feedback = Feedback(..., weight=importance_weights(propensity, num_candidates))
  policy = bandits.make('lin_ucb', alpha=pessimistic_start(1.0, num_logged + 500))
  state = policy.refresh(key, policy.update(key, state, feedback))
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.hyperparameters import Schedule, check_range


def importance_weights(
  propensity: jax.Array, num_candidates: ArrayLike, max_weight: ArrayLike = 10.0
) -> jax.Array:
  """Weights of logged rows that make them count as if candidates had been shown uniformly.

  A belief that fits its model where it is right needs none: weights of 1 use the log best. Where it
  is wrong, as a linear one may be, it fits what was shown most, and these weights undo that.

  Args:
    propensity: [B] in (0, 1], of the logged candidate.
    num_candidates: [] or [B], how many there were to choose from.
    max_weight: at which they are clipped, before they are scaled.

  Returns:
    [B] of mean 1, so that the log is as much evidence as its rows are.
  """
  weight = jnp.minimum(1 / (num_candidates * propensity), max_weight)
  return weight / weight.mean()


def pessimistic_start(alpha: ArrayLike, until: ArrayLike) -> Schedule:
  """The width of `ucb`: lower bounds at first, which trust what was logged, then upper ones.

  Lower bounds never do worse than the log supports and soon stop learning; upper bounds look at
  what was not logged, which only pays in the long run (Rashidinejad et al. 2021; Sentenac, Lee &
  Szepesvari 2025).

  Args:
    alpha: width, in standard deviations.
    until: rows of feedback, logged ones included, from which on bounds are upper ones.

  Returns:
    An Optax schedule of the rows of feedback so far.

  Raises:
    InputError: alpha or until is negative.
  """
  check_range('alpha', alpha, 0)
  check_range('until', until, 0)
  return lambda count: jnp.where(jnp.less(count, until), -1.0, 1.0) * alpha
