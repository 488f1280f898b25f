"""How well models rank: metrics with intervals over users, and differences paired by user."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import beyond_accuracy, intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate.recommenders import (
  EASE,
  ID_ONLY,
  POPULARITY,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
  Recommender,
)
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries

# What the protocols of the rows begin with.
NEXT_ITEM = 'next item'
UNSEEN_IN_ALL = 'unseen items in the whole catalogue'
UNSEEN_ALONE = 'unseen items among themselves'
TUNING = 'tuned on the validation events'

PAIRS = (
  (TEACHER, ID_ONLY),
  (TEACHER, POPULARITY),
  (TEACHER, EASE),
  (TEACHER, ZERO_SHOT),
  (STUDENT, TEACHER),
)

# Metric -> [S, n], S seeds and n users.
PerUserMetrics = dict[str, np.ndarray]


def ranking_rows(
  config: Config, dataset: Dataset, models: Mapping[str, Recommender]
) -> list[dict[str, Any]]:
  """How the models rank the test event of each ranked user in the whole catalogue."""
  data, num_items = config.data, dataset.items.num_items
  asked = _queries(config, dataset, dataset.split.test_event)
  everything = np.ones(num_items, bool)
  ranked = {name: _rank(model, asked, everything, (10,)) for name, model in models.items()}
  coverage = {name: _coverage(values['top'], num_items) for name, values in ranked.items()}
  protocol = (
    f'{NEXT_ITEM}: the last event before the cut at {data.cut:.0%} of each user with at least '
    f'{data.min_events} there, among all {num_items:,} items less those of the user, models fitted '
    f'on training events alone, {_average(config)}'
  )
  rows = _estimate_rows(config, ranked, protocol, num_items)
  if num_items > 10:
    rows += [
      runs.estimate_row('evaluate', name, 'coverage@10', _no_interval(share, len(asked)), protocol)
      for name, share in coverage.items()
    ]
  return rows + [row for name, model in models.items() for row in _tuning_rows(name, model)]


def unseen_rows(
  config: Config, dataset: Dataset, models: Mapping[str, Recommender]
) -> list[dict[str, Any]]:
  """How the models rank events after the cut on items without any event before it."""
  split = dataset.split
  events = np.flatnonzero(split.cold_items[dataset.interactions.item])
  if not len(events):
    return []
  asked = _queries(config, dataset, events)
  num_items, num_cold = dataset.items.num_items, int(split.cold_items.sum())
  rows = []
  for label, candidates in (
    (UNSEEN_IN_ALL, np.ones(num_items, bool)),
    (UNSEEN_ALONE, split.cold_items),
  ):
    ranked = {name: _rank(model, asked, candidates, (10, 50)) for name, model in models.items()}
    averaged = {name: _within_users(values, asked.user) for name, values in ranked.items()}
    protocol = (
      f'{label}: the {len(asked):,} events after the cut on {num_cold:,} items without an event '
      f'before it, averaged within each user, ranked among {int(candidates.sum()):,} items less '
      f'those of the user, history is all before the event, {_average(config)}'
    )
    rows += _estimate_rows(config, averaged, protocol, int(candidates.sum()))
  return rows


def difference_name(subject: str, baseline: str) -> str:
  """The subject of the row of a difference paired by user."""
  return f'{subject} minus {baseline}, paired'


def ratio_name(subject: str, baseline: str) -> str:
  """The subject of the row of a ratio of means."""
  return f'{subject} / {baseline}'


def spread_name(subject: str) -> str:
  """The subject of the row of the standard deviation over seeds."""
  return f'{subject}, spread over seeds'


def _queries(config: Config, dataset: Dataset, events: np.ndarray) -> Queries:
  length, threshold = config.finetune.history_length, config.data.positive_rating
  return full_ranking.queries(dataset, events, length, threshold)


def _average(config: Config) -> str:
  seeds = f'mean over {config.num_seeds} seeds' if config.num_seeds > 1 else 'one seed'
  return f'{seeds}, 95 % bootstrap over users'


def _rank(
  model: Recommender, asked: Queries, candidates: np.ndarray, cutoffs: Sequence[int]
) -> PerUserMetrics:
  """Metric -> [S, Q], and the recommended items under 'top'."""
  seeds = [full_ranking.rank_targets(score, asked, candidates, cutoffs) for score in model.scores]
  wanted = ['mrr', 'top', *(f'{name}@{k}' for name in ('recall', 'ndcg') for k in cutoffs)]
  return {name: np.stack([ranked[name] for ranked in seeds]) for name in wanted}


def _within_users(ranked: PerUserMetrics, user: np.ndarray) -> PerUserMetrics:
  """The mean over the queries of each user, [S, Q] -> [S, n]."""
  _, place, count = np.unique(user, return_inverse=True, return_counts=True)
  return {
    name: np.stack([np.bincount(place, row) / count for row in values])
    for name, values in ranked.items()
    if name != 'top'
  }


def _coverage(top: np.ndarray, num_items: int) -> float:
  """Share of the catalogue in anyone's list [S, Q, k], mean over seeds."""
  counts = [beyond_accuracy.exposure_counts(items, num_items) for items in top]
  return float(np.mean([beyond_accuracy.item_coverage(count) for count in counts]))


