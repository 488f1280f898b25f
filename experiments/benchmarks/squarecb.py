"""SquareCB on one linear regression for all arms, online: K = 100 candidates, 32 features."""

import functools

from experiments.benchmarks import Row, ask_peer, compare, streams
from rec_jax import bandits
from rec_jax.types import ArmSpec

DESCRIPTION = 'SquareCB, linear oracle, K=100, 32 features, against Vowpal Wabbit'
NUM_ARMS, DIM = 100, 32
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=1, arm_dim=DIM)


def run(peers_python: str) -> list[Row]:
  """Decision and update over 32 seeds, with contexts shared and with contexts of their own."""
  ask = functools.partial(
    ask_peer, peers_python, 'vowpal_squarecb.py', num_arms=NUM_ARMS, dim=DIM, num_rounds=1_000
  )
  peers = {
    'vowpalwabbit 9.11.9, contexts as text': functools.partial(ask, parsed=False),
    'vowpalwabbit 9.11.9, contexts parsed beforehand': functools.partial(ask, parsed=True),
  }
  rows = []
  for num_seeds, num_rounds, shared in ((32, 2_000, True), (32, 1_000, False), (1, 10_000, True)):
    ours = streams.measure(bandits.make('lin_squarecb'), SPEC, num_seeds, num_rounds, shared=shared)
    subject = f'SquareCB, linear oracle, K={NUM_ARMS}, d={DIM}, {streams.state(num_seeds, shared)}'
    rows += compare('squarecb', subject, ours, peers)
  return rows
