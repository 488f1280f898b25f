"""Full ranking of a large catalogue by dot products, a bounded part of the scores at a time.

Of each user the scores of all N items are computed, and looked at once: for the largest of each
block of 64 items. The k best items lie in the k blocks with the largest of these, so what stands
before a target among the first k is counted within a few blocks, and all others are not touched.
(The selection is the first stage of the approximate search of Chern et al. 2022, "TPU-KNN", with as
many blocks kept as make it exact.)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.ranking import Places

# Scores held at once: 2^24 take 64 MiB, unless eight users have more.
_NUM_SCORES = 1 << 24
_FEWEST_USERS, _MOST_USERS = 8, 1024
_BLOCK = 64
# Blocks kept beyond k: where more items than these tie with a target, all scores are counted.
_SPARE_BLOCKS = 8


class Ranked(NamedTuple):
  """Of U users.

  Attributes:
    places: [U, R] of the targets, exact for those that may be among the first k; where at least k
      items are better, `better` may be any number from k to that of these.
    top: [U, k] int32 items, best first, of equals the lower index first; -1 where none is left.
  """

  places: Places
  top: np.ndarray


def rank(
  users: ArrayLike,
  items: ArrayLike,
  targets: ArrayLike,
  seen_offsets: ArrayLike,
  seen_items: ArrayLike,
  k: int = 10,
) -> Ranked:
  """Ranks the catalogue for every user and looks where the targets stand.

  The memory beside the arguments and the results is that of the scores of a part of the users:
  64 MiB, or those of eight users where one has more than two million items.

  Args:
    users: [U, D] float32 vectors.
    items: [N, D] float32 vectors; a score is the dot product.
    targets: [U, R] int item indices in [0, N), different within a user, padded with -1.
    seen_offsets: [U + 1] int, user u is not recommended seen_items[offsets[u] : offsets[u + 1]].
    seen_items: int item indices.
    k: the largest cutoff that the places will be used with, at most N.

  Returns:
    What `ranking.evaluate` turns into metrics at cutoffs up to k ('mrr' without one is not among
    them), and the lists.

  Raises:
    ValueError: shapes do not fit, k is out of range, or a vector is not finite.
  """
  users, items = np.asarray(users, np.float32), np.asarray(items, np.float32)
  targets, offsets = np.asarray(targets, np.int32), np.asarray(seen_offsets)
  _check(users, items, targets, offsets, k)
  num_items = len(items)
  padded = jnp.asarray(np.pad(items, ((0, -num_items % _BLOCK), (0, 0))))
  size = int(np.clip(_NUM_SCORES // len(padded), _FEWEST_USERS, _MOST_USERS))
  parts = []
  for start in range(0, len(users), size):
    # The last part is padded by repeating a user, so that nothing is compiled twice.
    rows = np.minimum(np.arange(start, start + size), len(users) - 1)
    seen = _padded_seen(offsets, np.asarray(seen_items), rows)
    parts.append(_rank_part(users[rows], padded, targets[rows], seen, num_items, k))
  better, tied, top = (
    np.concatenate([np.asarray(part) for part in each])[: len(users)]
    for each in zip(*parts, strict=True)
  )
  return Ranked(Places(better, tied, targets >= 0), top)


@functools.partial(jax.jit, static_argnames=('num_items', 'k'))
def _rank_part(
  users: jax.Array, items: jax.Array, targets: jax.Array, seen: jax.Array, num_items: int, k: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """better [B, R], tied [B, R] and top [B, k] of B users."""
  size, width = len(users), len(items)
  scores = jnp.matmul(users, items.T, precision=jax.lax.Precision.HIGHEST)
  scores = scores.at[:, num_items:].set(-jnp.inf)
  scores = scores.at[jnp.arange(size)[:, None], seen].set(-jnp.inf, mode='drop')
  own = jnp.take_along_axis(scores, jnp.maximum(targets, 0), axis=1)
  found = (targets >= 0) & (own > -jnp.inf)
  blocks = scores.reshape(size, width // _BLOCK, _BLOCK)
  largest, chosen = jax.lax.top_k(blocks.max(-1), min(k + _SPARE_BLOCKS, width // _BLOCK))
  # In the order of the catalogue, so that of equals the lower index is met first.
  chosen = jnp.sort(chosen, axis=1)
  kept = jnp.take_along_axis(blocks, chosen[..., None], axis=1).reshape(size, -1)
  better = (kept[:, None] > own[..., None]).sum(-1)
  tied = (kept[:, None] == own[..., None]).sum(-1)
  # Items at least as good as a target may lie elsewhere if all kept blocks have such items. They
  # matter unless k items are better.
  lacks = found & (largest[:, -1:] >= own) & (better < k)

  def count(target: jax.Array) -> tuple[jax.Array, jax.Array]:
    return (scores > target[:, None]).sum(-1), (scores == target[:, None]).sum(-1)

  better, tied = jax.lax.cond(
    lacks.any(),
    lambda: jax.tree.map(jnp.transpose, jax.lax.map(count, own.T)),
    lambda: (better, tied),
  )
  values, place = jax.lax.top_k(kept, k)
  item = jnp.take_along_axis(chosen, place // _BLOCK, axis=1) * _BLOCK + place % _BLOCK
  top = jnp.where(values > -jnp.inf, item, -1).astype(jnp.int32)
  return jnp.where(found, better, 0), jnp.where(found, tied, 0), top


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
