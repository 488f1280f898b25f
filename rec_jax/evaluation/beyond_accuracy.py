"""What accuracy does not show: how widely, how new and how varied the recommendations are.

Metrics of the catalogue take `counts` [N], how often each item was shown over all users. Metrics
of lists take their `items` [..., k], best first, padded with -1, and keep a value a list. All are
computed in float64 on the host: counts and popularities are large whole numbers.
"""

import numpy as np
from jax.typing import ArrayLike

# Whose vectors are held at once: 125 MB of ten items of width 384.
_LISTS = 4096


def exposure_counts(items: ArrayLike, num_items: int) -> np.ndarray:
  """How often each item was shown.

  Args:
    items: [...] int item indices in [0, N), padded with -1.
    num_items: N.

  Returns:
    [N] int64.
  """
  items = np.ravel(items)
  return np.bincount(items[items >= 0], minlength=num_items)


def item_coverage(counts: ArrayLike) -> float:
  """Share of the catalogue shown at least once, from `counts` [N]."""
  return float(np.mean(np.asarray(counts) >= 1))


def gini_index(counts: ArrayLike) -> float:
  """Inequality of exposure: 0 when all items are shown alike, 1 - 1/N when only one is.

  Args:
    counts: [N], items never shown included.

  Returns:
    sum_i (2 i - N - 1) c_(i) / (N sum c) over ascending counts c_(i); NaN without exposure.
  """
  shares = np.sort(_shares(counts))
  num_items = len(shares)
  place = np.arange(1, num_items + 1)
  return float(np.sum((2 * place - num_items - 1) / num_items * shares))


def shannon_entropy(counts: ArrayLike) -> float:
  """Entropy of the exposure of `counts` [N] in nats: from 0 to log N; NaN without exposure."""
  shares = _shares(counts)
  return float(-np.sum(shares * np.log(np.where(shares > 0, shares, 1))))


def cold_share(counts: ArrayLike, is_cold: ArrayLike) -> float:
  """Share of all exposure that went to cold items.

  Args:
    counts: [N].
    is_cold: [N] bool, True for items without any interaction in training.

  Returns:
    In [0, 1]; NaN without exposure.
  """
  return float(np.sum(np.where(is_cold, _shares(counts), 0)))


def average_popularity(items: ArrayLike, popularity: ArrayLike) -> np.ndarray:
  """Mean popularity of each list.

  Args:
    items: [..., k].
    popularity: [N] interactions of each item in training.

  Returns:
    [...] in interactions; NaN for an empty list, as for `mean_inv_user_freq` and `serendipity`.
  """
  return _list_mean(np.asarray(popularity, np.float64)[np.asarray(items)], items)


def mean_inv_user_freq(items: ArrayLike, users_of_item: ArrayLike, num_users: int) -> np.ndarray:
  """Novelty of each list: mean of -log2(users of the item / all users) (Castells et al. 2011).

  Args:
    items: [..., k].
    users_of_item: [N] users who interacted with each item in training; 0 counts as 1, so that
      the novelty of a cold item is finite.
    num_users: all users of training.

  Returns:
    [...] in bits.
  """
  users = np.maximum(np.asarray(users_of_item, np.float64)[np.asarray(items)], 1)
  return _list_mean(np.log2(num_users / users), items)


def intra_list_diversity(items: ArrayLike, vectors: ArrayLike) -> np.ndarray:
  """Mean cosine distance over the pairs of each list (Ziegler et al. 2005, equation 1).

  The sum of the cosines of all pairs follows from the length of the sum of the directions, so that
  no pair is looked at.

  Args:
    items: [..., k].
    vectors: [N, D] item vectors; their length plays no part, and one of length 0 is at right angles
      to all others.

  Returns:
    [...] in [0, 2]; NaN for fewer than two items.
  """
  items, vectors = np.asarray(items), np.asarray(vectors)
  lists = items.reshape(-1, items.shape[-1])
  # Some lists at a time: [Q, k, D] of many would be larger than the vectors.
  cosines = [
    _sum_of_cosines(lists[start : start + _LISTS], vectors)
    for start in range(0, len(lists), _LISTS)
  ]
  size = (lists >= 0).sum(-1)
  pairs = size * (size - 1)
  found = 1 - np.concatenate(cosines or [np.zeros(0)]) / np.maximum(pairs, 1)
  return np.where(pairs > 0, found, np.nan).reshape(items.shape[:-1])


def serendipity(items: ArrayLike, is_relevant: ArrayLike, popularity: ArrayLike) -> np.ndarray:
  """How much higher each list ranks relevant items than popularity does.

  The mean over the list of max(p_user - p_any, 0) for relevant items, where p = (N + 1 - rank) / N
  with the rank in the list and by popularity; items of equal popularity share a rank, the next
  lower popularity takes the next rank, and an item without interactions has p_any = 0. This is the
  definition of RecTools.

  Args:
    items: [..., k].
    is_relevant: [..., k] bool, whether the user liked each of these in the held-out data.
    popularity: [N] interactions of each item in training.

  Returns:
    [...] in [0, 1].
  """
  items, popularity = np.asarray(items), np.asarray(popularity)
  num_items = len(popularity)
  by_user = (num_items - np.arange(items.shape[-1])) / num_items
  # Level 0 is the lowest popularity; the highest has rank 1.
  levels, level = np.unique(popularity, return_inverse=True)
  by_any = np.where(popularity > 0, (num_items + 1 - (len(levels) - level)) / num_items, 0)
  surprise = np.maximum(by_user - by_any[items], 0)
  return _list_mean(surprise * np.asarray(is_relevant), items)


def _sum_of_cosines(lists: np.ndarray, vectors: np.ndarray) -> np.ndarray:
  """[Q] over the pairs of different places of lists [Q, k], by vectors [N, D]."""
  chosen = vectors[lists].astype(np.float64)
  chosen /= np.maximum(np.linalg.norm(chosen, axis=-1, keepdims=True), 1e-12)
  chosen = np.where((lists >= 0)[..., None], chosen, 0)
  return (chosen.sum(-2) ** 2).sum(-1) - (chosen**2).sum((-1, -2))


def _shares(counts: ArrayLike) -> np.ndarray:
  counts = np.asarray(counts, np.float64)
  total = counts.sum()
  return counts / total if total else np.full_like(counts, np.nan)


def _list_mean(values: np.ndarray, items: ArrayLike) -> np.ndarray:
  is_item = np.asarray(items) >= 0
  size = is_item.sum(-1)
  sums = np.where(is_item, values, 0).sum(-1)
  return np.where(size > 0, sums / np.maximum(size, 1), np.nan)
