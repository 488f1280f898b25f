"""What models recommend, right or not: how widely, how popular, how new and how varied it is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import beyond_accuracy
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import judged_events
from rec_jax.tasks import baselines
from rec_jax.tasks.full_ranking import Queries

COVERAGE, GINI, ENTROPY = 'coverage@10', 'gini@10', 'entropy@10'
POPULARITY, NOVELTY = 'popularity@10', 'novelty@10'
DIVERSITY, SERENDIPITY = 'diversity@10', 'serendipity@10'
OF_CATALOGUE = {
  COVERAGE: beyond_accuracy.item_coverage,
  GINI: beyond_accuracy.gini_index,
  ENTROPY: beyond_accuracy.shannon_entropy,
}


def rows(
  config: Config,
  dataset: Dataset,
  asked: Queries,
  lists: Mapping[str, np.ndarray],
  protocol: str,
  directions: np.ndarray | None,
) -> list[dict[str, Any]]:
  """Metrics of the ten items that each query got.

  Args:
    config: of the run.
    dataset: whose training events say what is popular.
    asked: Q queries.
    lists: model -> [S, Q, k] items; the seeds are averaged.
    protocol: of the rows.
    directions: [N, D] of the items' text, for diversity; without them it is left out.
  """
  num_items = dataset.items.num_items
  of_list = _of_list(dataset, asked, directions)
  found = []
  for model, items in lists.items():
    for metric, of_counts in OF_CATALOGUE.items():
      values = [of_counts(beyond_accuracy.exposure_counts(one, num_items)) for one in items]
      value = float(np.mean(values))
      found.append(runs.count_row('evaluate', model, metric, value, len(asked), protocol))
    table = {metric: of(items) for metric, of in of_list.items()}
    for metric, estimate in judged_events.means(config, asked, table).items():
      found.append(runs.estimate_row('evaluate', model, metric, estimate, protocol))
  return found


def _of_list(
  dataset: Dataset, asked: Queries, directions: np.ndarray | None
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
  """Metric -> a function of items [S, Q, k] to values [S, Q]."""
  train = splits.training_events(dataset.interactions, dataset.split)
  popularity = np.bincount(dataset.interactions.item[train], minlength=dataset.items.num_items)
  pairs = baselines.training_events(dataset)
  users_of_item = np.bincount(pairs.item, minlength=dataset.items.num_items)
  num_users = len(np.unique(pairs.user))

  def serendipity(items: np.ndarray) -> np.ndarray:
    is_relevant = items == asked.target[:, None]
    return beyond_accuracy.serendipity(items, is_relevant, popularity)

  found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    POPULARITY: lambda items: beyond_accuracy.average_popularity(items, popularity),
    NOVELTY: lambda items: beyond_accuracy.mean_inv_user_freq(items, users_of_item, num_users),
    SERENDIPITY: serendipity,
  }
  if directions is not None:
    found[DIVERSITY] = lambda items: beyond_accuracy.intra_list_diversity(items, directions)
  return found
