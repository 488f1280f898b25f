"""Folds of the catalogue: who is in one, and among which items an answer is ranked."""

import numpy as np

from rec_jax.tasks import events, full_ranking, item_folds
from rec_jax.tasks.config import FinetuneConfig
from tests.helpers import small


def made(seed=0):
  data = small.dataset()
  asked = events.validation_queries(data, FinetuneConfig(history_length=10), 4.0, 0)
  return data, asked, item_folds.make(data, asked, seed)


def test_the_items_with_training_events_are_cut_into_like_parts():
  data, asked, folds = made()
  known = data.split.trained_items
  np.testing.assert_array_equal(folds.fold >= 0, known)
  sizes = np.bincount(folds.fold[known])
  assert len(sizes) == folds.num_folds
  assert np.ptp(sizes) <= 1
  assert len(folds.asked) == known[asked.target].sum()
  assert not np.array_equal(made(1)[2].fold, folds.fold)


def test_an_answer_is_ranked_among_the_unseen_items_of_its_fold():
  data, _, folds = made()
  scores = np.random.default_rng(0).normal(size=data.items.num_items)
  found = folds.rank(lambda part: np.tile(scores, (len(part), 1)), cutoffs=(1,))
  unseen = folds.asked.unseen(data.items.num_items)
  for row, target in enumerate(folds.asked.target):
    rivals = unseen[row] & (folds.fold == folds.fold[target])
    best = np.flatnonzero(rivals)[np.argmax(scores[rivals])]
    assert found['recall@1'][row] == (best == target)


def test_where_nobody_asks_for_a_known_item_there_is_nothing_to_judge_by():
  data, asked, _ = made()
  strange = asked.take(np.arange(1))
  data.split.trained_items[strange.target] = False
  assert item_folds.make(data, strange, 0) is None
  data.split.trained_items[:] = False
  assert item_folds.make(data, asked, 0) is None
  assert isinstance(asked, full_ranking.Queries)


def test_a_fold_has_about_as_many_items_as_there_are_new_ones():
  data, asked, _ = made()
  for num_new, num_folds in ((0, 20), (1, 20), (2, 11), (12, 5)):
    data.split.trained_items[:] = np.arange(data.items.num_items) >= num_new
    assert item_folds.make(data, asked, 0).num_folds == num_folds
