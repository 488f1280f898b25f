"""The page and the table of exploration on the user's own vectors."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rec_jax.report import page, terminal
from rec_jax.report.page import Summary
from rec_jax.runs import run_facts
from rec_jax.runs import workdir as runs
from rec_jax.stages.explore import exploration_findings, exploration_sections


def write(workdir: str | os.PathLike[str], is_drawn: bool) -> None:
  """Writes the page of exploration on the user's own vectors, and prints its policies.

  Args:
    workdir: of the run.
    is_drawn: whether rewards were drawn from the vectors.
  """
  workdir = pathlib.Path(workdir)
  manifest = runs.read_manifest(workdir)
  written = json.loads((workdir / 'explore' / 'summary.json').read_text())
  [environment] = written['environments']
  name = pathlib.Path(manifest['config']['vectors']).stem
  path = workdir / 'report' / 'index.html'
  page.write_page(
    path,
    f'rec_jax on {name}',
    [run_facts.of_run(manifest), *run_facts.details(manifest)],
    summary_of(environment, is_drawn),
    [exploration_sections.environment_section(environment)],
  )
  table = exploration_sections.policy_table(environment)
  # Regret says little beside reward, and a terminal is narrow.
  kept = [i for i, name in enumerate(table.columns) if name != 'regret a visit']
  rows = [[row[i] for i in kept] for row in table.rows]
  print(terminal.table([table.columns[i] for i in kept], rows))
  print(f'\nreport: {path}')


def summary_of(environment: Mapping[str, Any], is_drawn: bool) -> Summary:
  """Main numbers, what they settle, and what they do not.

  Args:
    environment: the only one.
    is_drawn: whether rewards were drawn from the vectors.
  """
  sentences = list(exploration_findings.balance(environment))
  limits = [sentence for is_settled, sentence in sentences if not is_settled]
  limits += [*exploration_findings.named_after_the_fact([environment])]
  if is_drawn:
    limits.append(
      'Rewards are drawn from the vectors, which are right by construction: policies that trust '
      'them look better than on real feedback.'
    )
  return Summary(
    headlines=[*exploration_findings.headlines([environment])],
    conclusions=[sentence for is_settled, sentence in sentences if is_settled],
    limits=limits,
  )
