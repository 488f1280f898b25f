"""Published numbers, one file a table row: set-up, source, what was published, tolerance.

A file has `SETUP` and `SOURCE`, one line each, and `run() -> list[Figure]`.
"""

import dataclasses
import importlib
import math
from typing import Any

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import terminal
from rec_jax.types import InputError

NAMES = ('obd_small', 'obp_synthetic', 'obp_digits')


@dataclasses.dataclass(frozen=True)
class Figure:
  """A published number beside the measured one.

  Attributes:
    name: what it is.
    published: its value.
    measured: ours, with its interval.
    tolerance: largest absolute difference that counts as reproduced.
  """

  name: str
  published: float
  measured: Estimate
  tolerance: float

  @property
  def is_reproduced(self) -> bool:
    return abs(self.measured.value - self.published) <= self.tolerance


def load(name: str | None) -> Any:
  """The module of a row.

  Raises:
    InputError: there is no such row.
  """
  if name not in NAMES:
    raise InputError(f'--row: expected {", ".join(NAMES)}, got {name}; --list explains them')
  return importlib.import_module(f'experiments.reproductions.{name}')


def listing() -> str:
  """All rows with their set-up and source, a line each."""
  rows = {name: load(name) for name in NAMES}
  return '\n'.join(f'{name}: {row.SETUP} ({row.SOURCE})' for name, row in rows.items())


def compare(name: str | None) -> bool:
  """Prints published beside measured; whether every number is within its tolerance."""
  row = load(name)
  print(f'{row.SETUP}\nSource: {row.SOURCE}', flush=True)
  figures = row.run()
  columns = ['quantity', 'published', 'measured', '95 % interval', 'tolerance', '']
  print(terminal.table(columns, [_cells(figure) for figure in figures]))
  return all(figure.is_reproduced for figure in figures)


def _cells(figure: Figure) -> list[str]:
  measured = figure.measured
  known = not math.isnan(measured.low)
  return [
    figure.name,
    f'{figure.published:.7g}',
    f'{measured.value:.7g}',
    f'[{measured.low:.4g}, {measured.high:.4g}]' if known else '',
    f'{figure.tolerance:.1g}',
    'reproduced' if figure.is_reproduced else 'NOT reproduced',
  ]
