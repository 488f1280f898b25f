"""Where items without an id stand: how firmly text places them, and how new ones start.

Both are chosen before the cut. Items with an id stand for new ones, a fold at a time
(`item_folds`): a regression that was fitted on the others places them by their text.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.text_regression import Moments
from rec_jax.models.two_tower import ItemTower
from rec_jax.tasks.item_folds import ItemFolds
from rec_jax.tasks.next_item import TwoTowerModel

RIDGES = tuple(float(10**power) for power in np.arange(-3.0, 2.5, 0.5))
# What is added to the logit of a new item; by e^4 = 55 times as likely they crowd out all others.
BIASES = tuple(np.arange(0.0, 4.01, 0.25).tolist())
METRICS = ('recall@10', 'ndcg@10')
_CUTOFF, _CHUNK = 10, 256


def choose_ridge(model: TwoTowerModel, folds: ItemFolds) -> dict[str, np.ndarray]:
  """Sets the penalty whose NDCG@10 among items as if new is best, and places unseen items by it.

  Args:
    model: of text and ids, with text vectors of its own encoder, in evaluation mode.
    folds: queries before the cut.

  Returns:
    metric -> [Q] of the chosen penalty, of `folds.asked`.
  """
  fold, items = jnp.asarray(folds.fold), model.towers.items
  moments = _moments(items, fold, num_folds=folds.num_folds)

  def found(ridge: float) -> dict[str, np.ndarray]:
    placed = _placed(items, fold, moments, jnp.float32(ridge))
    ranked = folds.rank(lambda part: _scores(model, placed, part.history, part.rewards)[1])
    return {name: ranked[name] for name in METRICS}

  trials = {ridge: found(ridge) for ridge in RIDGES}
  best = max(trials, key=lambda ridge: float(trials[ridge]['ndcg@10'].mean()))
  items.ridge[...] = jnp.float32(best)
  items.place_unseen()
  return trials[best]


class Trade(NamedTuple):
  """What known items lose and new ones gain in the whole catalogue, by what is added to the new.

  Attributes:
    warm: [C, Q] NDCG@10 of the answers, while another fold stands for new items.
    new: [C, Q] recall@10 of the answers, while their own fold does.
  """

  warm: np.ndarray
  new: np.ndarray


def choose_new_bias(
  model: TwoTowerModel, folds: ItemFolds, max_warm_loss: float, seed: int
) -> Trade:
  """Sets the largest of `BIASES` by which known items lose no more than `max_warm_loss`.

  Args:
    model: as in `choose_ridge`, with its penalty chosen.
    folds: queries before the cut.
    max_warm_loss: share of the NDCG@10 that a bias of 0 leaves them.
    seed: of the fold that is new while a known item is the answer.

  Returns:
    The trade at each of `BIASES`, for `folds.asked`.
  """
  asked, items, fold = folds.asked, model.towers.items, jnp.asarray(folds.fold)
  moments = _moments(items, fold, num_folds=folds.num_folds)
  placed = _placed(items, fold, moments, items.ridge[...])
  own = folds.fold[asked.target]
  step = np.random.default_rng((seed, 4)).integers(1, folds.num_folds, len(asked))
  rivals = (own + step) % folds.num_folds
  parts = []
  for start in range(0, len(asked), _CHUNK):
    # Padded by the last query, so that nothing is compiled twice.
    rows = np.minimum(np.arange(start, start + _CHUNK), len(asked) - 1)
    part = asked.take(rows)
    known, new = _scores(model, placed, part.history, part.rewards)
    open_ = part.unseen(len(folds.fold)) & (folds.fold >= 0)
    ranks = _ranks(known, new, open_, folds.fold, part.target, rivals[rows])
    parts.append([np.asarray(rank)[:, : len(asked) - start] for rank in ranks])
  warm, fresh = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
  gain = np.where(warm < _CUTOFF, 1 / np.log2(2 + warm), 0.0)
  kept = gain.mean(1) >= (1 - max_warm_loss) * gain[0].mean()
  # The first that costs more ends it, however the ones behind it fare.
  items.new_bias[...] = jnp.float32(BIASES[int(np.argmin(np.append(kept, False))) - 1])
  return Trade(gain, (fresh < _CUTOFF).astype(np.float64))


@nnx.jit(static_argnames='num_folds')
def _moments(items: ItemTower, fold: jax.Array, num_folds: int) -> Moments:
  return items.moments_of_folds(fold, num_folds)


@nnx.jit
def _placed(items: ItemTower, fold: jax.Array, moments: Moments, ridge: jax.Array) -> jax.Array:
  return items.placed_by_others(fold, moments, ridge)


@nnx.jit
def _scores(
  model: TwoTowerModel, placed: jax.Array, history: ArrayLike, rewards: ArrayLike
) -> tuple[jax.Array, jax.Array]:
  """[B, N] of items where they are and where others place them, after histories [B, L]."""
  towers, asked = model.towers, (jnp.asarray(history), jnp.asarray(rewards))
  vectors = towers.items.vectors()
  users = towers.encode_users(vectors, *asked)
  return users @ vectors.T, users @ placed.T


@jax.jit
def _ranks(
  known: jax.Array,
  new: jax.Array,
  open_: ArrayLike,
  fold: ArrayLike,
  target: ArrayLike,
  rivals: ArrayLike,
) -> tuple[jax.Array, jax.Array]:
  """Ranks [C, B] from 0 of answers that are known and that are new, for each of `BIASES`.

  Args:
    known: [B, N] scores of items where they are.
    new: [B, N] where others place them.
    open_: [B, N] bool, which compete.
    fold: [N].
    target: [B] the answers.
    rivals: [B] the fold that is new while the answer is known.
  """
  fold, open_, row = jnp.asarray(fold), jnp.asarray(open_), jnp.arange(len(known))
  own = (fold == fold[target][:, None]) & open_
  other = (fold == jnp.asarray(rivals)[:, None]) & open_
  at_known, at_new = known[row, target][:, None], new[row, target][:, None]

  def of_bias(bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    warm = jnp.where(other, new + bias > at_known, (known > at_known) & open_)
    fresh = jnp.where(own, new > at_new, (known > at_new + bias) & open_)
    return warm.sum(1), fresh.sum(1)

  return jax.lax.map(of_bias, jnp.array(BIASES))
