"""The coverage study: its value is what the estimators mean, and what misses it is counted."""

import dataclasses

import jax
import numpy as np
import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.studies import coverage


def test_estimators_mean_the_value_that_has_to_be_covered():
  with jax.enable_x64():
    problem = coverage.make_problem(jax.random.key(3), 0.5, -1.0)
    cells = coverage.every_cell(problem)
    chance = np.stack([1 - problem.mean, problem.mean], axis=-1)
    probability = np.asarray(problem.behaviour)[..., None] * chance / coverage.NUM_CONTEXTS
    assert probability.sum() == pytest.approx(1)
    value = float((problem.target * problem.mean).sum(1).mean())
    logged = float((problem.behaviour * problem.mean).sum(1).mean())
    # One log of all cells, twice: the right model changes what is expected, and not the mean.
    stacked = jax.tree.map(lambda leaf: leaf[None], cells)
    terms = coverage.terms_of(stacked, dataclasses.replace(stacked, q_logged=0 * stacked.reward))
    for name in ('ipw', 'dr', 'effect by dr'):
      mean = probability.ravel() @ np.asarray(terms[name].direct + terms[name].correction)[0]
      expected = value - logged if name.startswith('effect') else value
      assert mean == pytest.approx(expected), name


def test_an_interval_covers_what_lies_in_it():
  intervals = [Estimate(0, *ends, 9) for ends in ((1.0, 2.0), (-1.0, 1.0), (-1.0, 0.4), (0.5, 2.0))]
  assert coverage.covers(intervals, 0.5) == [False, True, False, True]


def test_what_is_advised_is_counted_where_nothing_warns():
  config = coverage.CoverageConfig(num_logs=20, num_rounds=400, resamples=50, spread=0.1)
  measured = coverage.measure(config, None)
  unwarned = np.asarray(measured[coverage.UNWARNED].value)
  assert unwarned.mean() > 0.5
  holds = np.asarray(measured[coverage.covered('dr', 't')].value)
  advised = measured[coverage.covered('dr', 't', advised=True)]
  np.testing.assert_array_equal(advised.value, holds[unwarned])
  misled = np.asarray(measured[coverage.misled('dr', 't')].value)
  np.testing.assert_array_equal(misled, unwarned & ~holds)
  far = coverage.measure(dataclasses.replace(config, spread=2.5), None)
  assert not np.any(far[coverage.UNWARNED].value)
  assert coverage.covered('dr', 't', advised=True) not in far
