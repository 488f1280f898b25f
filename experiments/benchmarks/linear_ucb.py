"""LinUCB with a regression an arm, online: K = 100 arms, d = 32."""

from experiments.benchmarks import Cases, benchmark, by_script, streams
from rec_jax import bandits
from rec_jax.runs.study import Study
from rec_jax.types import ArmSpec

NUM_ARMS, DIM = 100, 32
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=DIM, arm_dim=1)
# (seeds, rounds, contexts shared)
SIZES = ((32, 5_000, True), (32, 5_000, False), (1, 100_000, True))
LABELS = tuple(streams.state(seeds, shared) for seeds, _, shared in SIZES)


def get_study() -> Study:
  """Decision and update, over 32 seeds side by side and on a single stream."""
  sizes = {'policy': 'ucb', 'num_arms': NUM_ARMS, 'dim': DIM}
  return benchmark(
    'LinUCB, disjoint, K=100, d=32, beside OBP, MABWiser and NumPy',
    f'decisions/s, LinUCB, disjoint, K={NUM_ARMS}, d={DIM}; {streams.INSIDE}',
    _cases,
    {
      'NumPy, float64': by_script('numpy_linear.py', LABELS, num_rounds=20_000, **sizes),
      'sb-obp 0.5.10': by_script('obp_linear.py', LABELS[:2], num_rounds=1_000, **sizes),
      'mabwiser 2.7.4': by_script('mabwiser_linear.py', LABELS[:2], num_rounds=200, **sizes),
    },
  )


def _cases() -> Cases:
  policy = bandits.make('disjoint_lin_ucb')
  return {
    label: streams.measure(policy, SPEC, seeds, rounds, shared=shared)
    for label, (seeds, rounds, shared) in zip(LABELS, SIZES, strict=True)
  }
