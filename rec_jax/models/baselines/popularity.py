"""Popularity: the same scores for everyone, the posterior mean of each item's reward."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

# Before any event an item pleases one user in ten, and ten users' worth of data outweighs that.
PRIOR_POSITIVES = 1.0
PRIOR_NEGATIVES = 9.0


@struct.dataclass
class Popularity:
  """A Beta posterior of the probability that an item pleases a user.

  Attributes:
    alpha: [N] float32, 1 + positives.
    beta: [N] float32, 9 + trials - positives.
  """

  alpha: jax.Array
  beta: jax.Array


def fit(item: np.ndarray, reward: np.ndarray, trials: ArrayLike, num_items: int) -> Popularity:
  """Counts positives; with a reward of 1 for every event the order is that of the counts.

  Args:
    item: [E] int item indices in [0, N).
    reward: [E] in [0, 1].
    trials: [] or [N] users who could have been pleased by each item: all users, where an absent
      event counts as 0; the users who rated it, for the mean rating.
    num_items: N.

  Returns:
    The posterior under a Beta(1, 9) prior.

  Raises:
    ValueError: if an item has more positives than trials.
  """
  positives = np.bincount(item, reward, num_items)
  negatives = np.broadcast_to(trials, (num_items,)) - positives
  if (negatives < 0).any():
    worst = int(np.argmin(negatives))
    raise ValueError(f'item {worst} has {positives[worst]:g} positives, more than its trials')
  return Popularity(
    jnp.asarray(PRIOR_POSITIVES + positives, jnp.float32),
    jnp.asarray(PRIOR_NEGATIVES + negatives, jnp.float32),
  )


def scores(params: Popularity, histories: ArrayLike) -> jax.Array:
  """Posterior means, the same for every user.

  Args:
    params: from `fit`.
    histories: [B, L]; only B matters.

  Returns:
    [B, N] float32 in (0, 1).
  """
  mean = params.alpha / (params.alpha + params.beta)
  return jnp.broadcast_to(mean, (jnp.shape(histories)[0], mean.shape[0]))
