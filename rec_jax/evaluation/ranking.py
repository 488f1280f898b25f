"""Ranking metrics of lists over the whole catalogue, exact in float64.

A list is given as full scores [N] with a mask of the items that may be recommended (what the user
has seen is excluded) and the held-out targets [R], padded with -1. `places` counts, on the device,
how many items stand before each target and how many share its score; `evaluate` turns these whole
numbers into metrics on the host, in float64.

Ties: each metric is its mean over all orders of items of equal score, in closed form (the metrics
of McSherry & Najork 2008, "Computing information retrieval performance measures efficiently in the
presence of tied scores", and the same for MRR and hit). So no metric depends on the order of the
items, and a model that gives every item one score gets what chance gets. The worst of the orders
would do so as well, but counts scores against a model for being whole numbers, such as popularity.
NaN is no score: a target with it stands behind all other items, those with NaN included.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


class Places(NamedTuple):
  """Where R targets stand in lists, of any leading shape.

  Attributes:
    better: [..., R] int, allowed items with a higher score.
    tied: [..., R] int, allowed items with the score of the target, itself included: it takes one of
      the ranks better + 1 to better + tied, each alike; 0 where the mask excludes the target, which
      is then never found.
    valid: [..., R] bool, False for padding.
  """

  better: ArrayLike
  tied: ArrayLike
  valid: ArrayLike


def places(scores: ArrayLike, mask: ArrayLike, targets: ArrayLike) -> Places:
  """Counts what stands before the targets of one list; the caller vmaps over users.

  Args:
    scores: [N] higher is better; NaN is worst.
    mask: [N] bool, False for items that are not recommended.
    targets: [R] int item indices in [0, N), all different, padded with -1.

  Returns:
    The places of the targets, [R] each.
  """
  scores, mask, targets = jnp.asarray(scores), jnp.asarray(mask), jnp.asarray(targets)
  if scores.ndim != 1 or scores.shape != mask.shape or targets.ndim != 1:
    raise ValueError(
      f'expected scores [N], mask [N] and targets [R], got {scores.shape}, {mask.shape} and '
      f'{targets.shape}; vmap over users'
    )
  num_items = scores.shape[0]
  scores = _without_nan(scores)
  is_target = jnp.zeros(num_items, bool).at[_or_dropped(targets, num_items)].set(True, mode='drop')
  own = scores[targets][:, None]
  is_nan = own == -jnp.inf
  better = mask & ((scores > own) | (is_nan & ~is_target))
  tied = mask & (scores == own) & (is_target | ~is_nan)
  valid = targets >= 0
  found = valid & mask[targets]
  return Places(jnp.where(found, better.sum(-1), 0), jnp.where(found, tied.sum(-1), 0), valid)


def evaluate(where: Places, cutoffs: Sequence[int] = (10,)) -> dict[str, np.ndarray]:
  """Every metric at every cutoff.

  Args:
    where: places of R targets in lists of any leading shape [...].
    cutoffs: the values of k.

  Returns:
    {'recall@10': [...], ...} float64 for all `METRICS` and cutoffs, and 'mrr' without a cutoff. All
    are NaN for a list without targets, which has to be left out.
  """
  blocks = _blocks(where)
  values = {f'{name}@{k}': _value(blocks, name, k) for name in METRICS for k in cutoffs}
  return values | {'mrr': _value(blocks, 'mrr', math.inf)}


def one_metric(where: Places, name: str, k: float) -> np.ndarray:
  """One of the `METRICS` alone, as `evaluate` has it: a twentieth of its time for NDCG."""
  return _value(_blocks(where), name, k)


def top_k(scores: ArrayLike, mask: ArrayLike, k: int) -> tuple[jax.Array, jax.Array]:
  """The k best allowed items of one list, the lower index first among equals.

  Args:
    scores: [N] higher is better; NaN is worst.
    mask: [N] bool, False for items that are not recommended.
    k: length of the list, at most N.

  Returns:
    (scores [k], items [k] int32), filled with (-inf, -1) where fewer than k items are allowed.
  """
  scores = jnp.asarray(scores)
  if not 0 < k <= scores.shape[-1]:
    raise ValueError(f'k={k} is not in 1..{scores.shape[-1]}, the number of items')
  # Allowed items stay above the excluded ones whatever their score.
  lowest = jnp.finfo(scores.dtype).min
  allowed = jnp.maximum(jnp.where(jnp.isnan(scores), lowest, scores), lowest)
  values, items = jax.lax.top_k(jnp.where(mask, allowed, -jnp.inf), k)
  return values, jnp.where(values > -jnp.inf, items, -1).astype(jnp.int32)


class _Blocks(NamedTuple):
  """Targets from the best to the worst, with the block of equal scores that each is in.

  Attributes:
    better: [..., R] float64, items before the block.
    size: [..., R] float64, items of the block.
    found: [..., R] bool, False for padding and for targets that are never found; these come last.
    above: [..., R] float64, targets before the block.
    among: [..., R] float64, targets of the block.
    number: [...] int, all targets, found or not.
  """

  better: np.ndarray
  size: np.ndarray
  found: np.ndarray
  above: np.ndarray
  among: np.ndarray
  number: np.ndarray


def _recall(blocks: _Blocks, k: float) -> np.ndarray:
  """Share of the targets within the first k; the denominator is their number, not min(k, R)."""
  return _hits(blocks, k).sum(-1) / blocks.number


def _precision(blocks: _Blocks, k: float) -> np.ndarray:
  """Share of the first k that are targets; the denominator is k, however short the list is."""
  return _hits(blocks, k).sum(-1) / k


def _hit(blocks: _Blocks, k: float) -> np.ndarray:
  """1 if any target is within the first k, else 0.

  Of the best block with a target the first n = k - better are within: none of its m targets is
  among them with the hypergeometric probability C(size - n, m) / C(size, m).
  """
  better, size, among, found = (x[..., 0] for x in (*blocks[:2], blocks.among, blocks.found))
  within = np.clip(k - better, 0, size)
  missed = np.ones_like(better)
  for drawn in range(int(among.max(initial=0))):
    chance = np.maximum(size - within - drawn, 0) / (size - drawn)
    missed = np.where(drawn < among, missed * chance, missed)
  return np.where(found, 1 - missed, 0.0)


def _ndcg(blocks: _Blocks, k: float) -> np.ndarray:
  """Normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen 2002).

  The ideal list holds min(k, R) targets at its top.
  """
  discounts = _cumulative(blocks, lambda rank: 1 / np.log2(1 + rank))
  begin, end = _within(blocks, k)
  gains = np.where(blocks.found, (discounts[end] - discounts[begin]) / blocks.size, 0)
  return gains.sum(-1) / discounts[np.minimum(k, blocks.number).astype(int)]


def _mrr(blocks: _Blocks, k: float) -> np.ndarray:
  """Reciprocal rank of the first target, 0 beyond k.

  The first of m targets in the best block stands at place j of it with probability
  C(size - j, m - 1) / C(size, m), which is m / size for j = 1.
  """
  first = np.stack([x[..., 0] for x in (blocks.better, blocks.size, blocks.among)], axis=-1)
  cases, place = np.unique(first.reshape(-1, 3), axis=0, return_inverse=True)
  values = np.array([_first_of_block(b, s, m, k) for b, s, m in cases.tolist()])
  return np.where(blocks.found[..., 0], values[place.reshape(first.shape[:-1])], 0.0)


def _first_of_block(better: float, size: float, among: float, k: float) -> float:
  last = int(min(size - among + 1, k - better))
  if among == 0 or last < 1:
    return 0.0
  j = np.arange(1, last + 1)
  following = (size - j - among + 1)[:-1] / (size - j)[:-1]
  chance = among / size * np.cumprod(np.concatenate([[1.0], following]))
  return float((chance / (better + j)).sum())


def _average_precision(blocks: _Blocks, k: float) -> np.ndarray:
  """Mean over targets of the precision at each one's rank; its mean over users is MAP@k.

  The denominator is min(k, R), so that a perfect list gives 1. A target at rank r has before it all
  targets of better blocks, and of the m - 1 others of its own block (r - better - 1) / (size - 1)
  on average; summed over r it takes harmonic numbers alone.
  """
  harmonic = _cumulative(blocks, lambda rank: 1 / rank)
  begin, end = _within(blocks, k)
  inverse = harmonic[end] - harmonic[begin]
  others = (blocks.among - 1) / np.maximum(blocks.size - 1, 1)
  precision = (blocks.above + 1) * inverse
  precision += others * ((end - begin) - (blocks.better + 1) * inverse)
  found = np.where(blocks.found, precision / blocks.size, 0)
  return found.sum(-1) / np.minimum(k, blocks.number)


METRICS: dict[str, Callable[[_Blocks, float], np.ndarray]] = {
  'recall': _recall,
  'ndcg': _ndcg,
  'mrr': _mrr,
  'hit': _hit,
  'map': _average_precision,
  'precision': _precision,
}


def _value(blocks: _Blocks, name: str, k: float) -> np.ndarray:
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(blocks.number > 0, METRICS[name](blocks, k), np.nan)


def _blocks(where: Places) -> _Blocks:
  better, tied, valid = (np.asarray(x) for x in where)
  found = valid & (tied > 0)
  # What is never found comes last; a block begins where the number of better items changes.
  order = np.argsort(np.where(found, better, np.inf), axis=-1, kind='stable')
  better, tied, found = (np.take_along_axis(x, order, -1) for x in (better, tied, found))
  index = np.broadcast_to(np.arange(better.shape[-1]), better.shape)
  is_new = np.ones(better.shape, bool)
  is_new[..., 1:] = (better[..., 1:] != better[..., :-1]) | ~found[..., 1:]
  begin = np.maximum.accumulate(np.where(is_new, index, 0), axis=-1)
  is_last = np.ones(better.shape, bool)
  is_last[..., :-1] = is_new[..., 1:]
  last = np.where(is_last, index, better.shape[-1])[..., ::-1]
  end = np.minimum.accumulate(last, axis=-1)[..., ::-1]
  among = np.where(found, end - begin + 1, 0)
  return _Blocks(
    better.astype(np.float64),
    tied.astype(np.float64),
    found,
    begin.astype(np.float64),
    among.astype(np.float64),
    valid.sum(-1),
  )


def _hits(blocks: _Blocks, k: float) -> np.ndarray:
  """[..., R], the probability that each target is within the first k."""
  within = np.clip(k - blocks.better, 0, blocks.size)
  return np.where(blocks.found, within / blocks.size, 0)


def _within(blocks: _Blocks, k: float) -> tuple[np.ndarray, np.ndarray]:
  """The ranks (begin, end] of each block that are within the first k."""
  begin = np.minimum(blocks.better, k).astype(int)
  return begin, np.minimum(blocks.better + blocks.size, k).astype(int)


def _cumulative(blocks: _Blocks, of_rank: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
  """Sums of a function of the ranks 1 to n for every n that may be asked for, 0 included."""
  last = max((blocks.better + blocks.size).max(initial=0), blocks.number.max(initial=0))
  return np.concatenate([[0.0], np.cumsum(of_rank(np.arange(1, int(last) + 1)))])


def _without_nan(scores: jax.Array) -> jax.Array:
  """Every comparison with NaN is false, so that it would win; as -inf, below all others, it loses.

  Other infinitely low scores are raised to the lowest that is finite.
  """
  return jnp.where(jnp.isnan(scores), -jnp.inf, jnp.maximum(scores, jnp.finfo(scores.dtype).min))


def _or_dropped(index: jax.Array, size: int) -> jax.Array:
  """Padding becomes out of range; as -1 it would count from the end."""
  return jnp.where(index >= 0, index, size)
