"""How often do 95 % intervals hold a policy's value?"""

from rec_jax.evaluation.off_policy.estimators import SELF_NORMALISED
from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Expected
from rec_jax.studies import coverage
from rec_jax.studies.coverage import CoverageConfig


def get_study() -> Study:
  """A policy near the one that logs, whose shares have bounds, and one far from it."""
  # A thousand logs leave a standard error of 0.7 %.
  expected = {
    ('near', coverage.covered(name, interval)): Expected(0.93, 0.97)
    for name in coverage.ESTIMATORS
    for interval in coverage.ASYMPTOTIC
  }
  expected |= {
    ('near', coverage.covered(name, interval)): Expected(0.95, 1.0)
    for name in coverage.ESTIMATORS
    if name not in SELF_NORMALISED
    for interval in coverage.RANGED
  }
  # Intervals of the far policy need not cover, but most logs have to say so.
  expected['far', coverage.WARNED] = Expected(0.9, 1.0)
  return Study(
    title="How often do 95 % intervals hold a policy's value?",
    protocol=(
      '{config.num_logs:,} synthetic logs of 1,000 rounds, 100 contexts, 10 actions, a reward '
      'model that is wrong; share of the logs whose interval holds the exact value; the unit is '
      'the log'
    ),
    config=CoverageConfig(),
    variants={'near': {'spread': 0.5}, 'far': {'spread': 1.5}},
    expected=expected,
    measure=coverage.measure,
  )
