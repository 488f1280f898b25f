"""How the cost of a decision grows with arms, dimension and seeds, beside what memory allows.

A decision of disjoint linear Thompson sampling has to read every arm's mean and packed covariance
once; how fast this machine reads memory gives the floor, and states that fit a cache go below it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import OURS, Cases, bandwidth, benchmark, streams
from rec_jax import bandits
from rec_jax.report import figures
from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Result
from rec_jax.types import ArmSpec

NUM_ARMS, DIM, NUM_SEEDS = 80, 20, 32
SWEEPS = {
  'arms': ('num_arms', (10, 30, 100, 300, 1_000, 3_000, 10_000)),
  'dimension': ('dim', (8, 16, 32, 64, 128, 256)),
  'seeds': ('num_seeds', (1, 4, 16, 64, 256, 1_024)),
}
FLOOR = 'memory floor'
# Floats read in one measurement, which makes it last about a second.
_READ = 3e9
_LARGEST_STATE = 4e9


class Size(NamedTuple):
  """One point of a sweep: K arms, d dimensions and S seeds; `value` is what is swept."""

  sweep: str
  value: int
  num_arms: int = NUM_ARMS
  dim: int = DIM
  num_seeds: int = NUM_SEEDS

  @property
  def floats(self) -> int:
    """Of the means and packed covariances of one seed."""
    return self.num_arms * (self.dim + self.dim * (self.dim + 1) // 2)

  @property
  def label(self) -> str:
    return f'{self.sweep}: K={self.num_arms:,}, d={self.dim}, {self.num_seeds:,} seeds'


def get_study() -> Study:
  """Decisions a second by size, beside those if reading memory were all."""
  study = benchmark(
    'How the cost of a decision grows with arms, dimension and seeds, beside the floor of memory',
    f'decisions/s, linear Thompson, disjoint, {streams.state(NUM_SEEDS, True)} unless the case '
    f'says otherwise; {streams.INSIDE}',
    _cases,
    {FLOOR: _floor},
  )
  return dataclasses.replace(study, draw=draw)


def draw(found: Sequence[Result]) -> dict[str, str]:
  """Sweep -> SVG of microseconds a decision by size, beside the floor."""
  rates = {(result.variant, result.metric): result.value.value for result in found}
  svgs = {}
  for sweep in SWEEPS:
    sizes = [size for size in _sizes() if size.sweep == sweep]
    swept = np.array([size.value for size in sizes])
    panel = {
      name: figures.Curve(swept, np.array([1e6 / rates[side, size.label] for size in sizes]))
      for name, side in (('measured', OURS), (FLOOR, FLOOR))
    }
    figure = figures.curves(
      sweep, {'microseconds a decision': panel}, xlabel=sweep, logarithmic='xy'
    )
    svgs[sweep] = figure.panels[0]
  return svgs


def _sizes() -> Iterator[Size]:
  """All points, with fewer seeds where the states would not fit the memory."""
  for sweep, (field, values) in SWEEPS.items():
    for value in values:
      swept: Any = {field: value}
      size = Size(sweep, value, **swept)
      state = 4 * (size.floats + 2 * size.num_arms * size.dim**2)
      most = int(max(1, _LARGEST_STATE / state))
      yield size._replace(num_seeds=min(size.num_seeds, most))


def _cases() -> Cases:
  return {size.label: _play(size) for size in _sizes()}


def _play(size: Size) -> Callable[[], float]:
  num_rounds = int(np.clip(_READ / size.floats / size.num_seeds, 20, 20_000))
  spec = ArmSpec(size.num_arms, size.num_arms, query_dim=size.dim, arm_dim=1)
  policy = bandits.make('disjoint_lin_ts')
  return streams.measure(policy, spec, size.num_seeds, num_rounds, shared=True)


def _floor(peers_python: str) -> Mapping[str, float]:
  del peers_python
  bytes_a_second = bandwidth()
  return {size.label: bytes_a_second / (4 * size.floats) for size in _sizes()}
