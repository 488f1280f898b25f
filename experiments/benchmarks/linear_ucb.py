"""LinUCB with a regression an arm, online: K = 100 arms, d = 32."""

import functools

from experiments.benchmarks import Row, ask_peer, compare, streams
from rec_jax import bandits
from rec_jax.types import ArmSpec

DESCRIPTION = 'LinUCB, disjoint, K=100, d=32, against OBP, MABWiser and NumPy'
NUM_ARMS, DIM = 100, 32
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=DIM, arm_dim=1)


def run(peers_python: str) -> list[Row]:
  """Decision and update, over 32 seeds side by side and on a single stream."""
  ask = functools.partial(ask_peer, peers_python, policy='ucb', num_arms=NUM_ARMS, dim=DIM)
  numpy = {'NumPy, float64': functools.partial(ask, 'numpy_linear.py', num_rounds=20_000)}
  slow = {
    'sb-obp 0.5.10': functools.partial(ask, 'obp_linear.py', num_rounds=1_000),
    'mabwiser 2.7.4': functools.partial(ask, 'mabwiser_linear.py', num_rounds=200),
  }
  rows = []
  for num_seeds, num_rounds, shared, peers in (
    (32, 5_000, True, numpy | slow),
    (32, 5_000, False, numpy | slow),
    (1, 100_000, True, numpy),
  ):
    ours = streams.measure(
      bandits.make('disjoint_lin_ucb'), SPEC, num_seeds, num_rounds, shared=shared
    )
    subject = f'LinUCB, disjoint, K={NUM_ARMS}, d={DIM}, {streams.state(num_seeds, shared)}'
    rows += compare('linear_ucb', subject, ours, peers)
  return rows
