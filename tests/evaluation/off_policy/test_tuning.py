"""SLOPE: a loop by the definition, and the right choice where one is plain."""

import jax
import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation.off_policy import estimators, registry
from rec_jax.evaluation.off_policy.tuning import candidates, slope, tuned
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
    estimator = registry.ESTIMATORS[name]
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


@pytest.mark.parametrize('heavy', [False, True])
def test_each_grid_holds_its_unbiased_end(heavy):
  weight = np.random.default_rng(0).pareto(1.5, size=300) if heavy else np.full(300, 0.9)
  zeros = np.zeros(300)
  rounds = estimators.Rounds(np.ones(300), weight, zeros + 0.5, zeros, zeros)
  for name, grid in candidates(weight).items():
    kept = [np.asarray(registry.ESTIMATORS[name](rounds, lambda_=v).correction) for v in grid]
    unbiased = [k for k in kept if np.allclose(k, weight, rtol=1e-6)]
    assert unbiased, name
    assert len(unbiased) < len(kept) or not heavy


def test_tuned_estimators_come_to_the_truth_with_a_wrong_model_on_a_uniform_log():
  rng = np.random.default_rng(1)
  action, target = rng.integers(4, size=20_000), np.array([0.7, 0.1, 0.1, 0.1])
  mean = np.array([0.8, 0.3, 0.2, 0.1])
  reward = (rng.random(20_000) < mean[action]).astype(float)
  wrong = np.array([0.1, 0.8, 0.8, 0.8])
  with jax.enable_x64():
    rounds = estimators.match(
      reward,
      action,
      np.full(20_000, 0.25),
      np.tile(target[:, None], (20_000, 1, 1)),
      q_hat=np.tile(wrong[:, None], (20_000, 1, 1)),
    )
    for label, estimator in tuned(rounds, True).items():
      values = np.asarray(estimators.influence(estimator(rounds)))
      error = values.std() / np.sqrt(20_000)
      assert (abs(values.mean() - target @ mean) < 4 * error) == (label != 'dm'), label
