"""Ranking metrics of one list over the whole catalogue; the caller vmaps over users.

A list is given as full scores [N] with a mask of the items that may be recommended (what the user
has seen is excluded) and the held-out targets [R], padded with -1. `target_ranks` turns them into
ranks once; every metric is a short function of the ranks.

Ties are counted pessimistically: an item that is not a target and scores the same stands before
the target. A model that gives every item one score therefore gets the last ranks, and no metric
depends on the order of the items. NaN scores rank behind everything else.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Metric = Callable[[jax.Array, jax.Array, float], jax.Array]


def evaluate(
  scores: ArrayLike, mask: ArrayLike, targets: ArrayLike, cutoffs: Sequence[int] = (10,)
) -> dict[str, jax.Array]:
  """Every metric at every cutoff, for one user.

  Args:
    scores: [N] higher is better.
    mask: [N] bool, False for items that are not recommended (already seen).
    targets: [R] int item indices in [0, N), padded with -1.
    cutoffs: the values of k.

  Returns:
    {'recall@10': [], ...} for all `METRICS` and cutoffs, and 'mrr' without a cutoff. All are NaN
    for a user without targets, who has to be left out.
  """
  ranks = target_ranks(scores, mask, targets)
  valid = jnp.asarray(targets) >= 0
  values = {
    f'{name}@{k}': metric(ranks, valid, k) for name, metric in METRICS.items() for k in cutoffs
  }
  return values | {'mrr': mrr(ranks, valid)}


def target_ranks(scores: ArrayLike, mask: ArrayLike, targets: ArrayLike) -> jax.Array:
  """Ranks of the targets in the list of allowed items, from 1, ties counted pessimistically.

  Targets of one score follow the other items of that score and stand in their given order, which
  is one of the orders that a sort could yield, and the worst of them.

  Args:
    scores: [N] higher is better; NaN is worst.
    mask: [N] bool, False for items that are not recommended.
    targets: [R] int item indices in [0, N), all different, padded with -1.

  Returns:
    [R] float32 ranks; inf for padding and for targets that the mask excludes.
  """
  scores, mask, targets = jnp.asarray(scores), jnp.asarray(mask), jnp.asarray(targets)
  if scores.ndim != 1 or scores.shape != mask.shape or targets.ndim != 1:
    raise ValueError(
      f'expected scores [N], mask [N] and targets [R], got {scores.shape}, {mask.shape} and '
      f'{targets.shape}; vmap over users'
    )
  num_items = scores.shape[0]
  # Every comparison with NaN is false, so that a NaN target would win; -inf makes it lose.
  scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
  is_target = jnp.zeros(num_items, bool).at[_or_dropped(targets, num_items)].set(True, mode='drop')
  own = scores[targets][:, None]
  before = mask & ((scores > own) | ((scores == own) & ~is_target))
  tied_targets = jnp.tril(own == own.T, -1) & mask[targets] & (targets >= 0)
  rank = 1 + before.sum(-1) + tied_targets.sum(-1)
  return jnp.where((targets >= 0) & mask[targets], rank.astype(jnp.float32), jnp.inf)


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


def recall(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  """Share of the targets within the first k; the denominator is their number, not min(k, R).

  Args:
    ranks: [R] from `target_ranks`.
    valid: [R] bool, False for padding; a target that was excluded stays valid and is a miss.
    k: cutoff.

  Returns:
    [] in [0, 1], NaN without a valid target, as for all metrics here.
  """
  return _hits(ranks, valid, k).sum() / jnp.sum(valid)


def precision(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  """Share of the first k that are targets; arguments as in `recall`."""
  return _nan_without_targets(_hits(ranks, valid, k).sum() / k, valid)


def hit(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  """1 if any target is within the first k, else 0; arguments as in `recall`."""
  return _nan_without_targets(_hits(ranks, valid, k).any().astype(jnp.float32), valid)


def ndcg(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  """Normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen 2002).

  The ideal list holds min(k, R) targets at its top; arguments as in `recall`.
  """
  gains = jnp.where(_hits(ranks, valid, k), 1 / jnp.log2(1 + jnp.asarray(ranks)), 0)
  place = jnp.arange(1, jnp.size(ranks) + 1)
  in_ideal = place <= jnp.minimum(k, jnp.sum(valid))
  return gains.sum() / jnp.where(in_ideal, 1 / jnp.log2(1 + place), 0).sum()


def mrr(ranks: ArrayLike, valid: ArrayLike, k: float = math.inf) -> jax.Array:
  """Reciprocal rank of the first target, 0 beyond k; arguments as in `recall`."""
  first = jnp.where(_hits(ranks, valid, k), ranks, jnp.inf).min()
  return _nan_without_targets(1 / first, valid)


def average_precision(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  """Mean over targets of the precision at each one's rank; its mean over users is MAP@k.

  The denominator is min(k, R), so that a perfect list gives 1; arguments as in `recall`.
  """
  hits = _hits(ranks, valid, k)
  ordered = jnp.sort(jnp.where(hits, ranks, jnp.inf))
  precisions = jnp.arange(1, jnp.size(ranks) + 1) / ordered
  return precisions.sum() / jnp.minimum(k, jnp.sum(valid))


METRICS: dict[str, Metric] = {
  'recall': recall,
  'ndcg': ndcg,
  'mrr': mrr,
  'hit': hit,
  'map': average_precision,
  'precision': precision,
}


def _hits(ranks: ArrayLike, valid: ArrayLike, k: float) -> jax.Array:
  return jnp.asarray(valid) & (jnp.asarray(ranks) <= k) & jnp.isfinite(ranks)


def _nan_without_targets(value: jax.Array, valid: ArrayLike) -> jax.Array:
  return jnp.where(jnp.any(valid), value, jnp.nan)


def _or_dropped(index: jax.Array, size: int) -> jax.Array:
  """Padding becomes out of range; as -1 it would count from the end."""
  return jnp.where(index >= 0, index, size)
