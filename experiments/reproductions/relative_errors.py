"""Relative errors of seven estimators over repeated runs, as OBP prints them."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.reproductions import Figure
from rec_jax.evaluation.intervals import t_interval
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.estimators import Rounds, reduce
from rec_jax.evaluation.off_policy.tuning import slope

# Candidates of SLOPE, and the folds and the penalty of its examples.
LAMBDAS = (10, 50, 100, 500, 1000, 5000, 10000, np.inf)
NUM_FOLDS, FOLD_SEED, PENALTY = 3, 12345, 0.01


def of(rounds: Rounds, truth: float) -> dict[str, float]:
  """Estimator -> |estimate - truth| / truth; Switch-DR and DRos with the lambda of SLOPE."""
  table = {name: getattr(estimators, name) for name in ('dm', 'ipw', 'snipw', 'dr', 'sndr')}
  for name in ('switch_dr', 'dr_os'):
    estimator = getattr(estimators, name)
    table[name] = functools.partial(estimator, lambda_=slope(estimator, rounds, LAMBDAS))
  return {
    name: abs(float(reduce(estimator(rounds))) - truth) / truth for name, estimator in table.items()
  }


def compare(
  runs: Sequence[Mapping[str, float]],
  published: Mapping[str, float],
  tolerance: Mapping[str, float],
) -> list[Figure]:
  """The mean over the runs beside the published one, by estimator."""
  return [
    Figure(name, value, t_interval(np.array([run[name] for run in runs])), tolerance[name])
    for name, value in published.items()
  ]
