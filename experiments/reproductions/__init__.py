"""Published numbers, a study each: what was published with its tolerance is what is expected."""

import dataclasses
from collections.abc import Mapping

from rec_jax.runs.study import Measure, Study
from rec_jax.runs.study_results import Expected

# The only variant of a reproduction.
MEASURED = 'rec_jax'


@dataclasses.dataclass
class Repeat:
  """One repeat of a published experiment.

  Attributes:
    seed: of all that is random in it.
  """

  seed: int = 0


def reproduction(
  title: str,
  setup: str,
  measure: Measure,
  published: Mapping[str, Expected],
  *,
  seed: int = 0,
  runs: int = 1,
) -> Study:
  """A study that fails where a number is not reproduced.

  Args:
    title: what is reproduced.
    setup: the published experiment, and where its numbers are.
    measure: one repeat.
    published: metric -> number and tolerance.
    seed: of the first repeat.
    runs: number of repeats.
  """
  return Study(
    title=title,
    protocol=setup,
    config=Repeat(seed),
    variants={MEASURED: {}},
    seeds=range(runs),
    expected={(MEASURED, metric): number for metric, number in published.items()},
    measure=measure,
  )
