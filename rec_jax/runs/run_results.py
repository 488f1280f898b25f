"""What the stages of a run have written, read back for its report."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report.figures import Curve
from rec_jax.report.numbers import Cell
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import STAGES


@dataclasses.dataclass(frozen=True)
class Results:
  """A finished run.

  Attributes:
    manifest: what was run, see `workdir`.
    dataset: what `prepare` says of the data: name, licence, counts, notes, protocol.
    has_ratings: whether feedback is explicit.
    rows: of all stages, in order.
    timings: stage -> what -> seconds.
    exploration: what `explore` says of its policies.
    scalars: 'stage/model' -> scalar -> its curve, mean over seeds with the range of them as band.
  """

  manifest: Mapping[str, Any]
  dataset: Mapping[str, Any]
  has_ratings: bool
  rows: Sequence[Mapping[str, Any]]
  timings: Mapping[str, Mapping[str, float]]
  exploration: Mapping[str, Any]
  scalars: Mapping[str, Mapping[str, Curve]]


def read(workdir: str | os.PathLike[str]) -> Results:
  """Reads the files of all stages.

  Raises:
    InputError: a stage is not finished.
  """
  workdir = pathlib.Path(workdir)
  directories = {stage: runs.require(workdir, stage) for stage in STAGES}
  timings = {stage: path / 'timings.json' for stage, path in directories.items()}
  return Results(
    manifest=runs.read_manifest(workdir),
    dataset=json.loads((directories['prepare'] / 'dataset.json').read_text()),
    has_ratings=artefacts.load_dataset(workdir).interactions.rating is not None,
    rows=[row for stage in STAGES for row in runs.read_metrics(workdir, stage)],
    timings={k: json.loads(path.read_text()) for k, path in timings.items() if path.exists()},
    exploration=json.loads((directories['explore'] / 'summary.json').read_text()),
    scalars=_scalars(workdir),
  )


def find(
  results: Results, stage: str, subject: str, metric: str, protocol: str = ''
) -> Estimate | None:
  """The estimate of the row of that name whose protocol begins so, or None."""
  for row in results.rows:
    names = row['stage'], row['subject'], row['metric']
    if names == (stage, subject, metric) and row['protocol'].startswith(protocol):
      return intervals.from_json(row)
  return None


def protocol_of(results: Results, stage: str, start: str = '') -> str:
  """The protocol of the first row of a stage that begins so; empty where there is none."""
  protocols = (row['protocol'] for row in results.rows if row['stage'] == stage)
  return next((protocol for protocol in protocols if protocol.startswith(start)), '')


def cell(value: Mapping[str, Any] | None) -> Cell:
  """The same for a table: a plain number where no interval belongs to it, None where nothing is."""
  if value is None:
    return None
  return value['value'] if value['low'] is None else intervals.from_json(value)


def _scalars(workdir: pathlib.Path) -> dict[str, dict[str, Curve]]:
  """Curves of every trained model, over the steps that all its seeds have reached."""
  values: dict[str, dict[str, list[dict[int, float]]]] = {}
  for path in sorted(workdir.glob('*/**/scalars.jsonl')):
    parts = path.relative_to(workdir).parts[:-1]
    name = '/'.join(part for part in parts if not part.startswith('seed_'))
    series: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for line in path.read_text().splitlines():
      scalar = json.loads(line)
      if scalar['value'] is not None:
        series[scalar['name']][scalar['step']] = scalar['value']
    for scalar, by_step in series.items():
      values.setdefault(name, {}).setdefault(scalar, []).append(by_step)
  return {
    name: {scalar: _curve(seeds) for scalar, seeds in by_scalar.items()}
    for name, by_scalar in values.items()
  }


def _curve(seeds: Sequence[Mapping[int, float]]) -> Curve:
  steps = sorted(set.intersection(*(set(seed) for seed in seeds)))
  values = np.array([[seed[step] for step in steps] for seed in seeds])
  bands = (values.min(0), values.max(0)) if len(seeds) > 1 else (None, None)
  return Curve(np.array(steps), values.mean(0), *bands)
