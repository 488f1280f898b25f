"""SquareCB on one linear regression for all arms, online: K = 100 candidates, 32 features."""

import functools

from experiments.benchmarks import Cases, benchmark, by_script, streams
from rec_jax import bandits
from rec_jax.runs.study import Study
from rec_jax.types import ArmSpec

NUM_ARMS, DIM = 100, 32
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=1, arm_dim=DIM)
# (seeds, rounds, contexts shared)
SIZES = ((32, 2_000, True), (32, 1_000, False), (1, 10_000, True))
LABELS = tuple(streams.state(seeds, shared) for seeds, _, shared in SIZES)


def get_study() -> Study:
  """Decision and update over 32 seeds, with contexts shared and with contexts of their own."""
  ask = functools.partial(
    by_script, 'vowpal_squarecb.py', LABELS, num_arms=NUM_ARMS, dim=DIM, num_rounds=1_000
  )
  return benchmark(
    'SquareCB, linear oracle, K=100, 32 features, beside Vowpal Wabbit',
    f'decisions/s, SquareCB, linear oracle, K={NUM_ARMS}, d={DIM}; {streams.INSIDE}',
    _cases,
    {
      'vowpalwabbit 9.11.9, contexts as text': ask(parsed=False),
      'vowpalwabbit 9.11.9, contexts parsed beforehand': ask(parsed=True),
    },
  )


def _cases() -> Cases:
  policy = bandits.make('lin_squarecb')
  return {
    label: streams.measure(policy, SPEC, seeds, rounds, shared=shared)
    for label, (seeds, rounds, shared) in zip(LABELS, SIZES, strict=True)
  }
