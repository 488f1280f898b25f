"""What accuracy does not show: how widely, how new and how varied the recommendations are.

Metrics of the catalogue take `counts` [N], how often each item was shown over all users. Metrics
of one list take its `items` [k], best first, padded with -1; the caller vmaps over users.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def exposure_counts(items: ArrayLike, num_items: int) -> jax.Array:
  """How often each item was shown.

  Args:
    items: [...] int item indices in [0, N), padded with -1.
    num_items: N.

  Returns:
    [N] int32.
  """
  items = jnp.ravel(items)
  index = jnp.where(items >= 0, items, num_items)
  return jnp.zeros(num_items, jnp.int32).at[index].add(1, mode='drop')


def distinct_items(counts: ArrayLike) -> jax.Array:
  """Number of items of `counts` [N] shown at least once."""
  return items_with_exposure(counts, at_least=1)


def items_with_exposure(counts: ArrayLike, at_least: int = 10) -> jax.Array:
  """Number of items of `counts` [N] shown `at_least` times: enough to have learnt about."""
  return jnp.sum(jnp.asarray(counts) >= at_least)


def item_coverage(counts: ArrayLike) -> jax.Array:
  """Share of the catalogue shown at least once, from `counts` [N]."""
  return jnp.mean(jnp.asarray(counts) >= 1)


def gini_index(counts: ArrayLike) -> jax.Array:
  """Inequality of exposure: 0 when all items are shown alike, 1 - 1/N when only one is.

  Args:
    counts: [N], items never shown included.

  Returns:
    [] sum_i (2 i - N - 1) c_(i) / (N sum c) over ascending counts c_(i); NaN without exposure.
  """
  shares = jnp.sort(_shares(counts))
  num_items = shares.shape[0]
  place = jnp.arange(1, num_items + 1)
  return jnp.sum((2 * place - num_items - 1) / num_items * shares)


def shannon_entropy(counts: ArrayLike) -> jax.Array:
  """Entropy of the exposure of `counts` [N] in nats: from 0 to log N; NaN without exposure."""
  shares = _shares(counts)
  return -jnp.sum(jax.scipy.special.xlogy(shares, shares))


def cold_share(counts: ArrayLike, is_cold: ArrayLike) -> jax.Array:
  """Share of all exposure that went to cold items.

  Args:
    counts: [N].
    is_cold: [N] bool, True for items without any interaction in training.

  Returns:
    [] in [0, 1]; NaN without exposure.
  """
  return jnp.sum(jnp.where(is_cold, _shares(counts), 0))


def average_popularity(items: ArrayLike, popularity: ArrayLike) -> jax.Array:
  """Mean popularity of one list.

  Args:
    items: [k].
    popularity: [N] interactions of each item in training.

  Returns:
    [] in interactions; NaN for an empty list, as for `mean_inv_user_freq` and `serendipity`.
  """
  return _list_mean(jnp.asarray(popularity)[jnp.asarray(items)], items)


def mean_inv_user_freq(items: ArrayLike, users_of_item: ArrayLike, num_users: int) -> jax.Array:
  """Novelty of one list: mean of -log2(users of the item / all users) (Castells et al. 2011).

  Args:
    items: [k].
    users_of_item: [N] users who interacted with each item in training; 0 counts as 1, so that
      the novelty of a cold item is finite.
    num_users: all users of training.

  Returns:
    [] in bits.
  """
  users = jnp.maximum(jnp.asarray(users_of_item)[jnp.asarray(items)], 1)
  return _list_mean(jnp.log2(num_users / users), items)


def intra_list_diversity(items: ArrayLike, vectors: ArrayLike) -> jax.Array:
  """Mean cosine distance over the pairs of one list (Ziegler et al. 2005, equation 1).

  Args:
    items: [k].
    vectors: [N, D] item vectors; their length plays no part.

  Returns:
    [] in [0, 2]; NaN for fewer than two items.
  """
  items = jnp.asarray(items)
  chosen = jnp.asarray(vectors)[items]
  chosen = chosen / jnp.maximum(jnp.linalg.norm(chosen, axis=-1, keepdims=True), 1e-12)
  valid = items >= 0
  pairs = valid[:, None] & valid & ~jnp.eye(items.shape[0], dtype=bool)
  return jnp.sum(jnp.where(pairs, 1 - chosen @ chosen.T, 0)) / jnp.sum(pairs)


def serendipity(items: ArrayLike, relevant: ArrayLike, popularity: ArrayLike) -> jax.Array:
  """How much higher one list ranks relevant items than popularity does.

  The mean over the list of max(p_user - p_any, 0) for relevant items, where p = (N + 1 - rank) / N
  with the rank in the list and by popularity; items of equal popularity share a rank, the next
  lower popularity takes the next rank, and an item without interactions has p_any = 0. This is the
  definition of RecTools.

  Args:
    items: [k].
    relevant: [N] bool, what the user liked in the held-out data.
    popularity: [N] interactions of each item in training.

  Returns:
    [] in [0, 1].
  """
  items, popularity = jnp.asarray(items), jnp.asarray(popularity)
  num_items = popularity.shape[0]
  by_user = (num_items - jnp.arange(items.shape[0])) / num_items
  by_any = jnp.where(popularity > 0, (num_items + 1 - _dense_ranks(popularity)) / num_items, 0)
  surprise = jnp.maximum(by_user - by_any[items], 0)
  return _list_mean(surprise * jnp.asarray(relevant)[items], items)


def _shares(counts: ArrayLike) -> jax.Array:
  counts = jnp.asarray(counts, jnp.float32)
  return counts / counts.sum()


def _list_mean(values: jax.Array, items: ArrayLike) -> jax.Array:
  return jnp.mean(values, where=jnp.asarray(items) >= 0)


def _dense_ranks(values: jax.Array) -> jax.Array:
  """Ranks from 1 for the highest; equal values share one and no rank is left out."""
  ascending = jnp.sort(values)
  is_new = jnp.concatenate([jnp.zeros(1, bool), ascending[1:] != ascending[:-1]])
  level = jnp.cumsum(is_new)
  return level[-1] - level[jnp.searchsorted(ascending, values)] + 1
