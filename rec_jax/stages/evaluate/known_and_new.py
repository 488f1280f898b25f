"""How models rank what users do after the cut, known and new users and items apart."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import two_way
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import full_ranking

# What the protocols of the rows begin with -> whether the user and the item were there before the
# cut; None is either.
GROUPS: dict[str, tuple[bool | None, bool | None]] = {
  'after the cut, known users': (True, None),
  'after the cut, new users': (False, None),
  'after the cut, known items': (None, True),
  'after the cut, new items': (None, False),
}
METRICS = ('recall@10', 'ndcg@10')
# Of more events of a group a sample is ranked.
_MOST_QUERIES = 1000


def rows(
  config: Config, dataset: Dataset, models: Mapping[str, ComparedModel]
) -> list[dict[str, Any]]:
  """recall@10 and NDCG@10 in the whole catalogue; a group without an event is left out."""
  split, interactions = dataset.split, dataset.interactions
  after = np.arange(split.num_before, interactions.num_events)
  is_known = (
    ~split.cold_users[interactions.user[after]],
    ~split.cold_items[interactions.item[after]],
  )
  everything, found = np.ones(dataset.items.num_items, bool), []
  for label, wanted in GROUPS.items():
    chosen = np.ones(len(after), bool)
    for is_of, known in zip(is_known, wanted, strict=True):
      chosen &= known is None or is_of == known
    events = _sample(after[chosen], config.seed)
    if not len(events):
      continue
    asked = full_ranking.queries(
      dataset, events, config.finetune.history_length, config.data.positive_rating
    )
    protocol = (
      f'{label}: {len(events):,} of the {chosen.sum():,} such events after the cut at '
      f'{config.data.cut:.0%} (split {config.data.split}), among all {len(everything):,} items, '
      f'{full_ranking.excluded(dataset.interactions)}, history is all before the event, averaged '
      'within each user, 95 % two-way bootstrap over users and items'
    )
    for name, model in models.items():
      ranked = [full_ranking.rank_targets(score, asked, everything) for score in model.scores]
      table = {metric: np.mean([seed[metric] for seed in ranked], axis=0) for metric in METRICS}
      estimates = two_way.user_macro(jax.random.key(config.seed), table, asked.user, asked.target)
      found += [
        runs.estimate_row('evaluate', name, metric, estimate, protocol)
        for metric, estimate in estimates.items()
      ]
  return found


def _sample(events: np.ndarray, seed: int) -> np.ndarray:
  if len(events) <= _MOST_QUERIES:
    return events
  return np.sort(np.random.default_rng((seed, 11)).choice(events, _MOST_QUERIES, replace=False))
