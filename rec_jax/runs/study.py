"""A study: a table by variant, over seeds, with paired intervals; declared, not programmed.

workdir/manifest.json       what was asked
workdir/parts/*.parquet     a variant under a seed each; a killed study resumes after them
workdir/per_unit.parquet    every value with its variant, seed, metric, unit and item
workdir/metrics.json        the estimates and paired differences, rows as those of a stage
workdir/report/index.html   table and forest figure
"""

import copy
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from rec_jax import files
from rec_jax.runs import limits, study_page, study_results
from rec_jax.runs import workdir as runs
from rec_jax.runs.parts import Parts
from rec_jax.runs.study_results import DIFFERENCE, Comparison, Expected, Result
from rec_jax.training.tracking import progress


class Values(NamedTuple):
  """What one metric was for each unit of one variant under one seed.

  Attributes:
    value: [n] finite; none, where the data set holds no such unit, is a row of n = 0.
    unit: [n] labels of what is independent: users, logs, worlds, repeats. The same label under
      another seed or in another variant is the same unit; values of one unit are averaged.
    item: [n] labels where items are a sample as well, and intervals have to be two-way.
  """

  value: ArrayLike
  unit: ArrayLike
  item: ArrayLike | None = None


# (settings of one variant under one seed, workdir of the study) -> metric -> values.
Measure = Callable[[Any, Path], Mapping[str, Values]]


@dataclasses.dataclass(frozen=True)
class Study:
  """What is compared, on what, and how.

  Attributes:
    title: the question, one line.
    protocol: how it is measured and what the unit is; `{config.FIELD}` stands for a setting and
      `{num_seeds}` for how many seeds are run.
    config: a dataclass with a field `seed`; flags override its fields.
    variants: label -> overrides of fields by dotted name.
    measure: called once for each variant and seed.
    seeds: added to the seed of the config; every variant runs under each, all variants of a seed
      before the next seed.
    baseline: the variant that the others are compared with, or none.
    expected: (variant, metric) -> bounds of the estimate; the study fails outside one of them.
    compare: how values become numbers and numbers are compared.
    draw: results -> name -> SVG, for a figure beside the forest.
    further: values of all units (columns variant, seed, metric, unit, item, value) -> results that
      are no means over units, such as medians of censored times; they stand behind the others.
  """

  title: str
  protocol: str
  config: Any
  variants: Mapping[str, Mapping[str, Any]]
  measure: Measure
  seeds: Sequence[int] = (0,)
  baseline: str | None = None
  expected: Mapping[tuple[str, str], Expected] = dataclasses.field(default_factory=dict)
  compare: Comparison = DIFFERENCE
  draw: Callable[[Sequence[Result]], Mapping[str, str]] | None = None
  further: Callable[[pl.DataFrame], Sequence[Result]] | None = None


@dataclasses.dataclass
class _Asked:
  """What the manifest holds of a study, by whose fields another study is told apart.

  How many seeds are run is no field: those that are missing are added to those that are there.
  """

  study: str
  seed: int
  variants: dict[str, dict[str, Any]]
  config: Any


def run(name: str, study: Study, workdir: str | os.PathLike[str]) -> bool:
  """Computes the parts that `workdir` lacks, prints the table and writes the page.

  Returns:
    Whether every estimate with expected bounds lies within them.

  Raises:
    InputError: the workdir belongs to another study, or a setting cannot be.
  """
  _check(study)
  workdir = Path(workdir)
  seeds = [study.config.seed + seed for seed in study.seeds]
  variants = {label: dict(fields) for label, fields in study.variants.items()}
  runs.claim(_Asked(name, study.config.seed, variants, study.config), workdir, workdir / 'parts')
  frame = _per_unit(name, study, seeds, workdir)
  _write_frame(workdir / 'per_unit.parquet', frame)
  results = study_results.results(frame, study.baseline, study.expected, study.compare)
  results += study.further(frame) if study.further else []
  declared = study.protocol.format(config=study.config, num_seeds=len(seeds))
  protocol = f'{declared}; {study.compare.protocol}'
  drawn = study.draw(results) if study.draw else {}
  conclude(workdir, study.title, protocol, results, study.baseline, study.compare, drawn)
  outside = [result for result in results if not result.is_expected]
  for result in outside:
    print(f'{result.variant}, {result.metric}: not as expected ({result.expected})')
  return not outside


