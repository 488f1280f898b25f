"""Semantic ids: residual quantisation of text vectors into a few tokens an item.

As in TIGER (Rajput et al. 2023, 3.1) each level names the nearest centroid of what the levels
before it have left over, and one more token tells items apart whose other tokens agree. Codebooks
are made by k-means, level after level (residual vector quantisation, Juang & Gray 1982), in place
of TIGER's RQ-VAE: nothing is to be trained beside it, and each level takes from the squared error.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

# The most entries of a codebook, as TIGER has them.
_MOST_ENTRIES = 256
# Lloyd's iterations, of which the last ones move next to nothing; rows whose distances are held.
_ITERATIONS, _CHUNK = 30, 4096


@struct.dataclass
class SemanticIds:
  """The ids of N items, D tokens each.

  Attributes:
    tokens: [N, D] int32; token d counts from 0 within its level. No two rows are the same.
    sizes: how many tokens each of the D levels has.
  """

  tokens: np.ndarray
  sizes: tuple[int, ...] = struct.field(pytree_node=False)


def shape_of_codebooks(num_items: int) -> tuple[int, int]:
  """(levels, entries of each) that follow from the number of items.

  Two tokens could name all items, one at each entry; levels are added until there are N^1.5 names,
  so that few items share one. TIGER's 10,000 to 20,000 items have 3 levels of 256.

  >>> shape_of_codebooks(1682), shape_of_codebooks(1_000_000), shape_of_codebooks(1)
  ((3, 64), (4, 256), (1, 1))
  """
  bits = math.ceil(math.log2(max(num_items, 1)) / 2)
  entries = min(2**bits, _MOST_ENTRIES)
  if entries == 1:
    return 1, 1
  return math.ceil(1.5 * math.log2(num_items) / math.log2(entries)), entries


def fit(key: jax.Array, vectors: ArrayLike, num_levels: int, num_entries: int) -> jax.Array:
  """Codebooks by k-means of what is left over, level after level.

  Args:
    key: of the first centroids.
    vectors: [M, H] of the items to fit to, at least one.
    num_levels: C.
    num_entries: K; of fewer distinct vectors the entries that are too many are never used.

  Returns:
    [C, K, H] float32.
  """
  residual, codebooks = jnp.asarray(vectors, jnp.float32), []
  for level in jax.random.split(key, num_levels):
    centroids = _k_means(level, residual, num_entries)
    residual -= centroids[_nearest(centroids, residual)]
    codebooks.append(centroids)
  return jnp.stack(codebooks)


def encode(codebooks: ArrayLike, vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """The nearest entries of codebooks [C, K, H], level after level; the first one among equals.

  Args:
    codebooks: from `fit`.
    vectors: [N, H], of items that were fitted to or of others.

  Returns:
    (codes [N, C] int32, mean squared length of what is left over [C + 1], before the first level
    and after each).
  """
  residual, codes = jnp.asarray(vectors, jnp.float32), []
  left = [_mean_square(residual)]
  for centroids in jnp.asarray(codebooks):
    nearest = _nearest(centroids, residual)
    residual -= centroids[nearest]
    codes.append(nearest)
    left.append(_mean_square(residual))
  return np.stack([np.asarray(code) for code in codes], axis=1), np.array(left)


def unique(codes: np.ndarray, num_entries: int, first: np.ndarray) -> SemanticIds:
  """Ids out of codes: a last token counts the items that have the same ones.

  Args:
    codes: [N, C] from `encode`.
    num_entries: K of the codebooks.
    first: [N] bool, items that are counted before the others, so that their ids stay as they are
      whatever others come.
  """
  order = np.lexsort((np.arange(len(codes)), ~first, *codes.T[::-1]))
  ordered = codes[order]
  is_new = np.append(True, (ordered[1:] != ordered[:-1]).any(1))
  place = np.arange(len(codes))
  rank = np.empty(len(codes), np.int32)
  rank[order] = place - np.maximum.accumulate(np.where(is_new, place, 0))
  sizes = (*[num_entries] * codes.shape[1], int(rank.max()) + 1)
  return SemanticIds(np.concatenate([codes, rank[:, None]], axis=1).astype(np.int32), sizes)


def make(key: jax.Array, vectors: ArrayLike, known: np.ndarray) -> SemanticIds:
  """Ids of N items by their text: codebooks from the known ones, and the others by these.

  Args:
    key: of the codebooks.
    vectors: [N, H].
    known: [N] bool, items whose text may be learnt from, at least one.
  """
  vectors = np.asarray(vectors, np.float32)
  num_levels, num_entries = shape_of_codebooks(int(known.sum()))
  codebooks = fit(key, vectors[known], num_levels, num_entries)
  return unique(encode(codebooks, vectors)[0], num_entries, known)


def _mean_square(x: jax.Array) -> float:
  return float(jnp.mean(jnp.sum(x**2, axis=-1)))


@jax.jit
def _nearest(centroids: jax.Array, x: jax.Array) -> jax.Array:
  """[M] int32, the entry of [K, H] next to each of x [M, H]."""
  half_squares = jnp.sum(centroids**2, axis=-1) / 2

  def of_row(row: jax.Array) -> jax.Array:
    return jnp.argmin(half_squares - centroids @ row).astype(jnp.int32)

  return jax.lax.map(of_row, x, batch_size=_CHUNK)


@functools.partial(jax.jit, static_argnames='num_entries')
def _k_means(key: jax.Array, x: jax.Array, num_entries: int) -> jax.Array:
  """[K, H]: Lloyd 1982 from the seeds of k-means++; an entry without a row stays where it is."""

  def step(_: jax.Array, centroids: jax.Array) -> jax.Array:
    nearest = _nearest(centroids, x)
    number = jax.ops.segment_sum(jnp.ones(len(x)), nearest, num_entries)[:, None]
    total = jax.ops.segment_sum(x, nearest, num_entries)
    return jnp.where(number > 0, total / jnp.maximum(number, 1), centroids)

  return jax.lax.fori_loop(0, _ITERATIONS, step, _seeds(key, x, num_entries))


def _seeds(key: jax.Array, x: jax.Array, num_entries: int) -> jax.Array:
  """K rows, each drawn by its squared distance to those before (Arthur & Vassilvitskii 2007)."""
  first, *_ = keys = jax.random.split(key, num_entries)
  start = jax.random.randint(first, (), 0, len(x))
  seeds = jnp.zeros((num_entries, x.shape[1])).at[0].set(x[start])

  def add(place: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    seeds, distance = state
    # Where every row is a seed already any will do: all logits are alike.
    chosen = jax.random.categorical(keys[place], jnp.log(jnp.maximum(distance, 1e-30)))
    seeds = seeds.at[place].set(x[chosen])
    return seeds, jnp.minimum(distance, jnp.sum((x - x[chosen]) ** 2, axis=-1))

  distance = jnp.sum((x - x[start]) ** 2, axis=-1)
  return jax.lax.fori_loop(1, num_entries, add, (seeds, distance))[0]
