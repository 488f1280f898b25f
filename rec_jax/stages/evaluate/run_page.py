"""The report of a run: its page, and its main numbers for the terminal."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rec_jax.report import page, terminal
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Facts, Section, Table
from rec_jax.runs import run_results
from rec_jax.runs import workdir as runs
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import conclusions, model_sections, ranking_comparison
from rec_jax.stages.explore import exploration_sections, off_policy_section


def write(found: Results, path: str | os.PathLike[str]) -> None:
  """Writes the page of a run to `path`."""
  sections = [_data(found), *model_sections.sections(found), *exploration_sections.sections(found)]
  sections += [*off_policy_section.sections(found.exploration['off_policy']), _settings(found)]
  page.write_page(
    path,
    f'rec_jax on {found.dataset["name"]}',
    _facts(found),
    conclusions.summarise(found),
    sections,
  )


def report_exploration(workdir: str | os.PathLike[str], is_drawn: bool) -> None:
  """Writes the page of exploration on the user's own vectors, and prints its policies.

  Args:
    workdir: of the run.
    is_drawn: whether rewards were drawn from the vectors.
  """
  workdir = pathlib.Path(workdir)
  manifest = runs.read_manifest(workdir)
  summary = json.loads((workdir / 'explore' / 'summary.json').read_text())
  [environment] = summary['environments']
  name = pathlib.Path(manifest['config']['vectors']).stem
  path = workdir / 'report' / 'index.html'
  page.write_page(
    path,
    f'rec_jax on {name}',
    [_run(manifest), *_details(manifest)],
    conclusions.of_vectors(environment, is_drawn),
    [exploration_sections.environment_section(environment)],
  )
  table = exploration_sections.policy_table(environment)
  # Regret says little beside reward, and a terminal is narrow.
  kept = [i for i, name in enumerate(table.columns) if name != 'regret a visit']
  rows = [[row[i] for i in kept] for row in table.rows]
  print(terminal.table([table.columns[i] for i in kept], rows))
  print(f'\nreport: {path}')


def terminal_tables(found: Results) -> str:
  """The main numbers, for the terminal: models, and the best policy beside its baseline."""
  metrics = {'recall@10': 'recall@10', 'ndcg@10': 'NDCG@10'}
  models = [
    [
      name,
      *(
        run_results.find(found, 'evaluate', name, key, ranking_comparison.NEXT_ITEM)
        for key in metrics
      ),
    ]
    for name in model_sections.MODELS
  ]
  policies = [
    [
      environment['name'],
      conclusions.title(policy),
      *(run_results.cell(policy[key]) for key in ('reward', 'distinct_items')),
    ]
    for environment in found.exploration['environments']
    for policy in reversed(conclusions.best_policy(environment) or ())
  ]
  tables = [terminal.table(['next item', *metrics.values()], models)]
  if policies:
    columns = ['exploration', 'policy', 'reward a visit', 'distinct items']
    tables.append(terminal.table(columns, policies))
  return '\n\n'.join(tables)


def _facts(found: Results) -> list[Facts]:
  dataset = found.dataset
  data = {
    'data set': dataset['name'],
    'licence': dataset['licence'],
    'time cut': f'{dataset["cut"]:.0%} of the events, {dataset["cut_time"][:10]}',
    'feedback': 'explicit ratings' if found.has_ratings else 'implicit: an event is a reward',
    'fingerprint': dataset['fingerprint'][:12],
  }
  totals = {stage: times['total'] for stage, times in found.timings.items() if 'total' in times}
  seconds: dict[str, Cell] = {stage: f'{value:.0f} s' for stage, value in totals.items()}
  return [
    Facts('Data', data | {k.replace('_', ' '): v for k, v in dataset['notes'].items()}),
    _run(found.manifest),
    *([Facts('Time of each earlier stage', seconds)] if seconds else []),
    *_details(found.manifest),
  ]


def _run(manifest: Mapping[str, Any]) -> Facts:
  config = manifest['config']
  # On the user's own vectors nothing is trained.
  trained: dict[str, Cell] = {} if config['vectors'] else {'training seeds': config['num_seeds']}
  return Facts(
    'Run',
    {
      'seed': manifest['seed'],
      **trained,
      'device': f'{manifest["device"]["kind"]}, {manifest["device"]["host_cores"]} cores',
      'code': manifest['code_revision'][:12],
    },
  )


def _details(manifest: Mapping[str, Any]) -> list[Facts]:
  return [
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


def _settings(found: Results) -> Section:
  tuned = [
    [row['subject'], row['metric'], row['value']]
    for row in found.rows
    if row['stage'] == 'evaluate' and row['protocol'].startswith(ranking_comparison.TUNING)
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
  chosen: list[list[Cell]] = [
    [environment, name, ', '.join(f'{key} = {_plain(value)}' for key, value in settings.items())]
    for environment, by_policy in tuning['chosen'].items()
    for name, settings in by_policy.items()
  ]
  if chosen:
    columns = ['environment', 'policy', 'chosen settings']
    tables.append(Table('Policies', columns, chosen, run_results.sentence(tuning['protocol'])))
  return Section('What was tuned, and on what', tables=tables)


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
