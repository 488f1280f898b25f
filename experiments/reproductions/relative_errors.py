"""Relative errors of seven estimators over repeated runs, as OBP prints them."""

import functools

import numpy as np

from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.estimators import Rounds, reduce
from rec_jax.evaluation.off_policy.tuning import slope
from rec_jax.runs.study import Values

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


def values(rounds: Rounds, truth: float, run: int) -> dict[str, Values]:
  """The relative error of each estimator in one run, which is the unit."""
  return {name: Values([error], [run]) for name, error in of(rounds, truth).items()}
