"""Linear Thompson sampling with a regression an arm, online: K = 80 arms, d = 20."""

from experiments.benchmarks import Cases, benchmark, by_script, streams
from rec_jax import bandits
from rec_jax.runs.study import Study
from rec_jax.types import ArmSpec

NUM_ARMS, DIM = 80, 20
SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=DIM, arm_dim=1)
# (seeds, rounds, contexts shared, propensities)
SIZES = (
  (32, 5_000, True, False),
  (32, 5_000, False, False),
  (32, 1_000, True, True),
  (128, 1_000, True, False),
  (1, 100_000, True, False),
)
LABELS = tuple(streams.state(seeds, shared, log) for seeds, _, shared, log in SIZES)


def get_study() -> Study:
  """Decision and update, over 32 and 128 seeds side by side and on a single stream."""
  sizes = {'policy': 'thompson', 'num_arms': NUM_ARMS, 'dim': DIM}
  return benchmark(
    'Linear Thompson sampling, disjoint, K=80, d=20, beside OBP, MABWiser and NumPy',
    f'decisions/s, linear Thompson, disjoint, K={NUM_ARMS}, d={DIM}; {streams.INSIDE}',
    _cases,
    {
      'NumPy, float64': by_script('numpy_linear.py', LABELS, num_rounds=20_000, **sizes),
      'sb-obp 0.5.10': by_script('obp_linear.py', LABELS[:1], num_rounds=300, **sizes),
      'mabwiser 2.7.4': by_script('mabwiser_linear.py', LABELS[:1], num_rounds=200, **sizes),
      'contextualbandits 0.3.30': by_script(
        'contextualbandits_linear.py', LABELS[:1], num_rounds=100, **sizes
      ),
    },
  )


def _cases() -> Cases:
  policy = bandits.make('disjoint_lin_ts')
  return {
    label: streams.measure(policy, SPEC, seeds, rounds, shared=shared, record_log=log)
    for label, (seeds, rounds, shared, log) in zip(LABELS, SIZES, strict=True)
  }
