"""The study of learning: its logs are what it says, and its values are those of a loop."""

import itertools

import numpy as np
import pytest

from rec_jax.studies import learning_gains


def test_the_log_is_of_the_policy_that_it_names():
  log, expected, behaviour = learning_gains.make_world(0)
  np.testing.assert_allclose(behaviour.sum(1), 1)
  rows = np.arange(len(log.action))
  np.testing.assert_array_equal(log.propensity, behaviour[rows, log.action])
  # The mean weight of any other policy is 1, and chosen actions pay what is expected of them.
  assert np.mean(0.1 / log.propensity) == pytest.approx(1, abs=0.05)
  of_another = behaviour[rows, (log.action + 1) % learning_gains.NUM_ACTIONS]
  assert np.mean(0.1 / of_another) != pytest.approx(1, abs=0.05)
  assert log.reward.mean() == pytest.approx(expected[rows, log.action].mean(), abs=0.03)


def test_what_a_slate_earns_by_enumeration(monkeypatch):
  monkeypatch.setattr(learning_gains, 'NUM_ROUNDS', 0)
  policy, expected = np.array([[0.5, 0.3, 0.2]]), np.array([[0.1, 0.4, 0.9]])
  slates = itertools.product(range(3), repeat=3)
  total = sum(np.prod(policy[0, list(s)]) * expected[0, list(set(s))].sum() for s in slates)
  item, slate = learning_gains.earned(policy, expected)
  assert item == pytest.approx(0.05 + 0.12 + 0.18)
  assert slate == pytest.approx(total)
