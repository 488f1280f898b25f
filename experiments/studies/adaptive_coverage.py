"""How often do 95 % intervals hold on logs of a policy that learnt while it logged?"""

from typing import Any

from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Expected
from rec_jax.studies import adaptive_coverage as coverage
from rec_jax.studies.adaptive_coverage import AdaptiveConfig
from rec_jax.studies.coverage import ASYMPTOTIC, misled

SIZES = (1_000, 10_000)
GAPS = {'equal arms': 0.0, 'one better': 0.3}
# What the command line shows of such a log. The effect by `t` stands there with a note and has no
# bound: where arms are alike it fails, and --interval=adaptive has another.
SHOWN = (
  *((name, interval) for name in coverage.ESTIMATORS for interval in ASYMPTOTIC),
  *((name, coverage.ADAPTIVE) for name in ('ipw', 'dr')),
)


def get_study() -> Study:
  """Policy that logs x how far the arms are apart x size of the log."""
  variants: dict[str, dict[str, Any]] = {
    f'{logger}, {arms}, {size:,} rounds': {'logger': logger, 'gap': gap, 'num_rounds': size}
    for logger in coverage.LOGGERS
    for arms, gap in GAPS.items()
    for size in SIZES
  }
  expected = {
    (variant, misled(f'{arm}, {name}', interval)): Expected(0.0, 0.08)
    for variant in variants
    for arm in coverage.ARMS
    for name, interval in SHOWN
  }
  return Study(
    title='How often do 95 % intervals hold where the policy that logged learnt meanwhile?',
    protocol=(
      '{config.num_logs:,} synthetic logs of each kind, two arms with normal rewards; share of the '
      'logs whose interval holds the exact value of an arm, or effect over what was logged; '
      'bootstrap of {config.resamples:,} resamples; the unit is the log'
    ),
    config=AdaptiveConfig(),
    variants=variants,
    expected=expected,
    measure=coverage.measure,
  )
