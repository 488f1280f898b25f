"""How often do 95 % intervals hold where actions are lists, numbers, or have categories?"""

from typing import Any

from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Expected
from rec_jax.studies.structured import coverage
from rec_jax.studies.structured.coverage import WORLDS, StructuredConfig

SIZES = (100, 1_000, 10_000)


def get_study() -> Study:
  """What actions are x size of the log, with bounds where the assumption of an estimator holds."""
  variants: dict[str, dict[str, Any]] = {
    f'{actions}, {size:,}': {'actions': actions, 'num_rounds': size}
    for actions in WORLDS
    for size in SIZES
  }
  expected = {}
  for variant, fields in variants.items():
    for name in coverage.unbiased(fields['actions']):
      expected[variant, coverage.misled(name)] = Expected(0.0, 0.08)
      # With fewer rounds, and at the edge of what was logged, nearly all logs warn.
      if fields['num_rounds'] >= 1_000 and fields['actions'] != 'doses at the edge':
        expected[variant, coverage.covered(name, 't')] = Expected(0.92, 1.0)
  return Study(
    title='How often do 95 % intervals hold of lists, numbers and categories?',
    protocol=(
      '{config.num_logs:,} synthetic logs of each kind and size, of a world each; share of the '
      'logs whose interval holds the exact value; bootstrap of {config.resamples:,} resamples; '
      "errors and widths are by Student's interval; the unit is the log"
    ),
    config=StructuredConfig(),
    variants=variants,
    expected=expected,
    measure=coverage.measure,
  )
