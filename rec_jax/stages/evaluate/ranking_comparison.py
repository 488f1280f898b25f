"""How well models rank: metrics with intervals, and differences on the same events."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import significance, two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate import foreseen, judged_events, recommended_lists, sampled_negatives
from rec_jax.stages.evaluate.compared_models import (
  EASE,
  ID_ONLY,
  POPULARITY,
  RECENT,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
  ComparedModel,
)
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries

# What the protocols of the rows begin with.
NEXT_ITEM = 'next item'
UNSEEN_IN_ALL = 'unseen items in the whole catalogue'
UNSEEN_ALONE = 'unseen items among themselves'
TUNING = 'tuned on the validation events'

# Ends the name of a metric that is a p-value: of the difference to the model that is best in it.
AGAINST_BEST = ', p against the best'

PAIRS = (
  (TEACHER, ID_ONLY),
  (TEACHER, POPULARITY),
  (TEACHER, RECENT),
  (TEACHER, EASE),
  (TEACHER, ZERO_SHOT),
  (STUDENT, TEACHER),
)

# Metric -> [S, Q], S seeds and Q queries.
PerQueryMetrics = dict[str, np.ndarray]


def ranking_rows(
  config: Config,
  dataset: Dataset,
  models: Mapping[str, ComparedModel],
  directions: np.ndarray | None = None,
) -> list[dict[str, Any]]:
  """How the models rank the test events of each ranked user in the whole catalogue.

  Args:
    config: of the run.
    dataset: of the stage `prepare`.
    models: by name.
    directions: [N, D] of the items' text; without them no diversity is told.
  """
  num_items = dataset.items.num_items
  asked, sampled = _queries(config, dataset, dataset.split.test_event)
  everything = np.ones(num_items, bool)
  ranked = {name: _rank(model, asked, everything, (10,)) for name, model in models.items()}
  lists = {name: values.pop('top') for name, values in ranked.items()}
  protocol = f'{NEXT_ITEM}: {judged_events.described(config, dataset)}{sampled}'

  def estimate(table: dict[str, np.ndarray]) -> dict[str, Estimate]:
    return judged_events.means(config, asked, {name: x[None] for name, x in table.items()})

  rows = _estimate_rows(ranked, protocol, num_items, _one_each(asked.user), estimate)
  if not judged_events.are_items_sampled(config):
    # Permutation within users tells nothing of other items.
    rows += _against_best(jax.random.key(config.seed), asked, ranked, protocol, num_items)
  rows += sampled_negatives.rows(config, asked, models, num_items, protocol)
  if num_items > 10:
    found = {name: values['recall@10'] for name, values in ranked.items()}
    rows += foreseen.rows(config, asked, models, found, num_items, protocol)
    rows += recommended_lists.rows(config, dataset, asked, lists, protocol, directions)
  return rows + [row for name, model in models.items() for row in _tuning_rows(name, model)]


def unseen_rows(
  config: Config, dataset: Dataset, models: Mapping[str, ComparedModel]
) -> list[dict[str, Any]]:
  """How the models rank events after the cut on items without any event before it."""
  split = dataset.split
  events = np.flatnonzero(split.cold_items[dataset.interactions.item])
  if not len(events):
    return []
  asked, sampled = _queries(config, dataset, events)
  num_cold = int(split.cold_items.sum())
  estimates = {
    '': functools.partial(two_way.user_macro, users=asked.user, items=asked.target),
    two_way.BY_ITEM: functools.partial(two_way.item_macro, users=asked.user, items=asked.target),
  }
  excluded = full_ranking.excluded(dataset.interactions)
  key, most = jax.random.key(config.seed), two_way.share_of_most_frequent(asked.target, 5)
  rows = []
  for label, candidates in _unseen_protocols(dataset):
    ranked = {name: _rank(model, asked, candidates, (10, 50)) for name, model in models.items()}
    protocol = (
      f'{label}: the {len(asked):,} events after the cut on {num_cold:,} items without an event '
      f'before it, five of which have {most:.0%} of them, averaged within each user (by item: '
      f'within each item), ranked among {int(candidates.sum()):,} items, {excluded}, '
      f'history is all before the event, {judged_events.average(config)}, 95 % two-way bootstrap '
      f'over users and items{sampled}'
    )
    for suffix, unit in (('', asked.user), (two_way.BY_ITEM, asked.target)):
      rows += _estimate_rows(
        ranked,
        protocol,
        int(candidates.sum()),
        _one_each(unit),
        functools.partial(estimates[suffix], key),
        suffix,
      )
  return rows


def next_item_per_query(
  config: Config, dataset: Dataset, model: ComparedModel
) -> dict[str, Values]:
  """What `ranking_rows` averages, for studies: a value a query, mean over the model's seeds."""
  asked, _ = _queries(config, dataset, dataset.split.test_event)
  ranked = _rank(model, asked, np.ones(dataset.items.num_items, bool), (10,))
  item = asked.target if judged_events.are_items_sampled(config) else None
  return {
    f'{NEXT_ITEM}, {metric}': Values(ranked[metric].mean(0), asked.user, item)
    for metric in ('recall@10', 'ndcg@10')
  }


