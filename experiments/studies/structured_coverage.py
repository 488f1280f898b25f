"""How often do 95 % intervals hold where actions are lists, numbers, or have categories?"""

from rec_jax.runs.study import Study
from rec_jax.studies.structured import coverage
from rec_jax.studies.structured.coverage import WORLDS, StructuredConfig

SIZES = (100, 1_000, 10_000)


def get_study() -> Study:
  """What actions are x size of the log."""
  variants = {
    f'{actions}, {size:,}': {'actions': actions, 'num_rounds': size}
    for actions in WORLDS
    for size in SIZES
  }
  return Study(
    title='How often do 95 % intervals hold of lists, numbers and categories?',
    protocol=(
      '{config.num_logs:,} synthetic logs of each kind and size, of a world each; share of the '
      'logs whose interval holds the exact value; bootstrap of {config.resamples:,} resamples; '
      "errors and widths are by Student's interval; the unit is the log"
    ),
    config=StructuredConfig(),
    variants=variants,
    measure=coverage.measure,
  )
