"""What the models learnt, as sections of the report: encoder, ranking, unseen items, cost."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rec_jax.evaluation import two_way
from rec_jax.report import figures, numbers, wording
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Section, Table
from rec_jax.report.style import Figure
from rec_jax.runs import run_results
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import (
  cost,
  foreseen,
  known_and_new,
  ranking_comparison,
  recommended_lists,
)
from rec_jax.stages.evaluate.compared_models import (
  EASE,
  ID_ONLY,
  POPULARITY,
  RECENT,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
)
from rec_jax.stages.finetune import new_items_figure

# Every model with what it is, for who does not know it.
MODELS = {
  POPULARITY: 'most events in training',
  RECENT: 'most events of late, older ones count less',
  EASE: 'linear item-to-item model, recent events count more',
  ID_ONLY: 'two towers, items known by id alone',
  ZERO_SHOT: 'published text vectors, nothing trained',
  TEACHER: 'two towers, text encoder fine-tuned, text and id',
  STUDENT: 'small model trained on the scores of the teacher',
}


def sections(found: Results) -> Iterator[Section]:
  """What was learnt, how well it ranks, also items that it has not met, and what it costs."""
  yield _ranking(found)
  yield _unseen(found)
  yield _cost(found)


def _ranking(found: Results) -> Section:
  against_best = {
    f'{metric}{ranking_comparison.AGAINST_BEST}': f'p, {heading}'
    for metric, heading in (('recall@10', 'recall'), ('ndcg@10', 'NDCG'))
  }
  metrics = {'recall@10': 'recall@10', 'ndcg@10': 'NDCG@10', 'mrr': 'MRR'}
  note = (
    'For each user one held-out item, the next one after the history, has to be found among all '
    'items. recall@10: how often it is among the first ten; NDCG@10 counts it more the higher it '
    'stands; MRR is the mean of 1 / rank; items of equal score count with the mean over their '
    'orders. p: how likely chance alone would part a model as far from the best of the column, by '
    'signs given to the differences of users at random, corrected for all pairs (Holm). '
  )
  lists = {
    recommended_lists.COVERAGE: 'coverage',
    recommended_lists.GINI: 'Gini',
    recommended_lists.ENTROPY: 'entropy, nats',
    recommended_lists.POPULARITY: 'popularity',
    recommended_lists.NOVELTY: 'novelty, bits',
    recommended_lists.DIVERSITY: 'diversity',
    recommended_lists.SERENDIPITY: 'serendipity',
  }
  lists_note = (
    "Coverage: the share of the catalogue in anyone's ten; Gini: from 0, all items shown alike, to "
    '1, one alone; entropy likewise, the more the wider; popularity: mean number of training '
    'events of what is shown; novelty: mean of -log2 of the share of users who know it; '
    'diversity: mean cosine distance of the texts within a ten; serendipity: how much higher than '
    'by popularity '
    'what was found stands. '
  )
  protocol, models = ranking_comparison.NEXT_ITEM, list(MODELS)
  # Their names say that they are of another quantity.
  sampled = {
    row['metric']: row['metric'].replace('ndcg', 'NDCG')
    for row in found.rows
    if row['stage'] == 'evaluate' and row['metric'].endswith(' sampled')
  }
  return Section(
    'Ranking the next item',
    _missing(found, protocol, [*metrics, recommended_lists.COVERAGE]),
    [
      _metric_table(found, 'Models and baselines', protocol, metrics | against_best, models, note),
      _metric_table(
        found, 'What they recommend, right or not', protocol, lists | sampled, models, lists_note
      ),
      *_foreseen(found),
      *_known_and_new(found),
    ],
    [*_differences(found, protocol, metrics), *_learning(found)],
  )


def _foreseen(found: Results) -> Iterator[Table]:
  """Whether probabilities hold, a row a model that has any."""
  protocol = ranking_comparison.NEXT_ITEM
  metrics = {
    foreseen.LOG_LOSS: 'log-loss, nats',
    'recall@10': 'recall@10',
    foreseen.FORESEEN: 'foreseen',
    foreseen.EXCESS: 'foreseen minus found',
  }
  models = [
    name
    for name in foreseen.MODELS
    if run_results.find(found, 'evaluate', name, foreseen.LOG_LOSS, protocol)
  ]
  if models:
    yield _metric_table(
      found,
      'What their probabilities are worth',
      protocol,
      metrics,
      models,
      'P(item | user) is the softmax of the scores over what the user may be shown. Log-loss: mean '
      'of -log P of the item that came; of N items alike it is log N. Foreseen: the probability '
      'of the ten items shown, which a calibrated model finds as often as it foresees. ',
    )


def _known_and_new(found: Results) -> Iterator[Table]:
  """NDCG@10 after the cut, a column a group of users or items."""
  groups = {
    group: group.rpartition(', ')[2]
    for group in known_and_new.GROUPS
    if run_results.protocol_of(found, 'evaluate', group)
  }
  if not groups:
    return
  rows: list[list[Cell]] = [
    [model] + [run_results.find(found, 'evaluate', model, 'ndcg@10', group) for group in groups]
    for model in MODELS
  ]
  protocols = [run_results.protocol_of(found, 'evaluate', group) for group in groups]
  yield Table(
    'NDCG@10 after the cut, by whom and what models know',
    ['model', *groups.values()],
    rows,
    'Known: with an event before the cut. A model meets new users by their events since then '
    'alone, and new items by their text alone. ' + ' '.join(map(wording.sentence, protocols)),
  )


def _unseen(found: Results) -> Section:
  by_item = {f'recall@10{two_way.BY_ITEM}': 'recall@10, each item alike'}
  metrics = {'recall@10': 'recall@10'} | by_item | {'recall@50': 'recall@50', 'mrr': 'MRR'}
  models = [ZERO_SHOT, TEACHER, STUDENT]
  titles = {
    ranking_comparison.UNSEEN_IN_ALL: 'Among the whole catalogue',
    ranking_comparison.UNSEEN_ALONE: 'Among the unseen items alone',
  }
  note = (
    'Only events on items that no model has seen, so that their text alone places them. recall@k: '
    'how often the item is among the first k, averaged over users; each item alike: averaged over '
    'items, so that the few with most events do not decide. '
  )
  present = [label for label in titles if run_results.protocol_of(found, 'evaluate', label)]
  if not present:
    return Section('Items never seen in training', 'No event after the cut is on such an item.')
  return Section(
    'Items never seen in training',
    'Can a model recommend what nobody has rated yet? Text alone has to carry over. Within the '
    'whole catalogue the item competes with well-known ones; among the unseen items alone the '
    'question is only whether text tells them apart.'
    + ''.join('\n\n' + _missing(found, label, list(metrics)) for label in present),
    [_metric_table(found, titles[label], label, metrics, models, note) for label in present],
    [figure for label in present for figure in _differences(found, label, metrics)]
    + new_items_figure.trade(found),
  )


def _cost(found: Results) -> Section:
  sizes = [
    run_results.find(found, 'evaluate', name, cost.PARAMETERS) for name in (TEACHER, STUDENT)
  ]
  times = [found.timings['evaluate'][cost.timing_name(name)] for name in (TEACHER, STUDENT)]
  unit, unit_seconds = numbers.time_unit(times)
  rows: list[list[Cell]] = [
    [
      name,
      int(size.value) if size else None,
      numbers.number(time / unit_seconds),
      f'{time / times[0]:.2%}',
    ]
    for name, size, time in zip((TEACHER, STUDENT), sizes, times, strict=True)
  ]
  table = Table(
    'Size and speed',
    ['model', 'parameters', unit, "of the teacher's time"],
    rows,
    f'Time to encode {cost.NUM_TEXTS} texts that no cache holds and to score them for '
    f'{cost.NUM_USERS} users: median of repeats on the device of this run, once compiled. Times '
    'differ from run to run, so they are in timings.json and not in metrics.json.',
  )
  return Section('Cost of teacher and student', tables=[table])


def _metric_table(
  found: Results,
  title: str,
  protocol: str,
  metrics: Mapping[str, str],
  models: Sequence[str],
  note: str,
) -> Table:
  """A row a model, a column a metric that could be computed, and the spread over seeds."""
  columns = {
    metric: heading
    for metric, heading in metrics.items()
    if any(run_results.find(found, 'evaluate', model, metric, protocol) for model in models)
  }
  rows: list[list[Cell]] = []
  for model in models:
    values = [run_results.find(found, 'evaluate', model, metric, protocol) for metric in columns]
    cells = [
      value.value if value and np.isnan(value.low) and value.n > 1 else value for value in values
    ]
    rows.append([model, *cells, MODELS[model]])
  text = note + wording.sentence(run_results.protocol_of(found, 'evaluate', protocol))
  text += _spreads(found, protocol, models, columns)
  return Table(title, ['model', *columns.values(), 'what it is'], rows, text)


def _spreads(
  found: Results, protocol: str, models: Sequence[str], columns: Mapping[str, str]
) -> str:
  """Standard deviations over seeds as a sentence, empty with one seed."""
  spreads = [
    f'{model} {heading} {numbers.number(value.value)}'
    for model in models
    for metric, heading in columns.items()
    if (
      value := run_results.find(
        found, 'evaluate', ranking_comparison.spread_name(model), metric, protocol
      )
    )
  ]
  return f' Standard deviation over training seeds: {", ".join(spreads)}.' if spreads else ''


def _missing(found: Results, protocol: str, metrics: Sequence[str]) -> str:
  """Says which metrics are left out because every list would hold all candidates."""
  absent = [m for m in metrics if not run_results.find(found, 'evaluate', STUDENT, m, protocol)]
  if not absent:
    return ''
  return f'Left out for want of candidates ({protocol}): {", ".join(absent)}.'


def _differences(found: Results, protocol: str, metrics: Mapping[str, str]) -> list[Figure]:
  """Differences on the same events with their intervals, in the first two metrics."""
  panels = {}
  for metric, heading in list(metrics.items())[:2]:
    pairs = {
      f'{a} − {b}': ranking_comparison.difference_name(a, b) for a, b in ranking_comparison.PAIRS
    }
    values = {
      label: run_results.find(found, 'evaluate', name, metric, protocol)
      for label, name in pairs.items()
    }
    known = {label: value for label, value in values.items() if value and value.n > 1}
    if known:
      panels[f'difference in {heading}'] = known
  if not panels:
    return []
  caption = (
    'The difference on the same events, with the interval of the table. Right of zero the first of '
    'the two is better; hollow where the interval holds zero, so that the sign is not settled.'
  )
  return [
    figures.forest(
      f'Differences on the same events: {protocol}', panels, reference=0.0, caption=caption
    )
  ]


def _learning(found: Results) -> list[Figure]:
  """Validation and training curves of the three trained models."""
  models = {TEACHER: 'finetune/teacher', ID_ONLY: 'finetune/id_only', STUDENT: 'distil'}
  quantities = {'ndcg@10': 'validation NDCG@10', 'loss': 'training loss (nats)'}
  panels = {
    label: {
      name: found.scalars[place][scalar]
      for name, place in models.items()
      if scalar in found.scalars.get(place, {})
    }
    for scalar, label in quantities.items()
  }
  return figures.learning_curves('Learning curves', panels)
