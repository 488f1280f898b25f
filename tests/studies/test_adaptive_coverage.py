"""Logs of a policy that learns: propensities by a loop and by frequency, and what is counted."""

import numpy as np
import pytest

from experiments import studies
from rec_jax.studies import adaptive_coverage as coverage
from rec_jax.studies.adaptive_coverage import LOGGERS, WARM_UP, AdaptiveConfig


@pytest.mark.parametrize('logger', LOGGERS)
def test_propensities_hang_on_earlier_rewards_and_are_those_of_the_draws(logger):
  logs = coverage.draw(np.random.default_rng(0), logger, 0.3, 300, 40)
  np.testing.assert_allclose(logs.propensity.sum(2), 1)
  for row in range(3):
    count, total = np.zeros((1, 2)), np.zeros((1, 2))
    for t in range(40):
      first = LOGGERS[logger](t, count, total)[0] if t >= WARM_UP else 0.5
      assert logs.propensity[row, t, 0] == pytest.approx(first)
      np.testing.assert_allclose(logs.expected[row, t], total[0] / (count[0] + 1))
      count[0, logs.arm[row, t]] += 1
      total[0, logs.arm[row, t]] += logs.reward[row, t]
  # Draws are those of the propensities: z of 300 x 40 of them, and of what is earned.
  first = logs.propensity[:, :, 0]
  z = ((logs.arm == 0) - first).sum() / np.sqrt((first * (1 - first)).sum())
  assert abs(z) < 3
  rounds = coverage.rounds_of(logs, 1)
  value = np.array([(each.weight * each.reward).mean() for each in rounds])
  assert abs(value.mean() - 0.3) < 3 * value.std() / 300**0.5
  np.testing.assert_allclose(rounds[0].second_moment, 1 / logs.propensity[0, :, 1])
  weight = np.where(logs.arm[0] == 1, 1 / logs.propensity[0, :, 1], 0)
  np.testing.assert_allclose(rounds[0].weight, weight)


def test_all_that_the_study_expects_is_measured_and_misses_are_of_logs_that_do_not_warn():
  config = AdaptiveConfig(num_logs=8, num_rounds=150, resamples=20)
  found = coverage.measure(config, None)
  expected = studies.load('adaptive_coverage').expected
  assert {metric for _, metric in expected} <= set(found)
  for arm in coverage.ARMS:
    quiet = np.asarray(found[f'{arm}, {coverage.UNWARNED}'].value)
    holds = np.asarray(found[coverage.covered(f'{arm}, dr', 'adaptive')].value)
    missed = np.asarray(found[coverage.misled(f'{arm}, dr', 'adaptive')].value)
    np.testing.assert_array_equal(missed, quiet & ~holds)
    advised = found[coverage.covered(f'{arm}, dr', 'adaptive', advised=True)]
    np.testing.assert_array_equal(advised.value, holds[quiet])
