"""The report of a run: its page, and its main numbers for the terminal."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rec_jax.report import figures, numbers, page, terminal
from rec_jax.report.figures import Curve
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Facts, Section, Table
from rec_jax.report.style import Figure
from rec_jax.stages import conclusions, cost, explored, judging, results
from rec_jax.stages.contenders import (
  EASE,
  ID_ONLY,
  POPULARITY,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
)
from rec_jax.stages.results import Results

_MODELS = {
  POPULARITY: 'most events in training',
  EASE: 'linear item-to-item model, recent events count more',
  ID_ONLY: 'two towers, items known by id alone',
  ZERO_SHOT: 'published text vectors, nothing trained',
  TEACHER: 'two towers, text encoder fine-tuned, text and id',
  STUDENT: 'small model trained on the scores of the teacher',
}


def write(found: Results, path: str | os.PathLike[str]) -> None:
  """Writes the page of a run to `path`."""
  sections = [_data(found), _encoder(found), _ranking(found), _unseen(found), _cost(found)]
  sections += [*explored.sections(found), _settings(found)]
  page.write_page(
    path,
    f'rec_jax on {found.dataset["name"]}',
    _facts(found),
    conclusions.summarise(found),
    sections,
  )


def headline_table(found: Results) -> str:
  """The main numbers, for the terminal."""
  rows = [
    [headline.label, numbers.plain(headline.value), headline.note]
    for headline in conclusions.headlines(found)
  ]
  return terminal.table(['measure', 'value [95 % interval]', 'compare'], rows)


def _facts(found: Results) -> list[Facts]:
  manifest, dataset = found.manifest, found.dataset
  data = {
    'data set': dataset['name'],
    'licence': dataset['licence'],
    'time cut': f'{dataset["cut"]:.0%} of the events, {dataset["cut_time"][:10]}',
    'feedback': 'explicit ratings' if found.has_ratings else 'implicit: an event is a reward',
    'fingerprint': dataset['fingerprint'][:12],
  }
  run = {
    'seed': manifest['seed'],
    'training seeds': manifest['config']['num_seeds'],
    'device': f'{manifest["device"]["kind"]}, {manifest["device"]["host_cores"]} cores',
    'code': manifest['code_revision'][:12],
  }
  totals = {stage: times['total'] for stage, times in found.timings.items() if 'total' in times}
  seconds: dict[str, Cell] = {stage: f'{value:.0f} s' for stage, value in totals.items()}
  return [
    Facts('Data', data | {k.replace('_', ' '): v for k, v in dataset['notes'].items()}),
    Facts('Run', run),
    *([Facts('Time of each earlier stage', seconds)] if seconds else []),
    Facts('Versions', manifest['versions'], is_long=True),
    Facts('Whole configuration', _flat(manifest['config']), is_long=True),
  ]


def _data(found: Results) -> Section:
  counts, dataset = found.dataset['counts'], found.dataset
  meaning = {
    'events': 'a user and an item at a time, at most once each pair',
    'users': 'with an event at any time',
    'items': 'the catalogue: every model ranks all of them',
    'events_before_cut': 'everything that a model may learn from lies here',
    'training_events': 'what models are fitted on: the former without the held-out events',
    'ranked_users': 'their last event before the cut is the test, the one before it validates',
    'users_after_cut': 'who visit in the exploration stream',
    'known_users_after_cut': 'those of them with events before the cut; the others are new users',
    'cold_items': 'without any event before the cut: only their text is known',
    'events_on_cold_items': 'after the cut; they judge models on unseen items',
    'corpus_texts': 'unlabelled texts for the language model',
  }
  table = Table(
    'The parts of the data',
    ['part', 'size', 'meaning'],
    [[name.replace('_', ' '), counts[name], text] for name, text in meaning.items()],
    f'Events in order of time, cut once for all users at {dataset["cut"]:.0%}.',
  )
  return Section(
    'Data and protocol',
    'One cut in time divides all events. Models learn from what lies before it and are tuned '
    'there. What lies after it is the stream in which bandit policies explore, and is seen by no '
    'model before.',
    [table],
  )


def _encoder(found: Results) -> Section:
  rows = [row for row in found.rows if row['stage'] == 'pretrain']
  metric = 'masked_lm_loss'
  table = Table(
    'Loss on held-out text, in nats a hidden token (lower is better)',
    ['what is trained', 'loss'],
    [[row['subject'], results.estimate(row)] for row in rows if row['metric'] == metric],
    'A head that guesses hidden words is trained on the frozen encoder, and another together with '
    'the encoder, for as many steps on the same texts. If the second ends lower, the encoder has '
    f'learnt something about these texts. {_upper(rows[0]["protocol"])}.',
  )
  losses = {
    arm: found.scalars[name]['loss']
    for arm, name in (('frozen', 'pretrain/frozen'), ('continued', 'pretrain/continued'))
    if 'loss' in found.scalars.get(name, {})
  }
  return Section(
    'Text encoder',
    'The encoder turns the text of an item into a vector. Before anything is recommended it goes '
    'on learning to guess hidden words, in the unlabelled text of this data set.',
    [table],
    _curves('Pre-training', {'training loss (nats a token)': losses}),
  )


def _ranking(found: Results) -> Section:
  metrics = {
    'recall@10': 'recall@10',
    'ndcg@10': 'NDCG@10',
    'mrr': 'MRR',
    'coverage@10': 'coverage',
  }
  note = (
    'For each user one held-out item, the next one after the history, has to be found among all '
    'items. recall@10: how often it is among the first ten; NDCG@10 counts it more the higher it '
    "stands; MRR is the mean of 1 / rank; coverage: the share of the catalogue in anyone's ten. "
  )
  return Section(
    'Ranking the next item',
    _missing(found, judging.NEXT_ITEM, list(metrics)),
    [_metric_table(found, 'Models and baselines', judging.NEXT_ITEM, metrics, list(_MODELS), note)],
    [*_differences(found, judging.NEXT_ITEM, 'recall@10', 'ndcg@10'), *_learning(found)],
  )


def _unseen(found: Results) -> Section:
  metrics = {'recall@10': 'recall@10', 'recall@50': 'recall@50', 'mrr': 'MRR'}
  models = [ZERO_SHOT, TEACHER, STUDENT]
  titles = {
    judging.UNSEEN_IN_ALL: 'Among the whole catalogue',
    judging.UNSEEN_ALONE: 'Among the unseen items alone',
  }
  note = (
    'Only events on items that no model has seen, so that their text alone places them. recall@k: '
    'how often the item is among the first k. '
  )
  present = [label for label in titles if results.protocol_of(found, 'evaluate', label)]
  if not present:
    return Section('Items never seen in training', 'No event after the cut is on such an item.')
  return Section(
    'Items never seen in training',
    'Can a model recommend what nobody has rated yet? Text alone has to carry over. Within the '
    'whole catalogue the item competes with well-known ones; among the unseen items alone the '
    'question is only whether text tells them apart.'
    + ''.join('\n\n' + _missing(found, label, list(metrics)) for label in present),
    [_metric_table(found, titles[label], label, metrics, models, note) for label in present],
    [figure for label in present for figure in _differences(found, label, 'recall@10', 'mrr')],
  )


def _cost(found: Results) -> Section:
  rows: list[list[Cell]] = []
  for name in (TEACHER, STUDENT):
    size = results.find(found, 'evaluate', name, cost.PARAMETERS)
    seconds = found.timings['evaluate'][cost.timing_name(name)]
    rows.append([name, int(size.value) if size else None, 1000 * seconds])
  share = [1.0, rows[1][2] / rows[0][2]]
  table = Table(
    'Size and speed',
    ['model', 'parameters', 'milliseconds', "of the teacher's time"],
    [[*row, f'{part:.2%}'] for row, part in zip(rows, share, strict=True)],
    f'Time to encode {cost.NUM_TEXTS} texts that no cache holds and to score them for '
    f'{cost.NUM_USERS} users: median of repeats on the device of this run, once compiled. Times '
    'differ from run to run, so they are in timings.json and not in metrics.json.',
  )
  return Section('Cost of teacher and student', tables=[table])


def _settings(found: Results) -> Section:
  tuned = [
    [row['subject'], row['metric'], row['value']]
    for row in found.rows
    if row['stage'] == 'evaluate' and row['protocol'].startswith(judging.TUNING)
  ]
  tables = [
    Table(
      'Baselines',
      ['model', 'setting', 'chosen'],
      [[name, setting, f'{value:g}'] for name, setting, value in tuned],
      'Chosen by NDCG@10 on the validation events, which lie before the test events. lambda: '
      'strength of regularisation; decay: how much an event counts for each later one.',
    )
  ]
  tuning = found.exploration['tuning']
  if tuning and tuning['chosen']:
    chosen = [
      [name, ', '.join(f'{key} = {_plain(value)}' for key, value in settings.items())]
      for name, settings in tuning['chosen'].items()
    ]
    note = f'{_upper(tuning["protocol"])}.'
    tables.append(Table('Policies', ['policy', 'chosen settings'], chosen, note))
  return Section('What was tuned, and on what', tables=tables)


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
    if results.find(found, 'evaluate', models[-1], metric, protocol)
  }
  rows: list[list[Cell]] = []
  for model in models:
    values = [results.find(found, 'evaluate', model, metric, protocol) for metric in columns]
    cells = [
      value.value if value and np.isnan(value.low) and value.n > 1 else value for value in values
    ]
    rows.append([model, _MODELS[model], *cells])
  text = note + _upper(results.protocol_of(found, 'evaluate', protocol)) + '.'
  text += _spreads(found, protocol, models, columns)
  return Table(title, ['model', 'what it is', *columns.values()], rows, text)


def _spreads(
  found: Results, protocol: str, models: Sequence[str], columns: Mapping[str, str]
) -> str:
  """Standard deviations over seeds as a sentence, empty with one seed."""
  spreads = [
    f'{model} {heading} {numbers.number(value.value)}'
    for model in models
    for metric, heading in columns.items()
    if (value := results.find(found, 'evaluate', judging.spread_name(model), metric, protocol))
  ]
  return f' Standard deviation over training seeds: {", ".join(spreads)}.' if spreads else ''


def _missing(found: Results, protocol: str, metrics: Sequence[str]) -> str:
  """Says which metrics are left out because every list would hold all candidates."""
  absent = [m for m in metrics if not results.find(found, 'evaluate', STUDENT, m, protocol)]
  if not absent:
    return ''
  return f'Left out for want of candidates ({protocol}): {", ".join(absent)}.'


def _differences(found: Results, protocol: str, *metrics: str) -> list[Figure]:
  """Differences paired by user with their intervals, a panel a metric."""
  panels = {}
  for metric in metrics:
    pairs = {f'{a} − {b}': judging.difference_name(a, b) for a, b in judging.PAIRS}
    values = {
      label: results.find(found, 'evaluate', name, metric, protocol)
      for label, name in pairs.items()
    }
    known = {label: value for label, value in values.items() if value and value.n > 1}
    if known:
      panels[f'difference in {metric}'] = known
  if not panels:
    return []
  caption = (
    'The difference for the same users, with its 95 % interval. Right of zero the first of the two '
    'is better; hollow where the interval holds zero, so that the sign is not settled.'
  )
  return [
    figures.forest(
      f'Differences paired by user: {protocol}', panels, reference=0.0, caption=caption
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
  return _curves('Learning curves', panels)


def _curves(title: str, panels: Mapping[str, Mapping[str, Curve]]) -> list[Figure]:
  """A figure of the panels that hold anything, or none."""
  filled = {label: series for label, series in panels.items() if series}
  if not filled:
    return []
  caption = 'One curve a model; with several training seeds their mean, and their range as a band.'
  return [figures.curves(title, filled, xlabel='training step', caption=caption)]


def _flat(settings: Mapping[str, Any], prefix: str = '') -> dict[str, Cell]:
  """Nested settings by dotted name."""
  flat: dict[str, Cell] = {}
  for name, value in settings.items():
    if isinstance(value, Mapping):
      flat |= _flat(value, f'{prefix}{name}.')
    else:
      flat[prefix + name] = str(value)
  return flat


def _plain(value: Any) -> str:
  return f'{value:g}' if isinstance(value, float) else str(value)


def _upper(text: str) -> str:
  return text[:1].upper() + text[1:]
