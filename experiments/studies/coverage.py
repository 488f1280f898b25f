"""How often do 95 % intervals hold a policy's value?"""

from rec_jax.evaluation.off_policy.finite_sample import RANGED, SEQUENCE
from rec_jax.evaluation.off_policy.registry import SELF_NORMALISED
from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Expected
from rec_jax.studies import coverage
from rec_jax.studies.coverage import CoverageConfig

OVERLAPS = {'near': 0.5, 'middle': 1.0, 'far': 1.5}
SIZES = (100, 1_000, 10_000)
REWARDS = {'common': -1.0, 'rare': -4.0}
# Where most logs have no warning, so that the advice goes by them; elsewhere none has.
ADVISED = (
  'near, 1,000 rounds, common rewards',
  'near, 10,000 rounds, common rewards',
  'near, 10,000 rounds, rare rewards',
)


def get_study() -> Study:
  """Overlap x size of the log x rewards, with bounds on all that the advice goes by."""
  variants = {
    f'{overlap}, {size:,} rounds, {rewards} rewards': {
      'spread': spread,
      'num_rounds': size,
      'level': level,
    }
    for overlap, spread in OVERLAPS.items()
    for rewards, level in REWARDS.items()
    for size in SIZES
  }
  pairs = [(name, interval) for name in coverage.ADVISED for interval in coverage.ASYMPTOTIC]
  pairs += coverage.SHOWN
  sure = [
    (name, interval)
    for name in coverage.ESTIMATORS
    if name not in SELF_NORMALISED
    for interval in RANGED
  ]
  expected = {}
  for variant in variants:
    advised = variant in ADVISED
    expected[variant, coverage.UNWARNED] = Expected(0.5, 1.0) if advised else Expected(0.0, 0.05)
    for pair in pairs:
      expected[variant, coverage.misled(*pair)] = Expected(0.0, 0.08)
      if advised:
        expected[variant, coverage.covered(*pair, advised=True)] = Expected(0.92, 1.0)
    for pair in [*sure, ('ipw', SEQUENCE)]:
      expected[variant, coverage.covered(*pair)] = Expected(0.95, 1.0)
  return Study(
    title="How often do 95 % intervals hold a policy's value?",
    protocol=(
      '{config.num_logs:,} synthetic logs of each kind, 100 contexts, 10 actions, a reward model '
      'that is wrong unless it is said to be right; share of the logs whose interval holds the '
      'exact value, or effect; tuned estimators over a tenth of the logs; bootstrap of '
      '{config.resamples:,} resamples; the unit is the log'
    ),
    config=CoverageConfig(),
    variants=variants,
    expected=expected,
    measure=coverage.measure,
  )
