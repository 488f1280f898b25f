"""The time of one decision by candidates, up to a million, beside one read of their features."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import OURS, Cases, bandwidth, benchmark, rate
from rec_jax import bandits
from rec_jax.report import figures
from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Result
from rec_jax.types import ArmSpec, Context

DIM = 64
NUM_CANDIDATES = (1_000, 10_000, 100_000, 1_000_000)
POLICIES = ('lin_ts', 'lin_ucb', 'lin_squarecb')
FLOOR = 'one read of the features'
# Features read in one measurement.
_READ = 3e8


def get_study() -> Study:
  """Decisions a second on one shared regression, by number of candidates."""
  study = benchmark(
    'How the time of one decision grows with the candidates, beside one read of their features',
    f'decisions/s of one user among K candidates with {DIM} features, one linear regression for '
    'all; the floor is one read of the features at the bandwidth of this machine',
    _cases,
    {FLOOR: _floor},
  )
  return dataclasses.replace(study, draw=draw)


def draw(found: Sequence[Result]) -> dict[str, str]:
  """SVG of milliseconds a decision by number of candidates, a line a policy and the floor."""
  rates = {(result.variant, result.metric): result.value.value for result in found}
  sizes = np.array(NUM_CANDIDATES)

  def curve(side: str, policy: str) -> figures.Curve:
    return figures.Curve(sizes, np.array([1e3 / rates[side, _label(policy, k)] for k in sizes]))

  panel = {policy: curve(OURS, policy) for policy in POLICIES} | {FLOOR: curve(FLOOR, POLICIES[0])}
  figure = figures.curves(
    'candidates', {'milliseconds a decision': panel}, xlabel='candidates', logarithmic='xy'
  )
  return {'candidates': figure.panels[0]}


def _label(policy: str, num_candidates: int) -> str:
  return f'{policy}, K={num_candidates:,}'


def _cases() -> Cases:
  return {_label(policy, k): _decide(policy, k) for policy in POLICIES for k in NUM_CANDIDATES}


def _decide(name: str, num_candidates: int) -> Callable[[], float]:
  policy = bandits.make(name)
  key = jax.random.key(0)
  state = policy.init(key, ArmSpec(num_candidates, num_candidates, 1, DIM))
  select = jax.jit(policy.select)
  num_decisions = max(3, int(_READ / num_candidates / DIM / 10))

  def run() -> float:
    # Made anew for each measurement: those of all sizes at once would not fit beside each other.
    context = Context(
      user_id=jnp.int32(0),
      query=jnp.ones(1),
      features=jax.random.normal(key, (num_candidates, DIM)) / 8,
      arm_ids=jnp.arange(num_candidates),
      mask=jnp.ones(num_candidates, bool),
    )
    jax.block_until_ready(select(key, state, context))

    def decide() -> None:
      for _ in range(num_decisions):
        jax.block_until_ready(select(key, state, context))

    return rate(num_decisions, decide)

  return run


def _floor(peers_python: str) -> Mapping[str, float]:
  del peers_python
  bytes_a_second = bandwidth()
  return {
    _label(policy, k): bytes_a_second / (4 * DIM * k) for policy in POLICIES for k in NUM_CANDIDATES
  }
