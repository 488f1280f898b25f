"""SLOPE: a loop by the definition, and the right choice where one is plain."""

import jax
import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.tuning import slope
from tests.evaluation.off_policy import problems

LAMBDAS = (0.1, 0.5, 1.0, 2.0, 5.0, 100.0)


def by_definition(estimator, rounds, lambdas):
  """The narrowest candidate such that all wider ones agree with it and with one another."""
  found = []
  for lambda_ in lambdas:
    v = np.asarray(estimators.influence(estimator(rounds, lambda_=lambda_)), np.float64)
    found.append((scipy.stats.sem(v) * scipy.stats.t.ppf(0.95, v.size - 1), v.mean(), lambda_))
  found.sort(key=lambda candidate: -candidate[0])
  last = found[0][2]
  for i in range(1, len(found)):
    for j in range(i):
      if abs(found[i][1] - found[j][1]) > found[i][0] + (np.sqrt(6) - 1) * found[j][0]:
        return last
    last = found[i][2]
  return last


@pytest.mark.parametrize('name', ['ipw', 'dr', 'switch_dr', 'dr_os'])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_choice_equals_the_definition(name, seed):
  with jax.enable_x64(True):
    rounds = estimators.match(**problems.log(seed, num_rounds=400))
    estimator = estimators.ESTIMATORS[name]
    assert slope(estimator, rounds, LAMBDAS) == by_definition(estimator, rounds, LAMBDAS)


def test_little_clipping_where_clipping_costs_and_much_where_it_does_not():
  log = problems.Tiny().draw(np.random.default_rng(0), 20_000)
  biased = estimators.match(**log | {'reward': np.ones(20_000), 'q_hat': None})
  assert slope(estimators.ipw, biased, LAMBDAS) >= 5
  free = estimators.match(**log | {'reward': np.random.default_rng(1).normal(size=20_000)})
  assert slope(estimators.ipw, free, LAMBDAS) == 0.1


def test_no_candidate():
  with pytest.raises(ValueError, match='at least one candidate'):
    slope(estimators.ipw, estimators.match(**problems.log(0)), ())
