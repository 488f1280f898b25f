"""Published numbers of bandits: bounds by hand, and a policy that learns nothing is found out."""

import math

import jax
import numpy as np
import pytest

from experiments.reproductions import (
  Repeat,
  arms,
  bake_off,
  delayed_thompson,
  exp3_bounds,
  neural_testbed,
  wheel,
)
from rec_jax import bandits
from rec_jax.environments.classification import classification_data
from rec_jax.environments.wheel import WheelData


def test_bounds_by_hand():
  low, high = exp3_bounds.within(4)
  assert low == pytest.approx(10)
  assert high == pytest.approx(2.63 * 200 * math.sqrt(math.log(4)))


@pytest.mark.soak
def test_exp3_meets_the_bounds_that_uniform_does_not(monkeypatch, tmp_path):
  sizes = {'NUM_ROUNDS': 1000, 'NUM_RUNS': 20, 'NUMBERS_OF_ARMS': (10,)}
  for name, value in sizes.items():
    monkeypatch.setattr(exp3_bounds, name, value)
  study = exp3_bounds.get_study()
  found = study.measure(Repeat(), tmp_path)
  for (_, metric), bounds in study.expected.items():
    assert bounds.low < found[metric].value.mean() < bounds.high, metric
  uniform = arms.regrets(0, [0.0] * 9 + [1.0], 1000, 20, 'uniform').value.mean()
  assert uniform == pytest.approx(900, rel=0.02)
  assert uniform > study.expected['rec_jax', 'easy, K = 10'].high


@pytest.mark.soak
def test_thompson_sampling_regrets_as_a_plain_loop_does():
  means, num_rounds, num_runs, num_plain = np.array([0.2, 0.5, 0.8]), 60, 800, 20_000
  rng, runs = np.random.default_rng(0), np.arange(num_plain)
  won, lost = np.ones((num_plain, 3)), np.ones((num_plain, 3))
  regret = np.zeros(num_plain)
  for _ in range(num_rounds):
    arm = rng.beta(won, lost).argmax(axis=1)
    reward = rng.random(num_plain) < means[arm]
    won[runs, arm] += reward
    lost[runs, arm] += ~reward
    regret += means.max() - means[arm]
  ours = arms.regrets(0, means.tolist(), num_rounds, num_runs, 'bernoulli_ts').value
  error = math.hypot(regret.std() / num_plain**0.5, ours.std() / num_runs**0.5)
  assert abs(ours.mean() - regret.mean()) < 3 * error
  # What is found out: a regret that is off by a tenth.
  assert abs(1.1 * ours.mean() - regret.mean()) > 3 * error


def test_uniform_choice_on_the_wheel_by_hand():
  # Inside four arms miss 0.2; outside one misses 48.8 and three 49.
  assert wheel.uniform_regret(WheelData(disc_radius=0.5)) == pytest.approx(
    0.25 * 0.8 / 5 + 0.75 * (48.8 + 147) / 5
  )


@pytest.mark.soak
def test_a_uniform_choice_in_the_shop_regrets_what_the_best_is_worth(monkeypatch):
  monkeypatch.setattr(delayed_thompson, 'RETIRE_CHANCE', 0.01)
  uniform = bandits.make('uniform')
  monkeypatch.setattr(delayed_thompson.bandits, 'make', lambda name: uniform)
  regret = delayed_thompson.regrets(0, 10, 1000, 64).value
  # The best of ten chances from Beta(4, 4), by draws of it, is worth 0.25 a round more than any.
  best = np.random.default_rng(0).beta(4, 4, (20_000, 10)).max(axis=1).mean()
  assert regret.mean() == pytest.approx(1000 * (best - 0.5), rel=0.1)


@pytest.mark.soak
def test_learning_late_costs_regret(monkeypatch):
  monkeypatch.setattr(delayed_thompson, 'RETIRE_CHANCE', 0.01)
  early, late = (delayed_thompson.regrets(0, wait, 1000, 8).value.mean() for wait in (10, 200))
  # The best of ten chances from Beta(4, 4) is worth 0.25 a round more than any.
  assert 10 < early < 0.7 * late < 0.7 * 250


def test_arms_without_means_draw_their_own():
  # The best of ten chances is worth 10 / 11, another one 1 / 2.
  regret = arms.regrets(0, 10, 50, 500, 'uniform').value
  assert regret.mean() == pytest.approx(50 * (10 / 11 - 1 / 2), rel=0.05)
  assert regret.std() > 1


def test_one_vs_rest_is_ridge_regression_of_the_rows_before():
  rng = np.random.default_rng(0)
  labels = rng.integers(3, size=40)
  data = classification_data(rng.normal(size=(40, 2)) + np.eye(3, 2)[labels], labels)
  key = jax.random.key(0)
  order = np.asarray(jax.random.permutation(jax.random.split(key, 3)[1], 40))
  x, y = np.asarray(data.queries, np.float64)[order], labels[order]
  wrong = 0
  for i in range(40):
    # Nothing known is a tie, and the first class.
    weights = np.linalg.solve(np.eye(3) + x[:i].T @ x[:i], x[:i].T @ np.eye(3)[y[:i]])
    wrong += np.argmax(x[i] @ weights) != y[i]
  assert 0 < wrong < 30
  assert bake_off.told_all(key, data, 3) == pytest.approx(wrong / 40)


@pytest.mark.parametrize(
  ('temperature', 'number', 'expected'), [(1e6, 10, 0.0), (1e-6, 1, np.log(2))]
)
def test_an_even_guess_is_right_of_coins_and_knows_nothing_of_what_is_sure(
  monkeypatch, temperature, number, expected
):
  monkeypatch.setattr(neural_testbed, 'NUM_EVEN', 2)
  even = neural_testbed.Even(2, temperature, number, True, 0.0, 0.0)
  found = neural_testbed.even_divergences(jax.random.key(0), even)
  np.testing.assert_allclose(found, expected, atol=1e-3)
