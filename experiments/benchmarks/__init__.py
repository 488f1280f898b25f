"""Benchmarks: what rec_jax costs beside its peers, both sides measured in one run.

Each is a module of this package with `DESCRIPTION`, `run(peers_python) -> rows` and, where it has a
figure, `draw(rows) -> panel -> SVG`.
"""

import dataclasses
import importlib
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from rec_jax import files
from rec_jax.report import terminal
from rec_jax.types import InputError

NAMES = ('compile', 'linear_thompson', 'linear_ucb', 'ope', 'scaling', 'squarecb')
# Both sides are measured in turn, so that what else the machine does falls on both.
REPEATS = 5
PEERS = pathlib.Path(__file__).parent / 'peers'


@dataclasses.dataclass(frozen=True)
class Row:
  """One comparison.

  Attributes:
    name: of the benchmark.
    subject: what of ours, with its sizes and what is on.
    value: median of ours.
    unit: of both values.
    peer: what it is compared with, with its version.
    peer_value: median of the peer.
    ratio: value / peer_value.
    n: measurements of each side.
  """

  name: str
  subject: str
  value: float
  unit: str
  peer: str
  peer_value: float
  ratio: float
  n: int


def listing() -> str:
  """A line a benchmark."""
  return '\n'.join(f'{name:16} {load(name).DESCRIPTION}' for name in NAMES)


def execute(name: str | None, peers_python: str, out: str | None) -> None:
  """Runs a benchmark, prints its rows, and writes them and its figures.

  Args:
    name: see `NAMES`.
    peers_python: the Python of the peers' environment.
    out: the JSON file that gets the rows, or None; figures go beside it.

  Raises:
    InputError: the name is unknown, `out` lies in no directory, or a peer cannot be measured.
  """
  benchmark = load(name)
  if out is not None and not pathlib.Path(out).parent.is_dir():
    raise InputError(f'--out: no directory {pathlib.Path(out).parent}')
  rows = benchmark.run(peers_python)
  columns = ['subject', 'value', 'peer', "peer's value", 'ratio']
  cells = [[row.subject, row.value, row.peer, row.peer_value, row.ratio] for row in rows]
  print(terminal.table(columns, cells))
  print(f'{rows[0].unit}; each the median of {rows[0].n}')
  if out is not None:
    files.write_json(pathlib.Path(out), [dataclasses.asdict(row) for row in rows])
    for panel, svg in benchmark.draw(rows).items() if hasattr(benchmark, 'draw') else ():
      path = pathlib.Path(out)
      files.write_atomic(path.with_name(f'{path.stem}_{panel}.svg'), svg)


def load(name: str | None) -> ModuleType:
  """The module of a benchmark.

  Raises:
    InputError: the name is unknown.
  """
  if name not in NAMES:
    raise InputError(f'--name: unknown benchmark {name!r}; known: {", ".join(NAMES)}')
  return importlib.import_module(f'experiments.benchmarks.{name}')


def compare(
  name: str,
  subject: str,
  ours: Callable[[], float],
  peers: Mapping[str, Callable[[], float]],
  unit: str = 'decisions/s',
) -> list[Row]:
  """A row a peer; `ours` and each peer return a rate and are called in turn."""
  ours()
  values: list[float] = []
  of_peers: dict[str, list[float]] = {peer: [] for peer in peers}
  for _ in range(REPEATS):
    values.append(ours())
    for peer, measure in peers.items():
      of_peers[peer].append(measure())
  value = statistics.median(values)
  return [
    Row(name, subject, value, unit, peer, median, value / median, REPEATS)
    for peer, median in ((peer, statistics.median(each)) for peer, each in of_peers.items())
  ]


def rate(count: int, run: Callable[[], Any]) -> float:
  """`count` per second of one call."""
  start = time.perf_counter()
  run()
  return count / (time.perf_counter() - start)


def ask_peer(peers_python: str, script: str, **sizes: Any) -> float:
  """Decisions a second, as a script of `peers/` measures them in the peers' own environment.

  Raises:
    InputError: the peers are not installed, or the script fails; its last line says why.
  """
  # One thread each: on vectors of 20 numbers more of them only wait for one another.
  environment = os.environ | {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
  environment.pop('PYTHONPATH', None)
  try:
    done = subprocess.run(
      [peers_python, str(PEERS / script), json.dumps(sizes)],
      capture_output=True,
      text=True,
      env=environment,
    )
  except OSError as error:
    raise InputError(
      f'--peers: cannot run {peers_python} ({error.strerror}): `make bench` sets it up'
    ) from None
  if done.returncode:
    raise InputError(f'peer {script}: {(done.stderr.strip() or "failed").splitlines()[-1]}')
  return float(json.loads(done.stdout.splitlines()[-1]))
