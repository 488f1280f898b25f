"""AUC, log-loss and calibration against loops, by hand, and what calibration means."""

import math

import numpy as np
import pytest

from rec_jax.evaluation import probabilities


def predictions(n=200, levels=12, seed=0):
  """Probabilities with many ties, some of them on the edges of bins, and labels."""
  rng = np.random.default_rng(seed)
  p = rng.integers(0, levels, n) / (levels - 1)
  return p, rng.random(n) < p**2


def test_auc_counts_pairs():
  p, y = predictions()
  pairs = [(a > b) + 0.5 * (a == b) for a in p[y] for b in p[~y]]
  assert probabilities.auc(p, y) == pytest.approx(np.mean(pairs), abs=1e-12)
  assert probabilities.auc(-p, y) == pytest.approx(1 - np.mean(pairs), abs=1e-12)
  assert probabilities.auc(np.zeros(4), [0, 1, 1, 0]) == 0.5
  assert math.isnan(probabilities.auc([0.1, 0.2], [1, 1]))


def test_log_loss_by_hand():
  found = probabilities.log_loss([0.25, 0.25, 1.0, 0.0], [1, 0, 1, 1])
  np.testing.assert_allclose(found[:2], [math.log(4), math.log(4 / 3)], rtol=1e-14)
  assert found[2] == pytest.approx(0, abs=1e-15) and found[3] == pytest.approx(36.04, abs=0.01)


@pytest.mark.parametrize('bins', [1, 5, 11])
def test_calibration_equals_a_loop_over_bins(bins):
  p, y = predictions()
  diagram, error = probabilities.reliability(p, y, bins), 0.0
  for i in range(bins):
    low, high = np.linspace(0, 1, bins + 1)[i : i + 2]
    inside = (p > low) & (p <= high) | ((p == 0) & (i == 0))
    assert diagram.size[i] == inside.sum()
    if inside.any():
      assert diagram.predicted[i] == pytest.approx(p[inside].mean())
      assert diagram.observed[i] == pytest.approx(y[inside].mean())
      error += inside.mean() * abs(p[inside].mean() - y[inside].mean())
  assert diagram.size.sum() == len(p)
  found = probabilities.expected_calibration_error(p, y, bins)
  assert found == pytest.approx(error, abs=1e-12)


def test_what_is_calibrated_has_a_small_error_and_what_is_not_a_large_one():
  rng = np.random.default_rng(1)
  p = rng.random(100_000)
  y = rng.random(100_000) < p
  assert probabilities.expected_calibration_error(p, y) < 0.01
  # Squared, they are off by the mean of p - p^2, which is 1/6, of bins of like sign.
  assert probabilities.expected_calibration_error(p**2, y) == pytest.approx(1 / 6, abs=0.01)


@pytest.mark.parametrize(
  ('p', 'y', 'message'),
  [
    ([0.5], [1, 0], r'got \(1,\) and \(2,\)'),
    ([], [], 'expected scores'),
    ([0.5], [2], 'zeros and ones'),
    ([np.nan], [1], 'must not be NaN'),
    ([1.5], [1], 'from 1.5 to 1.5 are not within'),
  ],
)
def test_wrong_input_is_named(p, y, message):
  with pytest.raises(ValueError, match=message):
    probabilities.log_loss(p, y)
