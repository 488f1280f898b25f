"""What is said of lists, by what was trained on."""

import numpy as np

from rec_jax.stages.evaluate import recommended_lists
from rec_jax.tasks import full_ranking
from tests.stages.evaluate.test_ranking_comparison import dataset


def test_novelty_counts_users_and_popularity_events_where_there_are_repeats():
  data = dataset()
  train = np.flatnonzero(data.split.train_mask)
  user, item = data.interactions.user[train], data.interactions.item[train]
  # All that the busiest user did was with the first item.
  busiest = np.bincount(user).argmax()
  data.interactions.item[train[user == busiest]] = 0
  item = data.interactions.item[train]
  asked = full_ranking.queries(data, data.split.test_event, 50, 4.0)
  metrics = recommended_lists._of_list(data, asked, None)
  found = {name: of(np.array([[[0]]]))[0, 0] for name, of in metrics.items()}
  assert found[recommended_lists.POPULARITY] == (item == 0).sum() > len(set(user[item == 0]))
  share = len(set(user[item == 0])) / len(set(user))
  np.testing.assert_allclose(found[recommended_lists.NOVELTY], -np.log2(share))
