"""How well models know items of which little is known: ranking by the number of training events."""

import itertools

import numpy as np

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import full_ranking

# Label -> the fewest and the most training events of an item of the group.
GROUPS = {
  'no event': (0, 0),
  '1 to 5 events': (1, 5),
  '6 to 20 events': (6, 20),
  'more events': (21, np.inf),
}
_AMONG = ('in all', 'alone')
_METRICS = ('recall@10', 'ndcg@10')
# Of more events after the cut a sample is ranked.
_MOST_QUERIES = 2000


def per_query(config: Config, dataset: Dataset, model: ComparedModel) -> dict[str, Values]:
  """recall@10 and NDCG@10 of the events after the cut, by what is known of their item.

  Args:
    config: of the run.
    dataset: whose items are grouped by their training events.
    model: one or several seeds, which are averaged.

  Returns:
    Metric -> a value an event, with its user and its item; 'in all' is in the whole catalogue,
    'alone' among the items of the group. A group without an event after the cut is left out.
  """
  events, item = dataset.interactions, dataset.interactions.item
  number = np.bincount(
    item[splits.training_events(events, dataset.split)], minlength=dataset.items.num_items
  )
  after, found = np.arange(dataset.split.num_before, events.num_events), {}
  for label, (fewest, most) in GROUPS.items():
    group = (number >= fewest) & (number <= most)
    chosen = after[group[item[after]]]
    if len(chosen) > _MOST_QUERIES:
      rng = np.random.default_rng((config.seed, 7))
      chosen = np.sort(rng.choice(chosen, _MOST_QUERIES, replace=False))
    if not len(chosen):
      continue
    asked = full_ranking.queries(
      dataset, chosen, config.finetune.history_length, config.data.positive_rating
    )
    for among, candidates in zip(_AMONG, (np.ones(len(group), bool), group), strict=True):
      ranked = [full_ranking.rank_targets(score, asked, candidates) for score in model.scores]
      for metric in _METRICS:
        values = np.mean([each[metric] for each in ranked], axis=0)
        found[_name(label, among, metric)] = Values(values, asked.user, asked.target)
  return found


def metrics() -> tuple[str, ...]:
  """All that `per_query` may give, in its order."""
  return tuple(_name(*each) for each in itertools.product(GROUPS, _AMONG, _METRICS))


def _name(label: str, among: str, metric: str) -> str:
  return f'{label} {among}, {metric}'
