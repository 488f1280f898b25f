"""How the cost of a decision grows with arms, dimension and seeds, beside what memory allows.

A decision of disjoint linear Thompson sampling has to read every arm's mean and packed covariance
once; how fast this machine reads memory gives the floor, and states that fit a cache go below it.
"""

import numpy as np

from experiments.benchmarks import Row, compare, rate, streams
from rec_jax import bandits
from rec_jax.report import figures
from rec_jax.types import ArmSpec

DESCRIPTION = 'cost by arms, dimension and seeds, against the floor of memory bandwidth'
NUM_ARMS, DIM, NUM_SEEDS = 80, 20, 32
SWEEPS = {
  'arms': ('num_arms', (10, 30, 100, 300, 1_000, 3_000, 10_000)),
  'dimension': ('dim', (8, 16, 32, 64, 128, 256)),
  'seeds': ('num_seeds', (1, 4, 16, 64, 256, 1_024)),
}
# Floats read in one measurement, which makes it last about a second.
_READ = 3e9
_LARGEST_STATE = 4e9


def run(peers_python: str) -> list[Row]:
  """A row a size, the peer being the floor: decisions a second if reading memory were all."""
  del peers_python
  bandwidth = _bandwidth()
  rows = []
  for sweep, (field, values) in SWEEPS.items():
    for value in values:
      sizes = {'num_arms': NUM_ARMS, 'dim': DIM, 'num_seeds': NUM_SEEDS, field: value}
      rows += _measure(sweep, bandwidth, **sizes)
  return rows


def _measure(sweep: str, bandwidth: float, num_arms: int, dim: int, num_seeds: int) -> list[Row]:
  floats = num_arms * (dim + dim * (dim + 1) // 2)
  roots = num_arms * dim * dim * 2
  num_seeds = int(min(num_seeds, max(1, _LARGEST_STATE / 4 / (floats + roots))))
  num_rounds = int(np.clip(_READ / floats / num_seeds, 20, 20_000))
  spec = ArmSpec(num_arms, num_arms, query_dim=dim, arm_dim=1)
  ours = streams.measure(bandits.make('disjoint_lin_ts'), spec, num_seeds, num_rounds, shared=True)
  subject = f'{sweep}: K={num_arms:,}, d={dim}, {streams.state(num_seeds, True)}'
  floor = f'{bandwidth / 1e9:.1f} GB/s of memory'
  return compare('scaling', subject, ours, {floor: lambda: bandwidth / (4 * floats)})


def _bandwidth() -> float:
  """Bytes a second at which both cores of BLAS read 1 GB."""
  x = np.ones(2**28, np.float32)
  return max(rate(x.nbytes, lambda: np.dot(x, x)) for _ in range(5))


def draw(rows: list[Row]) -> dict[str, str]:
  """Sweep -> SVG of microseconds a decision by size, beside the floor."""
  left = iter(rows)
  svgs = {}
  for sweep, (_, sizes) in SWEEPS.items():
    of_sweep = [next(left) for _ in sizes]
    panel = {
      'measured': figures.Curve(np.array(sizes), np.array([1e6 / row.value for row in of_sweep])),
      'memory floor': figures.Curve(
        np.array(sizes), np.array([1e6 / row.peer_value for row in of_sweep])
      ),
    }
    figure = figures.curves(
      sweep, {'microseconds a decision': panel}, xlabel=sweep, logarithmic=True
    )
    svgs[sweep] = figure.panels[0]
  return svgs
