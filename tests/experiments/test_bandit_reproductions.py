"""Published numbers of bandits: bounds by hand, and a policy that learns nothing is found out."""

import math

import pytest

from experiments.reproductions import Repeat, arms, exp3_bounds, nine_arms


def test_bounds_by_hand():
  # Gaps 1/2 and 1/4: 8 ln T (2 + 4) + (1 + pi^2 / 3) 3 / 4.
  bound = nine_arms.ucb1_bound((0.25, 0.5, 0.75), 100)
  assert bound == pytest.approx(48 * math.log(100) + 0.75 * (1 + math.pi**2 / 3))
  low, high = exp3_bounds.within(4)
  assert low == pytest.approx(10)
  assert high == pytest.approx(2.63 * 200 * math.sqrt(math.log(4)))


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
