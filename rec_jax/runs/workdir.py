"""The directory of one run: its manifest, and the metrics and timings of its stages.

    workdir/manifest.json         what was run: config, versions, device, data fingerprint
    workdir/metrics.json          the rows of all finished stages, in order
    workdir/<stage>/metrics.json  the rows of one stage; written last: marks it finished
    workdir/<stage>/timings.json  measured seconds, kept apart as they differ from run to run

Every file is replaced whole, so a process may be killed at any moment.
"""

import collections
import contextlib
import dataclasses
import json
import logging
import math
import numbers
import os
import pathlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rec_jax import files
from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import limits
from rec_jax.runs import manifest as manifests
from rec_jax.runs.config import STAGES, Config
from rec_jax.training.state import TrainState
from rec_jax.types import InputError

# Directories of what took long to compute.
_RESULTS = ('parts', 'regret', 'checkpoints')
_ROW = ('stage', 'subject', 'metric', 'value', 'low', 'high', 'n', 'protocol')

logger = logging.getLogger(__name__)


def start(config: Config, workdir: str | os.PathLike[str], stage: str) -> pathlib.Path | None:
  """Opens a stage of a run.

  The first stage that is started in a workdir writes its manifest; later ones compare with it.

  Args:
    config: of the whole run.
    workdir: made where it is missing.
    stage: one of `STAGES`.

  Returns:
    `workdir/stage`, or None where the stage is finished.

  Raises:
    InputError: a setting that cannot be, or the workdir cannot be used, or belongs to a run of
      another config.
  """
  if stage not in STAGES:
    raise ValueError(f'unknown stage {stage!r}: the stages are {STAGES}')
  limits.check(config)
  directory = pathlib.Path(workdir) / stage
  claim(config, workdir, directory)
  if is_finished(workdir, stage):
    logger.info('%s: already finished in %s', stage, workdir)
    collect(workdir)
    return None
  return directory


def claim(config: Any, workdir: str | os.PathLike[str], directory: pathlib.Path) -> None:
  """Makes a directory in the workdir of a run; the first call writes its manifest.

  Args:
    config: a dataclass of all that tells this run from another, with a field `seed`.
    workdir: made where it is missing.
    directory: likewise.

  Raises:
    InputError: the workdir cannot be used, or belongs to a run of another config.
  """
  workdir = pathlib.Path(workdir)
  settings = json.loads(json.dumps(dataclasses.asdict(config)))
  manifest = _read_manifest(workdir)
  if manifest is not None:
    manifests.check_same_config(manifest, settings, workdir)
  try:
    directory.mkdir(parents=True, exist_ok=True)
    if manifest is None:
      files.write_json(workdir / 'manifest.json', manifests.describe(settings))
  except OSError as error:
    raise InputError(
      f'workdir {workdir} cannot be written ({error.strerror}): give another --workdir'
    ) from error


def claim_file(workdir: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
  """Records the sha256 of a file that a run reads, as the fingerprint of its data.

  Raises:
    InputError: the file is not what it was when the run began.
  """
  digest = files.sha256(path)
  if read_manifest(workdir).get('fingerprint', digest) != digest:
    raise InputError(f'{path} has changed since {workdir} was begun: give another --workdir')
  record(workdir, fingerprint=digest)


def finish(stage_dir: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
  """Writes the metrics of a stage and with that marks it finished.

  Args:
    stage_dir: what `start` returned.
    rows: each has the keys stage, subject, metric, value, low, high, n, protocol; `value` is a
      finite number; `low` and `high` are the bounds of its 95 % interval, or both None; `n` is the
      number of units (users unless the protocol says otherwise).

  Raises:
    ValueError: a row has other keys, a value that is not finite, or the name of another row.
  """
  stage_dir = pathlib.Path(stage_dir)
  write_rows(stage_dir, rows, stage_dir.name)
  collect(stage_dir.parent)


def write_rows(
  directory: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]], stage: str
) -> None:
  """Writes `directory/metrics.json`: the rows of a stage, or of a study, each looked at.

  Raises:
    ValueError: as `finish` says.
  """
  checked = [_checked_row(row, stage) for row in rows]
  names = collections.Counter((row['subject'], row['metric'], row['protocol']) for row in checked)
  if twice := [name for name, count in names.items() if count > 1]:
    raise ValueError(f'{stage} has more than one row for {twice[0]}')
  files.write_json(pathlib.Path(directory) / 'metrics.json', checked)


def estimate_row(
  stage: str, subject: str, metric: str, estimate: Estimate, protocol: str
) -> dict[str, Any]:
  """The row of an estimate; bounds that say nothing (n = 1) become None."""
  names = {'stage': stage, 'subject': subject, 'metric': metric}
  return names | intervals.to_json(estimate) | {'protocol': protocol}


def count_row(
  stage: str, subject: str, metric: str, value: float, n: int, protocol: str
) -> dict[str, Any]:
  """The row of a number that no interval belongs to."""
  return estimate_row(stage, subject, metric, Estimate(value, math.nan, math.nan, n), protocol)


def validation_rows(
  stage: str, subject: str, metric: str, state: TrainState, num_users: int, excluded: str
) -> list[dict[str, Any]]:
  """The step that validation chose, and the value of the metric that chose it."""
  protocol = f'validation event of each ranked user, whole catalogue, {excluded}'
  values = {metric: float(state.best_value), 'best_step': int(state.best_step)}
  return [
    count_row(stage, subject, name, value, num_users, protocol) for name, value in values.items()
  ]


