"""Items as if they were new, before the cut: how well something places those it was not fitted on.

The items with training events are cut into folds, each about as many as there are items without
one. What places items is fitted on the others and places those of a fold, and the queries whose
answer is in the fold are ranked within it, so that no event after the cut is needed to choose by.
"""

import dataclasses

import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries, Score

FEWEST, MOST = 5, 20


@dataclasses.dataclass(frozen=True)
class ItemFolds:
  """Queries whose answer stands for a new item.

  Attributes:
    fold: [N] int, the fold of each item, -1 without a training event.
    num_folds: how many there are, some perhaps without an item.
    asked: [Q] the queries whose answer has a fold, in the order of the folds.
  """

  fold: np.ndarray
  num_folds: int
  asked: Queries

  def rank(self, score: Score, cutoffs: tuple[int, ...] = (10,)) -> dict[str, np.ndarray]:
    """`full_ranking.rank_targets` of `asked`, each among the items of the fold of its answer."""
    known = self.fold >= 0
    return full_ranking.rank_targets(score, self.asked, known, cutoffs, groups=self.fold)


def make(dataset: Dataset, asked: Queries, seed: int) -> ItemFolds | None:
  """Folds at random, of like sizes.

  Args:
    dataset: whose items with a training event are cut.
    asked: queries before the cut, such as those that validate.
    seed: of the folds.

  Returns:
    The folds, or None where no query asks for an item with a training event, or a single item has
    one: nothing can be judged.
  """
  known = np.flatnonzero(dataset.split.trained_items)
  num_new = dataset.items.num_items - len(known)
  num_folds = int(np.clip(round(len(known) / max(1, num_new)), FEWEST, MOST))
  fold = np.full(dataset.items.num_items, -1)
  fold[np.random.default_rng((seed, 3)).permutation(known)] = np.arange(len(known)) % num_folds
  answered = np.flatnonzero(fold[asked.target] >= 0)
  if len(known) < 2 or not len(answered):
    return None
  order = np.argsort(fold[asked.target[answered]], kind='stable')
  return ItemFolds(fold, num_folds, asked.take(answered[order]))
