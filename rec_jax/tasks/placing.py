"""How firmly items without an id are placed by their text: a penalty chosen before the cut.

Items with an id stand for new ones, a fold at a time (`item_folds`): where the regression that was
fitted on the others puts them, the items that users chose next have to be found.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.two_tower import ItemTower
from rec_jax.tasks.item_folds import NUM_FOLDS, ItemFolds
from rec_jax.tasks.next_item import TwoTowerModel

RIDGES = tuple(float(10**power) for power in np.arange(-3.0, 2.5, 0.5))
METRICS = ('recall@10', 'ndcg@10')


def choose_ridge(model: TwoTowerModel, folds: ItemFolds) -> dict[str, np.ndarray]:
  """Sets the penalty whose NDCG@10 among items as if new is best, and places unseen items by it.

  Args:
    model: of text and ids, with text vectors of its own encoder, in evaluation mode.
    folds: queries before the cut.

  Returns:
    metric -> [Q] of the chosen penalty, of `folds.asked`.
  """
  items = model.towers.items
  fold = jnp.asarray(folds.fold)

  def found(ridge: float) -> dict[str, np.ndarray]:
    placed = _placed(items, fold, jnp.float32(ridge))
    ranked = folds.rank(lambda part: _scores(model, placed, part.history, part.rewards))
    return {name: ranked[name] for name in METRICS}

  trials = {ridge: found(ridge) for ridge in RIDGES}
  best = max(trials, key=lambda ridge: float(trials[ridge]['ndcg@10'].mean()))
  items.ridge[...] = jnp.float32(best)
  items.place_unseen()
  return trials[best]


@nnx.jit
def _placed(items: ItemTower, fold: jax.Array, ridge: jax.Array) -> jax.Array:
  return items.placed_by_others(fold, NUM_FOLDS, ridge)


@nnx.jit
def _scores(
  model: TwoTowerModel, placed: jax.Array, history: ArrayLike, rewards: ArrayLike
) -> jax.Array:
  """[B, N] of items where others place them, after histories [B, L] of items where they are."""
  towers, asked = model.towers, (jnp.asarray(history), jnp.asarray(rewards))
  return towers.encode_users(towers.items(), *asked) @ placed.T
