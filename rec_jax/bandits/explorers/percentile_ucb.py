"""Optimism by a percentile of what is believed."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jax.typing import ArrayLike

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.explorers.by_score import highest
from rec_jax.bandits.hyperparameters import check_range


def percentile_ucb(percentile: ArrayLike = 80.0) -> Explorer:
  """The highest percentile of the expected reward (BootstrappedUCB: Cortes 2018, algorithm 1).

  Of a belief with members it is that of the members, interpolated between two of them; of any
  other that of a normal distribution of its mean and variance (Bayes-UCB: Kaufmann et al. 2012).

  Args:
    percentile: in [0, 100]; of a normal distribution, 0 and 100 are infinite.

  Raises:
    InputError: percentile is out of range.
  """
  check_range('percentile', percentile, 0, 100)

  def bound(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del count, mask
    share = jnp.asarray(percentile) / 100
    if outlook.members is not None:
      return jnp.quantile(outlook.members, share, axis=0)
    return outlook.mean + ndtri(share) * jnp.sqrt(outlook.variance)

  return highest(bound)
