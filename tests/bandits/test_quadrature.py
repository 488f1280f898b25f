"""The probability of being the best of independent normals, against float64 and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_ndtr
from scipy.stats import norm

from rec_jax.bandits import quadrature
from rec_jax.bandits.quadrature import probability_of_normal

NUM_CANDIDATES = 30
ONE = jax.jit(probability_of_normal)
# Deviations: equal, alike, over two, four and seven powers of ten; one of its own.
KINDS = {
  'equal': lambda rng: (1.0, np.full(NUM_CANDIDATES, 0.3)),
  'alike': lambda rng: (1.0, 0.2 * np.exp(rng.normal(size=NUM_CANDIDATES) / 2)),
  'two_powers': lambda rng: (1.0, 10 ** rng.uniform(-2, 0, NUM_CANDIDATES)),
  'four_powers': lambda rng: (1.0, 10 ** rng.uniform(-4, 0, NUM_CANDIDATES)),
  'seven_powers': lambda rng: (0.01, 10 ** rng.uniform(-6, 1, NUM_CANDIDATES)),
  'one_wide': lambda rng: (
    0.03,
    np.r_[10 ** rng.uniform(-3, 1), np.full(NUM_CANDIDATES - 1, 0.01)],
  ),
}


def by_panels(mean, deviation, index):
  """Gauss-Legendre in float64 on panels that end at steps of every candidate's deviation."""
  mean, deviation = np.float64(mean), np.float64(deviation)
  ends = (mean + np.linspace(-8, 8, 9)[:, None] * deviation).ravel()
  own = mean[index] + np.array([-9, 9]) * deviation[index]
  ends = np.unique(np.clip(ends, *own))
  nodes, weights = np.polynomial.legendre.leggauss(12)
  half = np.diff(ends)[:, None] / 2
  x = (ends[:-1, None] + half * (1 + nodes)).ravel()
  logs = log_ndtr((x[:, None] - mean) / deviation)
  logs[:, index] = norm.logpdf(x, mean[index], deviation[index])
  return np.sum((half * weights).ravel() * np.exp(logs.sum(axis=1)))


@pytest.mark.parametrize('kind', KINDS)
def test_one_normal_among_many_to_a_ten_thousandth(kind):
  rng = np.random.default_rng(0)
  for _ in range(10):
    spread, deviation = KINDS[kind](rng)
    mean = np.float32(spread * rng.normal(size=NUM_CANDIDATES))
    deviation = np.float32(deviation)
    for index in rng.choice(NUM_CANDIDATES, 4, replace=False):
      got = ONE(mean, deviation, np.ones(NUM_CANDIDATES, bool), index)
      assert got == pytest.approx(by_panels(mean, deviation, index), abs=1e-4)


def test_masked_candidates_do_not_compete():
  mean, deviation = jnp.array([0.5, 9.0, 0.3]), jnp.array([0.3, 1e-6, 0.4])
  mask = jnp.array([True, False, True])
  got = [float(ONE(mean, deviation, mask, index)) for index in (0, 2)]
  np.testing.assert_allclose(got, [norm.cdf(0.4), norm.cdf(-0.4)], atol=1e-6)


def test_points_without_deviation():
  mean, mask = jnp.array([0.5, 0.5, 0.2]), jnp.ones(3, bool)
  got = [float(ONE(mean, jnp.zeros(3), mask, index)) for index in range(3)]
  np.testing.assert_allclose(got, [0.5, 0.5, 0], atol=1e-5)
  assert ONE(mean[:1], jnp.zeros(1), mask[:1], 0) == pytest.approx(1, abs=1e-6)


# Products, and sums of logs where 1 - 1e-8 rounds to 1 for each.
@pytest.mark.parametrize('num_candidates', [2_000, 1_000_000])
def test_equals_share_evenly_however_many(num_candidates):
  mean, mask = jnp.zeros(num_candidates), jnp.ones(num_candidates, bool)
  got = ONE(mean, jnp.ones(num_candidates), mask, 7)
  assert got * num_candidates == pytest.approx(1, rel=7e-3)


def test_many_that_are_each_next_to_impossible_count_together():
  # Each is above a point at 0 with probability 1e-8, so one of 200,000 is with 0.002.
  num_others = 200_000
  mean = jnp.full(num_others + 1, norm.ppf(1e-8)).at[0].set(0)
  deviation = jnp.ones(num_others + 1).at[0].set(0)
  got = ONE(mean, deviation, jnp.ones(num_others + 1, bool), 0)
  assert got == pytest.approx(np.exp(-1e-8 * num_others), abs=1e-4)


def test_two_that_matter_among_many_share_evenly():
  num_candidates = 3_000
  mean = jnp.full(num_candidates, -50.0).at[:2].set(0)
  got = ONE(mean, jnp.ones(num_candidates), jnp.ones(num_candidates, bool), 0)
  assert got == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize('gap', [0.3, 1.0])
def test_one_far_below_that_is_narrow_costs_no_points(gap):
  mean, deviation = jnp.array([gap, 0, -100]), jnp.array([1, 0.5, 1e-9])
  got = ONE(mean, deviation, jnp.ones(3, bool), 0)
  assert got == pytest.approx(norm.cdf(gap / 1.25**0.5), abs=1e-5)


def test_probabilities_of_all_agree_with_each():
  rng = np.random.default_rng(1)
  mean, deviation = np.float32(rng.normal(size=8)), np.float32(rng.uniform(0.1, 1, 8))
  mask = np.arange(8) != 3
  each = [ONE(mean, deviation, mask, index) if mask[index] else 0 for index in range(8)]
  cdf = quadrature.normal_cdf(mean, deviation**2)
  got = quadrature.probabilities_of_independent(cdf, mean, deviation**2, 1.0, mask)
  np.testing.assert_allclose(got, each, atol=1e-4)
