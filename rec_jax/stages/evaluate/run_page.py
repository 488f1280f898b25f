"""The report of a run: its page, and its main numbers for the terminal."""

import os
from typing import Any

from rec_jax.report import page, terminal, wording
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Facts, Section, Table
from rec_jax.runs import run_facts, run_results
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import conclusions, model_sections, ranking_comparison
from rec_jax.stages.explore import (
  exploration_findings,
  exploration_sections,
  off_policy_section,
)
from rec_jax.stages.prepare import data_section
from rec_jax.stages.pretrain import encoder_section


def write(found: Results, path: str | os.PathLike[str]) -> None:
  """Writes the page of a run to `path`."""
  sections = [data_section.section(found), encoder_section.section(found)]
  sections += [*model_sections.sections(found), *exploration_sections.sections(found)]
  sections += [*off_policy_section.sections(found.exploration['off_policy']), _settings(found)]
  page.write_page(
    path,
    f'rec_jax on {found.dataset["name"]}',
    _facts(found),
    conclusions.summarise(found),
    sections,
  )


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
      exploration_findings.title(policy),
      *(run_results.cell(policy[key]) for key in ('reward', 'distinct_items')),
    ]
    for environment in found.exploration['environments']
    for policy in reversed(exploration_findings.best_policy(environment) or ())
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
    run_facts.of_run(found.manifest),
    *([Facts('Time of each earlier stage', seconds)] if seconds else []),
    *run_facts.details(found.manifest),
  ]


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
    tables.append(Table('Policies', columns, chosen, wording.sentence(tuning['protocol'])))
  return Section('What was tuned, and on what', tables=tables)


def _plain(value: Any) -> str:
  return f'{value:g}' if isinstance(value, float) else str(value)
