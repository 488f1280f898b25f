"""Intervals: exactness on known cases, and coverage that is tested in both directions."""

import jax
import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation import intervals

REPETITIONS = 600


def simulated(make_interval, draw):
  """An interval for each of `REPETITIONS` fresh samples."""
  rng = np.random.default_rng(0)
  return [make_interval(jax.random.key(i), draw(rng)) for i in range(REPETITIONS)]


def coverage(estimates, truth, shrink=1.0):
  """Share of intervals, their half widths divided by `shrink`, that cover the truth."""
  covered = [
    e.value + (e.low - e.value) / shrink <= truth <= e.value + (e.high - e.value) / shrink
    for e in estimates
  ]
  return np.mean(covered)


def plausible(share, level=0.95):
  """Whether a share of covered repetitions could come from intervals of this level."""
  return scipy.stats.binomtest(round(share * REPETITIONS), REPETITIONS, level).pvalue > 1e-3


def bootstrap(key, values):
  return intervals.user_mean(key, values, resamples=500)


def student(key, values):
  del key
  return intervals.t_interval(values)


def ratio(key, values):
  del key
  return intervals.ratio_interval(*values)


def blocks(rng):
  """Reward and matched rounds of 50 blocks: the more rounds match, the more is earned."""
  matched = rng.poisson(4, size=50)
  return rng.binomial(matched, 0.3), matched


def skewed(rng):
  return rng.random(200) < 0.2


def normal(rng):
  return rng.normal(3.0, 2.0, size=6)


@pytest.mark.parametrize(
  ('make_interval', 'draw', 'truth'),
  [(bootstrap, skewed, 0.2), (student, normal, 3.0), (ratio, blocks, 0.3)],
)
@pytest.mark.usefixtures('optimised')
def test_coverage_is_right_and_a_narrower_interval_is_found_out(make_interval, draw, truth):
  estimates = simulated(make_interval, draw)
  assert plausible(coverage(estimates, truth))
  assert not plausible(coverage(estimates, truth, shrink=1.5))
  assert not plausible(coverage(estimates, truth, shrink=1 / 1.5))


def test_ratios_with_equal_denominators_are_means_and_differences_are_paired():
  one, other = np.random.default_rng(0).normal(size=(2, 9))
  twos = np.full(9, 2)
  ratio = intervals.ratio_interval(2 * one, twos)
  difference = intervals.ratio_difference((2 * one, twos), (2 * other, twos))
  for found, expected in (
    (ratio, intervals.t_interval(one)),
    (difference, intervals.t_interval(one - other)),
  ):
    np.testing.assert_allclose(
      (found.value, found.low, found.high), (expected.value, expected.low, expected.high)
    )
    assert found.n == 9


@pytest.mark.usefixtures('optimised')
def test_bootstrap_has_the_standard_error_of_the_mean():
  values = np.random.default_rng(0).exponential(size=500)
  estimate = intervals.user_mean(jax.random.key(0), values, resamples=20_000)
  standard_error = values.std() / np.sqrt(values.size)
  assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * standard_error, rel=0.03)
  assert estimate.value == values.mean()
  assert estimate.n == 500


def test_a_large_offset_costs_no_precision():
  values = np.random.default_rng(0).normal(size=300)
  near = intervals.user_mean(jax.random.key(0), values)
  far = intervals.user_mean(jax.random.key(0), values + 1e7)
  assert far.low - 1e7 == pytest.approx(near.low, abs=1e-6)
  assert far.high - 1e7 == pytest.approx(near.high, abs=1e-6)


def test_memory_bound_changes_no_number(monkeypatch):
  values = np.random.default_rng(0).normal(size=50)
  whole = intervals.user_mean(jax.random.key(0), values, resamples=333)
  monkeypatch.setattr(intervals, 'CHUNK_SIZE', 50 * 16)
  chunked = intervals.user_mean(jax.random.key(0), values, resamples=333)
  assert chunked.low == pytest.approx(whole.low, abs=1e-6)
  assert chunked.high == pytest.approx(whole.high, abs=1e-6)


def test_seeds_are_averaged_within_users_and_do_not_count_as_units():
  rng = np.random.default_rng(0)
  users = rng.normal(size=40)
  one = intervals.user_mean(jax.random.key(1), users)
  repeated = intervals.user_mean(jax.random.key(1), np.tile(users, (30, 1)))
  assert repeated.n == 40
  assert repeated.low == pytest.approx(one.low)
  assert repeated.high == pytest.approx(one.high)


