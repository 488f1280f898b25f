"""Recent popularity: counts in which an event is worth less the older it is.

Popularity by the time of the recommendation ranks far above that over all time (Ji et al. 2020, A
Re-visit of the Popularity Baseline in Recommender Systems, arXiv:2005.13829).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.models.baselines.events import Events

_DAY = 86_400


def fit(events: Events, *, half_life: float) -> jax.Array:
  """Counts of events, each worth 2^(-age / half-life) at the time of the last one.

  Args:
    events: to count.
    half_life: days after which an event is worth half, positive.

  Returns:
    [N] float32.

  Raises:
    ValueError: if `half_life` is not positive.
  """
  if not half_life > 0:
    raise ValueError(f'half_life={half_life} is not positive')
  age = (np.max(events.timestamp, initial=0) - events.timestamp) / _DAY
  worth = np.exp2(-age / half_life)
  return jnp.asarray(np.bincount(events.item, worth, events.num_items), jnp.float32)


def scores(counts: ArrayLike, histories: ArrayLike) -> jax.Array:
  """The counts [N] of `fit`, the same for each of histories [B, L]: [B, N] float32."""
  counts = jnp.asarray(counts)
  return jnp.broadcast_to(counts, (jnp.shape(histories)[0], len(counts)))
