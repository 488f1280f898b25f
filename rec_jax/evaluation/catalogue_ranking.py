"""Full ranking of a large catalogue by dot products, a bounded part of the scores at a time.

Of each user the scores of all N items are computed, and looked at once: for the largest of each
block of 64 items. The k best items lie in the k blocks with the largest of these, so what stands
before a target among the first k is counted within a few blocks, and all others are not touched.
(The selection is the first stage of the approximate search of Chern et al. 2022, "TPU-KNN", with as
many blocks kept as make it exact.)
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation import ranking
from rec_jax.evaluation.ranking import Places

# Scores held at once: 2^22 take 16 MiB, which caches hold in part, unless eight users have more.
_NUM_SCORES = 1 << 22
_FEWEST_USERS, _MOST_USERS = 8, 1024
_BLOCK = 64
# Blocks kept beyond k: where more items than these tie with a target, all scores are counted.
_SPARE_BLOCKS = 8


class Ranked(NamedTuple):
  """Of U users.

  Attributes:
    metrics: as `ranking.evaluate` returns them, {'recall@10': [U], ...}, without those that have no
      cutoff.
    top: [U, k] int32 items of the largest cutoff k, best first, of equals the lower index first; -1
      where none is left.
  """

  metrics: dict[str, np.ndarray]
  top: np.ndarray


def rank(
  users: ArrayLike,
  items: ArrayLike,
  targets: ArrayLike,
  seen_offsets: ArrayLike,
  seen_items: ArrayLike,
  cutoffs: Sequence[int] = (10,),
) -> Ranked:
  """Ranks the catalogue for every user and looks where the targets stand.

  The memory beside the arguments and the results is some times that of the scores of a part of the
  users: 16 MiB, or those of eight users where there are more than half a million items.

  Args:
    users: [U, D] float32 vectors.
    items: [N, D] float32 vectors; a score is the dot product.
    targets: [U, R] int item indices in [0, N), different within a user, padded with -1.
    seen_offsets: [U + 1] int, user u is not recommended seen_items[offsets[u] : offsets[u + 1]].
    seen_items: int item indices.
    cutoffs: values of k, at most N.

  Returns:
    The metrics and the lists.

  Raises:
    ValueError: shapes do not fit, a cutoff is out of range, or a vector is not finite.
  """
  users, items = np.asarray(users, np.float32), np.asarray(items, np.float32)
  targets, offsets = np.asarray(targets, np.int32), np.asarray(seen_offsets)
  k = max(cutoffs)
  _check(users, items, targets, offsets, k)
  num_items = len(items)
  padded = jnp.asarray(np.pad(items, ((0, -num_items % _BLOCK), (0, 0))))
  size = int(np.clip(_NUM_SCORES // len(padded), _FEWEST_USERS, _MOST_USERS))
  better: list[np.ndarray] = []
  tied: list[np.ndarray] = []
  top: list[np.ndarray] = []
  for start in range(0, len(users), size):
    # The last part is padded by repeating a user, so that nothing is compiled twice.
    rows = np.minimum(np.arange(start, start + size), len(users) - 1)
    seen = _padded_seen(offsets, np.asarray(seen_items), rows)
    part = users[rows], padded, targets[rows], seen, num_items
    *places, best, lacks = _rank_part(*part, k)
    if lacks:
      places = _count_all(*part)
    for whole, each in zip((better, tied, top), (*places, best), strict=True):
      whole.append(np.asarray(each))
  num_better, num_tied = (np.concatenate(each)[: len(users)] for each in (better, tied))
  metrics = ranking.evaluate(Places(num_better, num_tied, targets >= 0), cutoffs)
  # What stands before a target beyond the first k is not counted to its end.
  del metrics['mrr']
  return Ranked(metrics, np.concatenate(top)[: len(users)])


@functools.partial(jax.jit, static_argnames=('num_items', 'k'))
def _rank_part(
  users: jax.Array, items: jax.Array, targets: jax.Array, seen: jax.Array, num_items: int, k: int
) -> tuple[jax.Array, ...]:
  """better [B, R], tied [B, R] and top [B, k] of B users, and whether there are too many ties."""
  size, width = len(users), len(items)
  scores, own, found = _scores(users, items, targets, seen, num_items)
  blocks = scores.reshape(size, width // _BLOCK, _BLOCK)
  largest, chosen = jax.lax.top_k(blocks.max(-1), min(k + _SPARE_BLOCKS, width // _BLOCK))
  # In the order of the catalogue, so that of equals the lower index is met first.
  chosen = jnp.sort(chosen, axis=1)
  kept = jnp.take_along_axis(blocks, chosen[..., None], axis=1).reshape(size, -1)
  better = (kept[:, None] > own[..., None]).sum(-1)
  tied = (kept[:, None] == own[..., None]).sum(-1)
  values, place = jax.lax.top_k(kept, k)
  item = jnp.take_along_axis(chosen, place // _BLOCK, axis=1) * _BLOCK + place % _BLOCK
  top = jnp.where(values > -jnp.inf, item, -1).astype(jnp.int32)
  # Items at least as good as a target may lie elsewhere if all kept blocks have such items. They
  # matter unless k items are better.
  lacks = found & (largest[:, -1:] >= own) & (better < k)
  return jnp.where(found, better, 0), jnp.where(found, tied, 0), top, lacks.any()


@functools.partial(jax.jit, static_argnames='num_items')
def _count_all(
  users: jax.Array, items: jax.Array, targets: jax.Array, seen: jax.Array, num_items: int
) -> tuple[jax.Array, jax.Array]:
  """better [B, R] and tied [B, R] by all scores."""
  scores, own, found = _scores(users, items, targets, seen, num_items)

  def count(target: jax.Array) -> tuple[jax.Array, jax.Array]:
    return (scores > target[:, None]).sum(-1), (scores == target[:, None]).sum(-1)

  # One target after another, so that no more than the scores are held.
  better, tied = jax.lax.map(count, own.T)
  return jnp.where(found, better.T, 0), jnp.where(found, tied.T, 0)


def _scores(
  users: jax.Array, items: jax.Array, targets: jax.Array, seen: jax.Array, num_items: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Scores [B, N], -inf where not recommended, those of targets [B, R], and which can be found."""
  scores = jnp.matmul(users, items.T, precision=jax.lax.Precision.HIGHEST)
  padding = jnp.broadcast_to(
    jnp.arange(num_items, len(items)), (len(users), len(items) - num_items)
  )
  left_out = jnp.concatenate([seen, padding.astype(seen.dtype)], axis=1)
  # One scatter, which XLA does in place, where two would copy the scores.
  scores = scores.at[jnp.arange(len(users))[:, None], left_out].set(-jnp.inf, mode='drop')
  own = jnp.take_along_axis(scores, jnp.maximum(targets, 0), axis=1)
  return scores, own, (targets >= 0) & (own > -jnp.inf)


