"""Item-kNN: items that the same users chose (Sarwar et al. 2001; Deshpande & Karypis 2004)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events

# Similarities that are held at once on the host: with their order 0.5 GB.
_MOST = 2**24


@struct.dataclass
class Neighbours:
  """The nearest items of each item.

  Attributes:
    item: [N, k] int32, the nearest first.
    similarity: [N, k] float32, 0 where there are fewer with a user in common.
  """

  item: jax.Array
  similarity: jax.Array


def fit(events: Events, *, k: int, shrink: float = 0.0) -> Neighbours:
  """Cosines of the columns of the event matrix, shrunk: n_ij / (sqrt(n_i n_j) + shrink).

  Computed some rows of the sparse product at a time, so that no matrix of N^2 is ever held.

  Args:
    events: to count.
    k: neighbours that are kept of each item, at most N - 1 of use.
    shrink: users that a similarity has to have in common to count, 0 or more (Bell & Koren 2007).

  Raises:
    ValueError: if `k` is no count or `shrink` is negative.
  """
  if k < 1 or not shrink >= 0:
    raise ValueError(f'k={k} and shrink={shrink} must be 1 or more and 0 or more')
  by_item = events.matrix.T.tocsr()
  norm = np.sqrt(np.diff(by_item.indptr))
  k = min(k, events.num_items)
  near = np.zeros((events.num_items, k), np.int32)
  similarity = np.zeros((events.num_items, k), np.float32)
  height = max(1, _MOST // events.num_items)
  for start in range(0, events.num_items, height):
    common = (by_item[start : start + height] @ events.matrix).toarray()
    rows = np.arange(len(common))
    common[rows, start + rows] = 0
    cosine = common / np.maximum(norm[start + rows, None] * norm + shrink, 1e-9)
    near[start + rows] = np.argsort(-cosine, axis=1, kind='stable')[:, :k]
    similarity[start + rows] = np.take_along_axis(cosine, near[start + rows], axis=1)
  return Neighbours(jnp.asarray(near), jnp.asarray(similarity))


def scores(params: Neighbours, histories: ArrayLike) -> jax.Array:
  """Sum of the similarities of each item to those of its neighbours that are in the history.

  Args:
    params: from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  seen = ease.recency_weights(jnp.asarray(histories), 1.0, len(params.item))

  def add(total: jax.Array, near: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    item, similarity = near
    return total + seen[:, item] * similarity, None

  # One neighbour after another: all at once would take k numbers for each score.
  return jax.lax.scan(add, jnp.zeros_like(seen), (params.item.T, params.similarity.T))[0]