def unseen_per_query(config: Config, dataset: Dataset, model: ComparedModel) -> dict[str, Values]:
  """What `unseen_rows` averages, likewise; empty where there is no event on an unseen item."""
  split = dataset.split
  events = np.flatnonzero(split.cold_items[dataset.interactions.item])
  if not len(events):
    return {}
  (asked, _), found = _queries(config, dataset, events), {}
  for label, candidates in _unseen_protocols(dataset):
    ranked = _rank(model, asked, candidates, (10,))
    for metric in ('recall@10', 'mrr'):
      found[f'{label}, {metric}'] = Values(ranked[metric].mean(0), asked.user, asked.target)
  return found


def difference_name(subject: str, baseline: str) -> str:
  """The subject of the row of a difference paired by user."""
  return f'{subject} minus {baseline}, paired'


def ratio_name(subject: str, baseline: str) -> str:
  """The subject of the row of a ratio of means."""
  return f'{subject} / {baseline}'


def spread_name(subject: str) -> str:
  """The subject of the row of the standard deviation over seeds."""
  return f'{subject}, spread over seeds'


def _queries(config: Config, dataset: Dataset, events: np.ndarray) -> tuple[Queries, str]:
  """The queries of the users that are judged, and how these were sampled."""
  chosen, said = judged_events.sampled(config, dataset, events)
  length, threshold = config.finetune.history_length, config.data.positive_rating
  return full_ranking.queries(dataset, chosen, length, threshold), said


def _unseen_protocols(dataset: Dataset) -> tuple[tuple[str, np.ndarray], ...]:
  """Each with its candidates [N]."""
  everything = np.ones(dataset.items.num_items, bool)
  return (UNSEEN_IN_ALL, everything), (UNSEEN_ALONE, dataset.split.cold_items)


def _rank(
  model: ComparedModel, asked: Queries, candidates: np.ndarray, cutoffs: Sequence[int]
) -> PerQueryMetrics:
  """Metric -> [S, Q], and the recommended items under 'top'."""
  seeds = [full_ranking.rank_targets(score, asked, candidates, cutoffs) for score in model.scores]
  wanted = ['mrr', 'top', *(f'{name}@{k}' for name in ('recall', 'ndcg') for k in cutoffs)]
  return {name: np.stack([ranked[name] for ranked in seeds]) for name in wanted}


def _one_each(unit: np.ndarray) -> np.ndarray:
  """[Q] weights with which each user, or each item, counts alike."""
  _, place, count = np.unique(unit, return_inverse=True, return_counts=True)
  return 1 / count[place]


