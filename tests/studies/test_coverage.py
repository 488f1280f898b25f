"""The coverage study: its value is what the estimators mean, and what misses it is counted."""

import jax
import numpy as np
import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.studies import coverage


def test_estimators_mean_the_value_that_has_to_be_covered():
  with jax.enable_x64():
    problem = coverage.make_problem(jax.random.key(3), 0.5)
    cells = coverage.every_cell(problem)
    chance = np.stack([1 - problem.mean, problem.mean], axis=-1)
    probability = np.asarray(problem.behaviour)[..., None] * chance / coverage.NUM_CONTEXTS
    assert probability.sum() == pytest.approx(1)
    value = (problem.target * problem.mean).sum(1).mean()
    for name in ('ipw', 'dr'):
      terms = coverage.ESTIMATORS[name](cells)
      mean = probability.ravel() @ np.asarray(terms.direct + terms.correction)
      assert mean == pytest.approx(float(value)), name


def test_an_interval_covers_what_lies_in_it():
  intervals = [Estimate(0, *ends, 9) for ends in ((1.0, 2.0), (-1.0, 1.0), (-1.0, 0.4), (0.5, 2.0))]
  assert coverage.covers(intervals, 0.5) == [False, True, False, True]
