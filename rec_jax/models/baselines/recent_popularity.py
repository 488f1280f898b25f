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
  found = counts(events.item, events.timestamp, events.num_items, half_life * _DAY)
  return jnp.asarray(found, jnp.float32)


def counts(item: np.ndarray, time: np.ndarray, num_items: int, half_life: float) -> np.ndarray:
  """[N] float64, events of items [E] at times [E], halved with each half-life, in units of time."""
  age = (np.max(time, initial=0) - time) / half_life
  return np.bincount(item, np.exp2(-age), num_items)


def scores(params: ArrayLike, histories: ArrayLike) -> jax.Array:
  """The counts [N] of `fit`, the same for each of histories [B, L]: [B, N] float32."""
  params = jnp.asarray(params)
  return jnp.broadcast_to(params, (jnp.shape(histories)[0], len(params)))
