"""The coverage study: its value is what the estimators mean, and a share out of bounds is seen."""

import jax
import numpy as np
import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.studies import coverage


def test_estimators_mean_the_value_that_has_to_be_covered():
  with jax.enable_x64():
    problem = coverage.make_problem(jax.random.key(3), coverage.NEAR)
    cells = coverage.every_cell(problem)
    chance = np.stack([1 - problem.mean, problem.mean], axis=-1)
    probability = np.asarray(problem.behaviour)[..., None] * chance / coverage.NUM_CONTEXTS
    assert probability.sum() == pytest.approx(1)
    value = (problem.target * problem.mean).sum(1).mean()
    for name in ('ipw', 'dr'):
      terms = coverage.ESTIMATORS[name](cells)
      mean = probability.ravel() @ np.asarray(terms.direct + terms.correction)
      assert mean == pytest.approx(float(value)), name


@pytest.mark.parametrize(('missed', 'within'), [(2, False), (5, True), (8, False)])
def test_a_share_out_of_bounds_is_seen(missed, within):
  estimates = [Estimate(0.0, 1.0, 2.0, 9)] * missed + [Estimate(0.0, -1.0, 1.0, 9)] * (100 - missed)
  rows, fits = coverage.summary({('ipw', 't'): estimates}, 0.5, bounded=True)
  assert fits == within
  assert rows == [['ipw', 't', f'{1 - missed / 100:.1%}', '93% to 97%', f'{2 - missed / 100:.3f}']]
