"""Classes told by the text encoder and the towers of a run, and how well, as a page.

workdir/classify/<target>/index.html     precision, recall and F1 of each class
workdir/classify/<target>/metrics.json   the same as rows
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rec_jax.evaluation import classification as judgement
from rec_jax.evaluation.classification import AVERAGES, F1, MACRO, METRICS, Report
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import page
from rec_jax.report.page import Headline, Section, Summary, Table
from rec_jax.runs import artefacts, run_facts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import classification, history_classification, text_classification
from rec_jax.tasks.classification import Problem
from rec_jax.training import loop
from rec_jax.types import InputError

CATEGORY, BUYS, LIKES = TARGETS = ('category', 'buys', 'likes')
MODEL, FREQUENT, GAIN = 'the model', 'always the most frequent class', 'the model less that'
_STAGE = 'classify'


def run(
  workdir: str | os.PathLike[str], target: str, column: str, balanced: bool
) -> tuple[list[Table], Path]:
  """Learns classes on what `prepare` and `pretrain` have left, judges them, and writes the page.

  Args:
    workdir: of a run in which these stages are finished.
    target: 'category' for a label of items, told from their text; 'buys' for whether users come
      back, told from their history; 'likes' for which of their items they like, event by event.
    column: of the item table that labels items, for 'category' alone.
    balanced: whether rare classes weigh as much as frequent ones in the loss.

  Returns:
    The tables of the page, and its path.

  Raises:
    InputError: a stage before is not finished, or there is nothing to learn from.
  """
  if bool(column) != (target == CATEGORY):
    raise InputError(
      f'--target={CATEGORY} needs --column=COLUMN of the items, no other target has one'
    )
  config = artefacts.load_config(workdir)
  problem = _problem(config, workdir, target, column)
  task = classification.task(problem, config.finetune, balanced, config.seed)
  settings = dataclasses.asdict(config)
  with tempfile.TemporaryDirectory() as directory:
    state, parts = loop.train(task, directory, jax.random.key(config.seed), settings)
  model = parts.merge(*state.best)
  if target != CATEGORY:
    model.towers.items.place_unseen()
  told = classification.decide(classification.logits(model, problem.test), problem.exclusive)
  weighted = 'each class weighs the same' if balanced else 'each example weighs the same'
  protocol = f'{problem.protocol}; {weighted} in the loss; one run of seed {config.seed}'
  return _write(Path(workdir), target, problem, told, protocol, config.seed)


def _problem(config: Config, workdir: str | os.PathLike[str], target: str, column: str) -> Problem:
  runs.require(workdir, 'pretrain')
  dataset, settings, seed = artefacts.load_dataset(workdir), config.finetune, config.seed
  encoder = artefacts.load_encoder(config, workdir)
  if target == CATEGORY:
    return text_classification.problem(encoder, dataset, config.data, settings, column, seed)
  make = history_classification.buys if target == BUYS else history_classification.likes
  return make(encoder, dataset, settings, config.data.positive_rating, seed)


def _write(
  workdir: Path, target: str, problem: Problem, told: np.ndarray, protocol: str, seed: int
) -> tuple[list[Table], Path]:
  """Judges what a model told [n, C] or [n, L, C] of the examples to be judged."""
  test, key = problem.test, jax.random.key(seed)
  shown = test.weights > 0
  units = np.broadcast_to(test.units.reshape(-1, *[1] * (shown.ndim - 1)), shown.shape)[shown]
  told, actual = told[shown], test.labels[shown] > 0
  frequent = np.broadcast_to(classification.most_frequent(problem), actual.shape)
  found, plain = (judgement.report(key, each, actual, units) for each in (told, frequent))
  gain = judgement.gain(key, told, frequent, actual, units)
  num_units = len(np.unique(units))
  protocol = (
    f'{protocol}; {len(actual)} judged, of {num_units} {"items" if target == CATEGORY else "users"}'
    ', which the bootstrap draws (95 %); [unknown] where all that is drawn agrees'
  )
  tables = [_of_classes(problem.classes, found, protocol), _of_averages(found, plain, gain)]
  directory = workdir / _STAGE / target
  directory.mkdir(parents=True, exist_ok=True)
  runs.write_rows(directory, _rows(problem.classes, found, plain, gain, protocol), _STAGE)
  path = directory / 'index.html'
  facts = [run_facts.of_run(runs.read_manifest(workdir))]
  section = Section(f'Classes: {target}', '', tables)
  page.write_page(path, f'Classification: {target}', facts, _summary(found, gain), [section])
  return tables, path


def _of_classes(classes: Sequence[str], found: Report, protocol: str) -> Table:
  rows = zip(classes, found.classes, found.support.tolist(), strict=True)
  table = [[name, *(scores[metric] for metric in METRICS), count] for name, scores, count in rows]
  total = int(found.support.sum())
  table += [
    [name, *(found.averages[name][metric] for metric in METRICS), total] for name in AVERAGES
  ]
  return Table('Each class', ['class', *METRICS, 'support'], table, protocol)


def _of_averages(found: Report, plain: Report, gain: Mapping[str, Estimate]) -> Table:
  rows = {
    MODEL: [found.averages[name][F1] for name in AVERAGES],
    FREQUENT: [plain.averages[name][F1] for name in AVERAGES],
    GAIN: [gain[name] for name in AVERAGES],
  }
  return Table(
    'Beside what needs no model',
    ['', *(f'F1, {name}' for name in AVERAGES)],
    [[name, *cells] for name, cells in rows.items()],
    'The macro average is the mean over the classes that occur, the micro average that over all '
    'decisions: of exclusive classes, the share that is right.',
  )


def _summary(found: Report, gain: Mapping[str, Estimate]) -> Summary:
  said: dict[bool, list[str]] = {True: [], False: []}
  for name, each in gain.items():
    is_settled = each.low > 0 or each.high < 0
    how = ('better' if each.low > 0 else 'worse') if is_settled else 'not clearly better or worse'
    said[is_settled].append(f'By the {name} of F1 the model is {how} than the most frequent class.')
  return Summary(
    headlines=[
      Headline('F1, macro average', found.averages[MACRO][F1], 'mean over the classes'),
      Headline('more than the most frequent class', gain[MACRO], 'paired'),
    ],
    conclusions=said[True],
    limits=[
      *said[False],
      'One model of one seed: how much another seed would change is not in the intervals.',
    ],
  )


def _rows(
  classes: Sequence[str],
  found: Report,
  plain: Report,
  gain: Mapping[str, Estimate],
  protocol: str,
) -> list[dict[str, Any]]:
  scores = {f'class {name}': each for name, each in zip(classes, found.classes, strict=True)}
  scores |= {f'{MODEL}, {name}': each for name, each in found.averages.items()}
  scores |= {f'{FREQUENT}, {name}': each for name, each in plain.averages.items()}
  scores |= {f'{GAIN}, {name}': {F1: each} for name, each in gain.items()}
  rows = [
    runs.estimate_row(_STAGE, subject, metric, estimate, protocol)
    for subject, each in scores.items()
    for metric, estimate in each.items()
  ]
  n = found.classes[0][F1].n
  return rows + [
    runs.count_row(_STAGE, f'class {name}', 'support', count, n, protocol)
    for name, count in zip(classes, found.support.tolist(), strict=True)
  ]