def _against_best(
  key: jax.Array,
  asked: Queries,
  ranked: Mapping[str, PerQueryMetrics],
  protocol: str,
  num_candidates: int,
) -> list[dict[str, Any]]:
  """P-values of a paired permutation test of each model against the one that is best."""
  rows = []
  for metric in ('recall@10', 'ndcg@10'):
    if metric.startswith('recall') and num_candidates <= 10:
      continue
    table = {name: asked.per_user(each[metric]).mean(0) for name, each in ranked.items()}
    _, p_values = significance.permutation_against_best(key, table)
    rows += [
      runs.count_row('evaluate', name, metric + AGAINST_BEST, value, len(table[name]), protocol)
      for name, value in p_values.items()
    ]
  return rows


def _estimate_rows(
  ranked: Mapping[str, PerQueryMetrics],
  protocol: str,
  num_candidates: int,
  weight: np.ndarray,
  estimate: Callable[[dict[str, np.ndarray]], dict[str, Estimate]],
  suffix: str = '',
) -> list[dict[str, Any]]:
  """Means, paired differences, ratios and the spread over seeds of every metric.

  Args:
    ranked: model -> metrics of Q queries.
    protocol: of the rows.
    num_candidates: a recall that would hold all of them is left out.
    weight: [Q] of each query in a mean.
    estimate: name -> [Q] to means of such weights with intervals.
    suffix: of the names of the metrics.
  """
  rows = []
  for metric in ('recall@10', 'recall@50', 'ndcg@10', 'mrr'):
    seeds = {name: values[metric] for name, values in ranked.items() if metric in values}
    is_trivial = metric.startswith('recall') and num_candidates <= int(metric.partition('@')[2])
    if not seeds or is_trivial:
      continue
    queries = {name: values.mean(0) for name, values in seeds.items()}
    pairs = [(a, b) for a, b in PAIRS if a in queries and b in queries]
    table = queries | {difference_name(a, b): queries[a] - queries[b] for a, b in pairs}
    found = estimate(table)
    if STUDENT in queries and TEACHER in queries and _is_clearly_positive(found[TEACHER]):
      name = ratio_name(STUDENT, TEACHER)
      ratio = _linearised_ratio(queries[STUDENT], queries[TEACHER], weight)
      found |= estimate({name: ratio})
    found |= _spreads(seeds, weight)
    rows += [
      runs.estimate_row('evaluate', name, f'{metric}{suffix}', each, protocol)
      for name, each in found.items()
    ]
  return rows


def _is_clearly_positive(estimate: Estimate) -> bool:
  """Whether a mean is far enough from zero, three standard errors, to divide by it."""
  standard_error = (estimate.high - estimate.low) / (2 * 1.96)
  return bool(estimate.value > 3 * standard_error)


def _linearised_ratio(values: np.ndarray, baseline: np.ndarray, weight: np.ndarray) -> np.ndarray:
  """[Q] whose mean is mean(values) / mean(baseline) and whose spread is that of the ratio.

  The delta method: to first order query i moves the ratio r by its weight times
  (values - r baseline)_i over the mean of the baseline.
  """
  mean = np.average(baseline, weights=weight)
  ratio = np.average(values, weights=weight) / mean
  return ratio + (values - ratio * baseline) / mean


def _spreads(seeds: Mapping[str, np.ndarray], weight: np.ndarray) -> dict[str, Estimate]:
  """The standard deviation over seeds of the mean, where there are several seeds."""
  return {
    spread_name(name): _no_interval(
      float(np.average(values, axis=1, weights=weight).std(ddof=1)), len(values)
    )
    for name, values in seeds.items()
    if len(values) > 1
  }


def _no_interval(value: float, n: int) -> Estimate:
  return Estimate(value, float('nan'), float('nan'), n)


def _tuning_rows(name: str, model: ComparedModel) -> list[dict[str, Any]]:
  return [
    runs.estimate_row('evaluate', name, setting, _no_interval(value, 1), f'{TUNING} by NDCG@10')
    for setting, value in model.tuned.items()
  ]
