"""EXP4: exponential weights over policies, by what each would have earned."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Policy
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.mixture import Master, mixture
from rec_jax.types import Feedback


def exp4(
  policies: Sequence[Policy], learning_rate: ArrayLike = 0.1, mixing: ArrayLike = 0.1
) -> Policy:
  """EXP4 (Auer et al. 2002, section 7) with policies that learn as experts.

  A policy is credited with reward * (its probability of the choice) / (that of the mixture),
  whichever policy was followed. Auer et al. mix in uniform actions; here each policy keeps a share,
  and the uniform policy may be one of them.

  Args:
    policies: P experts.
    learning_rate: of the exponential weights, > 0.
    mixing: share that is spread evenly over the policies, in (0, 1].

  Returns:
    A policy for rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """
  check_range('learning_rate', learning_rate, 0, open_low=True)
  check_range('mixing', mixing, 0, 1, open_low=True)

  def shares(log_weights: jax.Array) -> jax.Array:
    return (1 - jnp.asarray(mixing)) * jax.nn.softmax(log_weights) + mixing / len(log_weights)

  def update(log_weights: jax.Array, feedback: Feedback) -> jax.Array:
    counted = feedback.weight != 0
    earned = learning_rate * feedback.weight * feedback.reward
    gain = earned[:, None] * feedback.info.likelihood
    return log_weights + jnp.sum(jnp.where(counted[:, None], gain, 0), axis=0)

  return mixture(policies, Master(jnp.zeros, shares, update, reads_likelihood=True))
