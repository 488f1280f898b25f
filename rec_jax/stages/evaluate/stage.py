"""Stage `evaluate`: all models on the same queries, what they cost, and the report of the run.

Reads every earlier stage. Writes `metrics.json` and `timings.json`, and beside the stages
`report/index.html`; ends with the main numbers on the terminal.
"""

import json
import os
import pathlib
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.report import terminal
from rec_jax.runs import artefacts, run_results
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import STAGES, Config
from rec_jax.stages.evaluate import (
  compared_models,
  cost,
  known_and_new,
  ranking_comparison,
  run_page,
)
from rec_jax.stages.evaluate.compared_models import (
  ID_ONLY,
  STUDENT,
  TEACHER,
  TEXT_ONLY,
  ZERO_SHOT,
)
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.types import InputError


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/evaluate` unless it is finished, then the report, and prints its headlines."""
  for stage in STAGES[:-1]:
    runs.require(workdir, stage)
  stage_dir = runs.start(config, workdir, 'evaluate')
  page = pathlib.Path(workdir) / 'report' / 'index.html'
  if stage_dir is not None:
    rows, seconds = _measure(config, workdir)
    _add_timings(stage_dir, seconds)
    # The page is made from files alone, so a run that is killed here resumes with the page.
    page.unlink(missing_ok=True)
    runs.finish(stage_dir, rows)
  found = run_results.read(workdir)
  if not page.exists():
    with runs.timed(pathlib.Path(workdir) / 'evaluate', 'report'):
      run_page.write(found, page)
  print(run_page.terminal_tables(found))
  print(f'\nreport: {page}')


def run_checkpoint(path: str | os.PathLike[str]) -> None:
  """Judges what one stage has saved and prints a table; writes nothing.

  Args:
    path: WORKDIR/STAGE, a stage of a run that trains something or explores.

  Raises:
    InputError: that is no such stage, it is not finished, or holds no whole checkpoint.
  """
  path = pathlib.Path(path).absolute()
  if path.name not in _CHECKPOINT_ROWS:
    raise InputError(
      f'{path} is none of the stages {", ".join(_CHECKPOINT_ROWS)}: give --checkpoint=WORKDIR/STAGE'
    )
  config = artefacts.load_config(path.parent)
  runs.require(path.parent, path.name)
  rows = _CHECKPOINT_ROWS[path.name](config, path.parent)
  print(_table(rows))


def _measure(
  config: Config, workdir: str | os.PathLike[str]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
  """The rows of the stage, and measured seconds by name."""
  dataset = artefacts.load_dataset(workdir)
  num_items = dataset.items.num_items
  directions = compared_models.text_directions(config, dataset)
  models = compared_models.baselines(config, dataset, directions)
  if 'id_only' in config.finetune.variants.split(','):
    models[ID_ONLY] = compared_models.two_towers(config, workdir, 'id_only', num_items)
  models |= {
    TEACHER: compared_models.two_towers(config, workdir, 'teacher', num_items),
    STUDENT: compared_models.students(config, workdir, num_items),
  }
  rows = ranking_comparison.ranking_rows(config, dataset, models, np.asarray(directions))
  rows += known_and_new.rows(config, dataset, models)
  text_models = {name: models[name] for name in (ZERO_SHOT, TEACHER, STUDENT)}
  rows += ranking_comparison.unseen_rows(config, dataset, text_models)
  parameters, seconds = cost.measure(config, workdir, dataset)
  return rows + parameters, seconds


def _add_timings(stage_dir: pathlib.Path, seconds: dict[str, float]) -> None:
  path = stage_dir / 'timings.json'
  earlier = json.loads(path.read_text()) if path.exists() else {}
  files.write_json(path, earlier | seconds)


def _finetune_rows(config: Config, workdir: pathlib.Path) -> list[dict[str, Any]]:
  dataset, trained = artefacts.load_dataset(workdir), config.finetune.variants.split(',')
  models = {
    name: compared_models.two_towers(config, workdir, variant, dataset.items.num_items)
    for name, variant in ((ID_ONLY, 'id_only'), (TEACHER, 'teacher'), (TEXT_ONLY, 'text_only'))
    if variant in trained
  }
  return ranking_comparison.ranking_rows(config, dataset, models)


def _distil_rows(config: Config, workdir: pathlib.Path) -> list[dict[str, Any]]:
  dataset = artefacts.load_dataset(workdir)
  models = {STUDENT: compared_models.students(config, workdir, dataset.items.num_items)}
  return ranking_comparison.ranking_rows(config, dataset, models)


def _explore_rows(config: Config, workdir: pathlib.Path) -> list[dict[str, Any]]:
  return runs.read_metrics(workdir, 'explore')


_CHECKPOINT_ROWS = {
  'pretrain': pretrain.evaluate_checkpoints,
  'finetune': _finetune_rows,
  'distil': _distil_rows,
  'explore': _explore_rows,
}


def _table(rows: list[dict[str, Any]]) -> str:
  """A line for each subject and metric, and the protocols below."""
  lines = [[row['subject'], row['metric'], run_results.cell(row)] for row in rows]
  protocols = dict.fromkeys(row['protocol'] for row in rows)
  return '\n'.join([terminal.table(['subject', 'metric', 'value'], lines), *protocols])
