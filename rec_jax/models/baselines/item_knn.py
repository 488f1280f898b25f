"""Item-kNN: items that the same users chose (Sarwar et al. 2001; Deshpande & Karypis 2004)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events

# Similarities that are held at once on the host, beside those of one item: with their order 0.3 GB.
_MOST = 2**22


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

  Computed some rows of the sparse product at a time, and only where items have a user in common, so
  that no matrix of N^2 is ever held and time goes by the pairs that there are.

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
  # No more similarities of an item than products that make them.
  work = np.minimum(by_item @ np.diff(events.matrix.indptr), events.num_items)
  begins = np.flatnonzero(np.diff(np.cumsum(work) // _MOST)) + 1
  for rows in np.split(np.arange(events.num_items), begins):
    common = by_item[rows] @ events.matrix
    # Of equals the first in the catalogue is kept.
    common.sort_indices()
    for row, (start, stop) in zip(rows, itertools.pairwise(common.indptr), strict=True):
      item, count = common.indices[start:stop], common.data[start:stop]
      cosine = count / np.maximum(norm[row] * norm[item] + shrink, 1e-9)
      cosine[item == row] = 0
      best = np.argsort(-cosine, kind='stable')[:k]
      near[row, : len(best)], similarity[row, : len(best)] = item[best], cosine[best]
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
