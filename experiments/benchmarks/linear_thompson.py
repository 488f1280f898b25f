"""Linear Thompson sampling with a regression an arm, online: K = 80 arms, d = 20."""

import functools

from experiments.benchmarks import Row, ask_peer, compare, streams
from rec_jax import bandits
from rec_jax.types import ArmSpec

DESCRIPTION = (
  'linear Thompson, disjoint, K=80, d=20, against OBP, MABWiser, contextualbandits, NumPy'
)
NUM_ARMS, DIM = 80, 20
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=DIM, arm_dim=1)


def run(peers_python: str) -> list[Row]:
  """Decision and update, over 32 and 128 seeds side by side and on a single stream."""
  ask = functools.partial(ask_peer, peers_python, policy='thompson', num_arms=NUM_ARMS, dim=DIM)
  numpy = {'NumPy, float64': functools.partial(ask, 'numpy_linear.py', num_rounds=20_000)}
  slow = {
    'sb-obp 0.5.10': functools.partial(ask, 'obp_linear.py', num_rounds=300),
    'mabwiser 2.7.4': functools.partial(ask, 'mabwiser_linear.py', num_rounds=200),
    'contextualbandits 0.3.30': functools.partial(
      ask, 'contextualbandits_linear.py', num_rounds=100
    ),
  }
  rows = []
  for num_seeds, num_rounds, shared, record_log, peers in (
    (32, 5_000, True, False, numpy | slow),
    (32, 5_000, False, False, numpy),
    (32, 1_000, True, True, numpy),
    (128, 1_000, True, False, numpy),
    (1, 100_000, True, False, numpy),
  ):
    ours = streams.measure(
      bandits.make('disjoint_lin_ts'),
      SPEC,
      num_seeds,
      num_rounds,
      shared=shared,
      record_log=record_log,
    )
    state = streams.state(num_seeds, shared, record_log)
    subject = f'linear Thompson, disjoint, K={NUM_ARMS}, d={DIM}, {state}'
    rows += compare('linear_thompson', subject, ours, peers)
  return rows
