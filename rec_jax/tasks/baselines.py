"""Baselines on a prepared data set: fitted on training events, tuned on validation events."""

import jax
import numpy as np

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.models.baselines import registry
from rec_jax.models.baselines.events import Events
from rec_jax.models.baselines.registry import Hyperparameters
from rec_jax.tasks import full_ranking, random_search
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.tasks.random_search import Trial


def training_events(dataset: Dataset) -> Events:
  """What baselines are fitted to, whatever the protocol of the split: pairs, not their repeats."""
  interactions = dataset.interactions
  chosen = np.flatnonzero(splits.training_events(interactions, dataset.split))
  chosen = chosen[splits.first_of_pairs(interactions.user[chosen], interactions.item[chosen])]
  return Events(
    interactions.user[chosen],
    interactions.item[chosen],
    interactions.timestamp[chosen],
    interactions.num_users,
    dataset.items.num_items,
  )


def fit(name: str, events: Events, settings: Hyperparameters, seed: int) -> Score:
  """The baseline of a name under these settings, as a function of queries."""
  score = registry.get(name).fitted(jax.random.key(seed), events, settings)
  return lambda asked: score(asked.history)


def ndcg(score: Score, asked: Queries, num_items: int) -> float:
  """Mean NDCG@10 of queries over the whole catalogue, less what `asked` excludes."""
  ranked = full_ranking.rank_targets(score, asked, np.ones(num_items, bool))
  return float(ranked['ndcg@10'].mean())


def tune(
  name: str, dataset: Dataset, validation: Queries, num_trials: int, seed: int
) -> list[Trial]:
  """Trials of a baseline by NDCG@10 on validation events, the best first.

  Args:
    name: of the baseline.
    dataset: of which no event after the cut is looked at.
    validation: queries before the cut.
    num_trials: at most, the defaults included.
    seed: of the settings and of each fit.
  """
  events = training_events(dataset)

  def objective(settings: Hyperparameters) -> float:
    return ndcg(fit(name, events, settings, seed), validation, events.num_items)

  return random_search.search(objective, registry.get(name).space, num_trials, seed)