def _estimate_rows(
  config: Config, ranked: Mapping[str, PerUserMetrics], protocol: str, num_candidates: int
) -> list[dict[str, Any]]:
  """Means, paired differences, ratios and the spread over seeds of every metric."""
  rows = []
  for metric in ('recall@10', 'recall@50', 'ndcg@10', 'mrr'):
    seeds = {name: values[metric] for name, values in ranked.items() if metric in values}
    is_trivial = metric.startswith('recall') and num_candidates <= int(metric.partition('@')[2])
    if not seeds or is_trivial:
      continue
    users = {name: values.mean(0) for name, values in seeds.items()}
    pairs = [(a, b) for a, b in PAIRS if a in users and b in users]
    table = dict(users)
    table |= {difference_name(a, b): users[a] - users[b] for a, b in pairs}
    if STUDENT in users and TEACHER in users and _is_clearly_positive(users[TEACHER]):
      table[ratio_name(STUDENT, TEACHER)] = _linearised_ratio(users[STUDENT], users[TEACHER])
    estimates = intervals.user_means(jax.random.key(config.seed), table)
    rows += [
      runs.estimate_row('evaluate', name, metric, estimate, protocol)
      for name, estimate in estimates.items()
    ]
    rows += [
      runs.estimate_row('evaluate', spread_name(name), metric, spread, protocol)
      for name, spread in _spreads(seeds).items()
    ]
  return rows


def _is_clearly_positive(values: np.ndarray) -> bool:
  """Whether a mean is far enough from zero, three standard errors, to divide by it."""
  n = len(values)
  return n > 1 and bool(values.mean() > 3 * values.std(ddof=1) / np.sqrt(n))


def _linearised_ratio(values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
  """[n] whose mean is mean(values) / mean(baseline) and whose spread is that of the ratio.

  The delta method: to first order user i moves the ratio r by (values - r baseline)_i over n times
  the mean of the baseline.
  """
  ratio = values.mean() / baseline.mean()
  return ratio + (values - ratio * baseline) / baseline.mean()


def _spreads(seeds: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
  """The standard deviation over seeds of the mean over users, where there are several seeds."""
  return {
    name: _no_interval(intervals.seed_spread(values), len(values))
    for name, values in seeds.items()
    if len(values) > 1
  }


def _no_interval(value: float, n: int) -> Estimate:
  return Estimate(value, float('nan'), float('nan'), n)


def _tuning_rows(name: str, model: Recommender) -> list[dict[str, Any]]:
  return [
    runs.estimate_row('evaluate', name, setting, _no_interval(value, 1), f'{TUNING} by NDCG@10')
    for setting, value in model.tuned.items()
  ]