def _padded_seen(offsets: np.ndarray, seen_items: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """[B, S] items, padded with a number beyond all of them; S is a power of two."""
  begin, count = offsets[rows], offsets[rows + 1] - offsets[rows]
  width = 1 << int(max(count.max(initial=0) - 1, 0)).bit_length()
  seen = np.full((len(rows), width), np.iinfo(np.int32).max, np.int32)
  is_item = np.arange(width) < count[:, None]
  within = (begin[:, None] + np.arange(width))[is_item]
  seen[is_item] = seen_items[within]
  return seen


def _check(
  users: np.ndarray, items: np.ndarray, targets: np.ndarray, offsets: np.ndarray, k: int
) -> None:
  shapes = users.shape, items.shape, targets.shape, offsets.shape
  if (
    users.ndim != 2
    or items.ndim != 2
    or users.shape[1] != items.shape[1]
    or targets.ndim != 2
    or not len(users) == len(targets) == len(offsets) - 1
    or not len(users)
  ):
    raise ValueError(
      'expected users [U, D], items [N, D], targets [U, R] and seen_offsets [U + 1], got '
      f'{", ".join(map(str, shapes))}'
    )
  if not 0 < k <= len(items):
    raise ValueError(f'k={k} is not in 1..{len(items)}, the number of items')
  if not np.isfinite(users).all() or not np.isfinite(items).all():
    raise ValueError('a vector of a user or an item is not finite: its scores have no order')