def test_a_table_shares_its_resamples():
  values = np.random.default_rng(0).normal(size=60)
  table = intervals.user_means(jax.random.key(0), {'a': values, 'b': 2 * values + 1})
  assert table['b'].low == pytest.approx(2 * table['a'].low + 1, abs=1e-6)
  alone = intervals.user_mean(jax.random.key(0), values)
  assert table['a'].low == pytest.approx(alone.low, abs=1e-6)


def test_pairing_removes_what_users_have_in_common():
  rng = np.random.default_rng(0)
  common = rng.normal(0, 10, 100)
  baseline, values = common + rng.normal(0, 0.1, 100), common + 0.2 + rng.normal(0, 0.1, 100)
  paired = intervals.paired_difference(jax.random.key(0), values, baseline)
  assert paired.low > 0.1
  assert paired.high < 0.3
  alone = intervals.user_mean(jax.random.key(0), values)
  assert alone.high - alone.low > 1


def test_paired_difference_takes_any_number_of_seeds():
  difference = intervals.paired_difference(jax.random.key(0), np.full((5, 8), 3.0), np.arange(8.0))
  assert difference.value == pytest.approx(-0.5)
  assert difference.n == 8


def test_one_unit_has_no_interval():
  for estimate in (intervals.user_mean(jax.random.key(0), [0.3]), intervals.t_interval([0.3])):
    assert estimate.value == pytest.approx(0.3)
    assert np.isnan([estimate.low, estimate.high]).all()


def test_t_interval_equals_scipy():
  values = np.random.default_rng(0).normal(size=7)
  expected = scipy.stats.t.interval(0.9, 6, values.mean(), scipy.stats.sem(values))
  estimate = intervals.t_interval(values, level=0.9)
  np.testing.assert_allclose([estimate.low, estimate.high], expected)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ([1.0, np.nan, 2.0], '1 of 3 values are not finite'),
    ([], r'not empty, got \(0,\)'),
    (np.zeros((2, 3, 4)), r'got \(2, 3, 4\)'),
  ],
)
def test_bad_values_are_named(values, message):
  with pytest.raises(ValueError, match=message):
    intervals.user_mean(jax.random.key(0), values)


def test_different_users_cannot_be_combined():
  with pytest.raises(ValueError, match='3 users cannot be paired with 4'):
    intervals.paired_difference(jax.random.key(0), np.zeros(3), np.zeros(4))
  with pytest.raises(ValueError, match=r'got \[3, 4\] users'):
    intervals.user_means(jax.random.key(0), {'a': np.zeros(3), 'b': np.zeros(4)})


@pytest.mark.parametrize(
  ('ones', 'n', 'low', 'high'),
  # (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n) by hand, z = 1.959964, z² = 3.841459.
  [(10, 10, 0.722467, 1.0), (0, 10, 0.0, 0.277533), (5, 10, 0.236593, 0.763407)],
)
def test_share_has_the_interval_of_wilson(ones, n, low, high):
  found = intervals.share_interval([1] * ones + [0] * (n - ones))
  assert (found.value, found.n) == (ones / n, n)
  assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_a_share_is_of_zeros_and_ones():
  with pytest.raises(ValueError, match='zeros and ones'):
    intervals.share_interval([0, 0.5])


def test_ratios_by_hand_at_the_level_that_is_asked_for():
  # 12 / 8 = 1.5; residuals (1 - 1.5, 4 - 3, 7 - 7.5) over the mean 8 / 3 are (-3, 6, -3) / 16, of
  # standard deviation 0.3247595, and a third of it counts (Cochran 1977, equation 6.9).
  numerator, denominator = [1.0, 4.0, 7.0], [1.0, 2.0, 5.0]
  half = scipy.stats.t.ppf(0.9, 2) * 0.3247595 / np.sqrt(3)
  found = intervals.ratio_interval(numerator, denominator, level=0.8)
  np.testing.assert_allclose((found.value, found.low), (1.5, 1.5 - half), rtol=1e-6)
  np.testing.assert_allclose(found.high, 1.5 + half, rtol=1e-6)
  # Against means of 2 with residuals (-1, 0, 1): (13, 6, -19) / 16 of deviation 1.0514127.
  other = [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]
  half = scipy.stats.t.ppf(0.9, 2) * 1.0514127 / np.sqrt(3)
  found = intervals.ratio_difference((numerator, denominator), other, level=0.8)
  np.testing.assert_allclose((found.value, found.low), (-0.5, -0.5 - half), rtol=1e-6)
  np.testing.assert_allclose(found.high, -0.5 + half, rtol=1e-6)
  assert found.n == 3


def test_two_units_have_a_spread():
  half = float(intervals.t_half_width([1.0, 3.0], level=0.5))
  # The upper quartile of Student's t with one degree of freedom is 1; so is the standard error.
  assert half == pytest.approx(1.0)
