"""Where the scalars of a run go (TensorBoard and JSON lines), and its progress bars."""

import contextlib
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import tensorboardX
import tqdm

from rec_jax import files

WriteScalars = Callable[[int, Mapping[str, float]], None]


class Advance(Protocol):
  """Moves a progress bar on by `units` and shows `note` beside it."""

  def __call__(self, units: int = 1, note: str = '') -> None: ...


@contextlib.contextmanager
def writer(directory: str | os.PathLike[str], step: int) -> Iterator[WriteScalars]:
  """Opens `scalars.jsonl` and TensorBoard events for a run that continues after `step`.

  What an interrupted run had written past its checkpoint is dropped, so `scalars.jsonl` is in the
  end that of an uninterrupted run.

  Args:
    directory: made where it is missing.
    step: the last one that the restored checkpoint includes; 0 for a new run.

  Yields:
    (step, {name: value}) -> None, to be called with steps greater than `step`, and before the
    checkpoint that includes the step is saved.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  path = directory / 'scalars.jsonl'
  _drop_after(path, step)
  events = tensorboardX.SummaryWriter(str(directory), purge_step=step + 1)

  def write(step: int, scalars: Mapping[str, float]) -> None:
    for name, value in scalars.items():
      value = float(value)
      events.add_scalar(name, value, step)
      # JSON has no word for NaN and infinity.
      row = {'step': int(step), 'name': name, 'value': value if math.isfinite(value) else None}
      lines.write(json.dumps(row) + '\n')

  # Line by line, so that nothing is lost when the process is killed.
  with path.open('a', buffering=1) as lines:
    try:
      yield write
    finally:
      events.close()


@contextlib.contextmanager
def progress(name: str, total: int, initial: int = 0) -> Iterator[Advance]:
  """Shows how far a long step is: a bar on a terminal, else one line when it is done.

  Args:
    name: of the step.
    total: number of units of work.
    initial: how many were done by an earlier, interrupted run.

  Yields:
    (units done since the last call = 1, short note to show = '') -> None.
  """
  form = '{desc}: {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} [{elapsed}<{remaining}] {postfix}'
  done, begin = initial, time.perf_counter()
  with tqdm.tqdm(
    desc=name, total=total, initial=initial, file=sys.stderr, disable=None, bar_format=form
  ) as bar:
    shown = not bar.disable

    def advance(units: int = 1, note: str = '') -> None:
      nonlocal done
      done += units
      bar.set_postfix_str(note, refresh=False)
      bar.update(units)

    yield advance
  if not shown:
    print(f'{name}: {done}/{total} in {time.perf_counter() - begin:.0f} s', file=sys.stderr)


def _drop_after(path: pathlib.Path, step: int) -> None:
  """Keeps the whole lines of a JSON lines file that are of `step` or earlier."""
  if not path.exists():
    return
  lines = path.read_text().splitlines(keepends=True)
  kept = [line for line in lines if line.endswith('\n') and json.loads(line)['step'] <= step]
  files.write_atomic(path, ''.join(kept))