def conclude(
  workdir: Path,
  title: str,
  protocol: str,
  results: Sequence[Result],
  baseline: str | None,
  compare: Comparison = DIFFERENCE,
  drawn: Mapping[str, str] | None = None,
) -> None:
  """Writes the rows and the page of results, and prints their table.

  Args:
    workdir: with a manifest.
    title: what was asked.
    protocol: of all results.
    results: in the order of the table.
    baseline: that variants are compared with, or none.
    compare: how.
    drawn: name -> SVG of figures beside the forest.
  """
  rows = study_results.rows(results, baseline, compare, protocol)
  runs.write_rows(workdir, rows, study_results.STAGE)
  print(study_results.table(results, baseline, compare))
  print(protocol)
  path = study_page.write(workdir, title, protocol, results, baseline, compare, drawn or {})
  print(f'\nreport: {path}')


def override(config: Any, fields: Mapping[str, Any]) -> Any:
  """A copy of nested settings with some fields, by dotted name, replaced.

  Raises:
    ValueError: there is no such field.
  """
  config = copy.deepcopy(config)
  for name, value in fields.items():
    *parents, last = name.split('.')
    holder = config
    for parent in parents:
      holder = getattr(holder, parent, None)
    if not hasattr(holder, last):
      raise ValueError(f'{type(config).__name__} has no field {name}')
    setattr(holder, last, value)
  return config


def _check(study: Study) -> None:
  """Looks at what a study asks before anything is measured.

  Raises:
    InputError: a setting cannot be.
    ValueError: the baseline, or a variant with bounds, is not declared.
  """
  limits.check_numbers(study.config)
  named = {variant for variant, _ in study.expected}
  if unknown := (named | {study.baseline}) - {None, *study.variants}:
    raise ValueError(f'no variant {sorted(map(str, unknown))[0]!r} among {list(study.variants)}')


def _per_unit(name: str, study: Study, seeds: Sequence[int], workdir: Path) -> pl.DataFrame:
  """All values, from the parts that are there and those that are not."""
  frames = []
  with progress(name, len(seeds) * len(study.variants)) as advance:
    parts = Parts(workdir / 'parts', advance)
    # All variants of a seed first: whatever else the machine does falls on all of them.
    for seed in seeds:
      for variant, fields in study.variants.items():
        config = override(study.config, {'seed': seed, **fields})
        measured = functools.partial(_measured, study.measure, config, workdir)
        part = parts.frame(f'{variant}, seed {seed}', measured)
        frames.append(
          part.select(pl.lit(variant).alias('variant'), pl.lit(seed).alias('seed'), '*')
        )
        advance(1, f'{variant}, seed {seed}')
  return pl.concat(frames)


def _measured(measure: Measure, config: Any, workdir: Path) -> pl.DataFrame:
  """A row for each metric and value of one part; what cannot be averaged is never kept."""
  measured = measure(config, workdir)
  if not measured:
    raise ValueError('nothing was measured')
  for metric, values in measured.items():
    if not np.isfinite(values.value).all() or np.shape(values.value) != np.shape(values.unit):
      raise ValueError(f'{metric} needs a finite value for each unit, got {values}')
  schema = {'metric': pl.String, 'unit': pl.String, 'item': pl.String, 'value': pl.Float64}
  return pl.concat(
    [
      pl.DataFrame(
        {
          'metric': metric,
          'unit': np.asarray(values.unit).astype(str),
          'item': None if values.item is None else np.asarray(values.item).astype(str),
          'value': np.asarray(values.value, np.float64),
        }
        if np.size(values.value)
        else {'metric': [metric], 'unit': [None], 'item': [None], 'value': [None]},
        schema=schema,
      )
      for metric, values in measured.items()
    ]
  )


def _write_frame(path: Path, frame: pl.DataFrame) -> None:
  with files.replacing(path) as stream:
    frame.write_parquet(stream)
