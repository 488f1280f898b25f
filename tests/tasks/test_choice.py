"""What many settings gain is judged by queries that did not choose among them."""

import numpy as np
import pytest

from rec_jax.tasks import choice


@pytest.mark.parametrize(
  ('gain', 'errors', 'expected'),
  [
    ([0.2], 1, False),
    ([0.1, 0.1], 1, True),
    ([1.0, 0.0], 1, False),
    ([0.5, 0.3, 0.1], 1, True),
    ([0.5, 0.3, 0.1], 2.5, True),
    ([0.5, 0.3, 0.1], 2.7, False),
    ([-1, -1], 1, False),
  ],
)
def test_one_setting_is_judged_by_its_standard_errors(gain, errors, expected):
  assert choice.helps(np.stack([np.zeros(len(gain)), gain]), errors) is expected


def test_the_gain_is_of_settings_that_other_queries_choose():
  """Five queries, each with a setting that helps it alone, and harms the others."""
  value = np.concatenate([np.zeros((1, 5)), np.eye(5) - 0.1])
  assert not choice.helps(value, 0.0)
  # One that helps all of them a little is chosen by all.
  assert choice.helps(np.concatenate([value, np.full((1, 5), 0.3)]), 2.0)


def test_noise_seldom_helps_and_a_gain_among_noise_does():
  rng = np.random.default_rng(0)
  taken = {0.0: 0, 0.05: 0}
  for _ in range(200):
    noise = rng.normal(0, 0.3, (300, 200))
    for gain in taken:
      value = np.concatenate([np.zeros((1, 200)), noise])
      value[7] += gain + 0.05 * (gain > 0)
      taken[gain] += choice.helps(value, 1.0)
  # One standard error of one side is .16 of chance.
  assert taken[0.0] < 0.25 * 200
  assert taken[0.05] > 0.9 * 200