def is_finished(workdir: str | os.PathLike[str], stage: str) -> bool:
  """Whether a stage needs not be run again."""
  return (pathlib.Path(workdir) / stage / 'metrics.json').exists()


def require(workdir: str | os.PathLike[str], stage: str) -> pathlib.Path:
  """The directory of an earlier stage that this one builds on.

  Raises:
    InputError: that stage is not finished.
  """
  if not is_finished(workdir, stage):
    raise InputError(
      f'{workdir} has no finished stage {stage}: '
      f'run python -m experiments.{stage} first, with the same flags'
    )
  return pathlib.Path(workdir) / stage


def read_metrics(workdir: str | os.PathLike[str], stage: str) -> list[dict[str, Any]]:
  """The rows of a finished stage.

  Raises:
    InputError: the stage is not finished, or its rows are damaged.
  """
  path = require(workdir, stage) / 'metrics.json'
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise InputError(
      f'{path} is damaged: delete {path.parent} and run python -m experiments.{stage} again'
    ) from error


def collect(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """Writes and returns `workdir/metrics.json`: the rows of all finished stages, in order."""
  workdir = pathlib.Path(workdir)
  done = (stage for stage in STAGES if is_finished(workdir, stage))
  rows = [row for stage in done for row in read_metrics(workdir, stage)]
  files.write_json(workdir / 'metrics.json', rows)
  return rows


def read_manifest(workdir: str | os.PathLike[str]) -> dict[str, Any]:
  """What was run in `workdir`.

  Raises:
    InputError: nothing was, or another version of the code ran it.
  """
  manifest = _read_manifest(pathlib.Path(workdir))
  if manifest is None:
    raise InputError(f'{workdir} has no manifest.json: it is not the workdir of a run')
  return manifest


def record(workdir: str | os.PathLike[str], **fields: Any) -> None:
  """Adds JSON-like fields to the manifest."""
  files.write_json(pathlib.Path(workdir) / 'manifest.json', read_manifest(workdir) | fields)


@contextlib.contextmanager
def timed(stage_dir: str | os.PathLike[str], name: str) -> Iterator[None]:
  """Writes the seconds that the block took to `stage_dir/timings.json` under `name`."""
  path = pathlib.Path(stage_dir) / 'timings.json'
  begin = time.perf_counter()
  yield
  seconds = round(time.perf_counter() - begin, 3)
  earlier = json.loads(path.read_text()) if path.exists() else {}
  files.write_json(path, earlier | {name: seconds})


@contextlib.contextmanager
def unchanged_on_bad_input(workdir: str | os.PathLike[str]) -> Iterator[None]:
  """Takes back what the block has created in `workdir` if it ends in an `InputError`.

  Where there are results by then, parts or checkpoints, all is left for the run to resume.
  """
  workdir = pathlib.Path(workdir)
  existed = workdir.is_dir()
  before = set(workdir.iterdir()) if existed else set()
  try:
    yield
  except InputError:
    created = set(workdir.iterdir()) - before if workdir.is_dir() else set()
    if any(found.parent.name in _RESULTS for path in created for found in path.rglob('*')):
      raise
    for path in created:
      shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not existed and workdir.is_dir():
      workdir.rmdir()
    raise


def _read_manifest(workdir: pathlib.Path) -> dict[str, Any] | None:
  path = workdir / 'manifest.json'
  try:
    manifest = json.loads(path.read_text())
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise InputError(f'{path} cannot be read ({error.strerror}): give another --workdir') from error
  except ValueError:
    manifest = None
  if not isinstance(manifest, dict) or not isinstance(manifest.get('config'), dict):
    raise InputError(f'{path} is not the manifest of a run: give another --workdir')
  manifests.check_version(manifest, workdir)
  return manifest


def _checked_row(row: Mapping[str, Any], stage: str) -> dict[str, Any]:
  if set(row) != set(_ROW):
    raise ValueError(f'a row needs the keys {_ROW}, not {tuple(row)}')
  if row['stage'] != stage:
    raise ValueError(f'row of stage {row["stage"]!r} in {stage!r}')
  for key in ('subject', 'metric', 'protocol'):
    if not isinstance(row[key], str) or not row[key]:
      raise ValueError(f'{key} must be text, not {row[key]!r}, in row {dict(row)}')
  bounds = [_number(row, key) for key in ('low', 'high') if row[key] is not None]
  if len(bounds) == 1 or bounds != sorted(bounds):
    raise ValueError(f'low and high must be in order or both None in row {dict(row)}')
  low, high = bounds or (None, None)
  if not isinstance(row['n'], numbers.Integral) or row['n'] < 1:
    raise ValueError(f'n must be a positive integer in row {dict(row)}')
  numeric = {'value': _number(row, 'value'), 'low': low, 'high': high, 'n': int(row['n'])}
  return {key: numeric.get(key, row[key]) for key in _ROW}


def _number(row: Mapping[str, Any], key: str) -> int | float:
  value = row[key]
  if isinstance(value, numbers.Integral) and not isinstance(value, bool):
    return int(value)
  if not hasattr(value, '__float__') or isinstance(value, bool) or not math.isfinite(value):
    raise ValueError(f'{key} must be a finite number in row {dict(row)}')
  return float(value)
