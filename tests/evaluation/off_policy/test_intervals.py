"""Intervals: closed forms, agreement with a plain bootstrap, and coverage in both directions."""

import jax
import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation.intervals import t_interval
from rec_jax.evaluation.off_policy import estimators, intervals, registry
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.estimators import Terms
from tests.evaluation.off_policy import problems

REPETITIONS = 300


def mean_of(values):
  values = np.asarray(values, np.float64)
  return Terms(np.zeros_like(values), values, np.ones_like(values))


def plain_bootstrap(rng, terms, resamples):
  """[resamples] estimates from rows drawn with replacement, one at a time."""
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(terms)]
  size = leaves[0].size
  drawn = [rng.integers(size, size=size) for _ in range(resamples)]
  return np.array([estimators.reduce(Terms(*(leaf[row] for leaf in leaves))) for row in drawn])


@pytest.mark.parametrize('name', ['ipw', 'snipw', 'sndr'])
def test_bootstrap_agrees_with_rows_drawn_with_replacement(name):
  rounds = estimators.match(**problems.log(0, num_rounds=300))
  terms = registry.ESTIMATORS[name](rounds)
  estimate = intervals.bootstrap(jax.random.key(0), {name: terms}, resamples=20_000)[name]
  expected = np.quantile(plain_bootstrap(np.random.default_rng(0), terms, 10_000), [0.025, 0.975])
  width = expected[1] - expected[0]
  np.testing.assert_allclose([estimate.low, estimate.high], expected, atol=0.03 * width)
  assert estimate.value == pytest.approx(float(estimators.reduce(terms)), rel=1e-5)
  assert estimate.n == 300


def test_clusters_are_resampled_whole():
  rounds = estimators.match(**problems.log(0, num_rounds=300))
  terms = registry.ESTIMATORS['sndr'](rounds)
  cluster = np.arange(300) // 3
  estimate = intervals.bootstrap(
    jax.random.key(0), {'': terms}, cluster=[f'u{c}' for c in cluster], resamples=20_000
  )['']
  rng, leaves = np.random.default_rng(0), [np.asarray(leaf) for leaf in jax.tree.leaves(terms)]
  drawn = rng.integers(100, size=(5_000, 100, 1)) * 3 + np.arange(3)
  plain = [estimators.reduce(Terms(*(leaf[row.ravel()] for leaf in leaves))) for row in drawn]
  expected = np.quantile(plain, [0.025, 0.975])
  width = expected[1] - expected[0]
  np.testing.assert_allclose([estimate.low, estimate.high], expected, atol=0.05 * width)
  assert estimate.n == 100


def test_rounds_that_are_there_twice_tell_nothing_new_of_their_cluster():
  rounds = estimators.match(**problems.log(0, num_rounds=100))
  terms = registry.ESTIMATORS['snipw'](rounds)
  twice = jax.tree.map(lambda leaf: np.tile(leaf, 2), terms)
  cluster = np.tile(np.arange(100), 2)
  once = intervals.bootstrap(jax.random.key(0), {'': terms})['']
  found = intervals.bootstrap(jax.random.key(0), {'': twice}, cluster=cluster)['']
  np.testing.assert_allclose([found.low, found.high], [once.low, once.high], rtol=1e-5)
  narrow = intervals.bootstrap(jax.random.key(0), {'': twice})['']
  assert narrow.high - narrow.low < 0.8 * (found.high - found.low)


def test_law_of_the_counts():
  """Moments of the byte law in closed form, and of the counts that are drawn."""
  share = np.diff([0, *intervals.THRESHOLDS, 256]) / 256
  count = np.arange(6)
  assert share @ count == 1
  assert share @ (count - 1) ** 2 == 1
  assert share @ (count - 1) ** 3 == pytest.approx(1.008, abs=1e-3)
  seeds = jax.random.bits(jax.random.key(0), (4_000, 2), np.uint32)
  drawn = np.asarray(intervals._totals(seeds, np.eye(41, dtype=np.float32), 7))
  seen = np.bincount(drawn.astype(int).ravel(), minlength=6)
  assert scipy.stats.chisquare(seen, share * drawn.size).pvalue > 1e-3
  assert (
    scipy.stats.chisquare(
      seen, scipy.stats.poisson.pmf(count, 1.0) / scipy.stats.poisson.cdf(5, 1.0) * drawn.size
    ).pvalue
    < 1e-3
  )
  correlation = np.corrcoef(drawn.T) - np.eye(41)
  assert np.abs(correlation).max() < 5 / np.sqrt(4_000)


def test_memory_bound_and_company_change_no_number(monkeypatch):
  rounds = estimators.match(**problems.log(1, num_rounds=50))
  table = {name: registry.ESTIMATORS[name](rounds) for name in ('snipw', 'ipw', 'dr')}
  whole = intervals.bootstrap(jax.random.key(0), table, resamples=333)
  monkeypatch.setattr(intervals, 'CHUNK_SIZE', 50 * 16)
  chunked = intervals.bootstrap(jax.random.key(0), table, resamples=333)
  alone = intervals.bootstrap(jax.random.key(0), {'dr': table['dr']}, resamples=333)
  for name, estimate in chunked.items():
    assert estimate.low == pytest.approx(whole[name].low, abs=1e-5)
  assert alone['dr'].low == pytest.approx(whole['dr'].low, abs=1e-5)


def test_a_large_offset_costs_no_precision():
  values = np.random.default_rng(0).normal(size=300)
  near = intervals.bootstrap(jax.random.key(0), {'': mean_of(values)}, resamples=500)['']
  far = intervals.bootstrap(jax.random.key(0), {'': mean_of(values + 1e7)}, resamples=500)['']
  assert far.low - 1e7 == pytest.approx(near.low, abs=1e-5)


def test_closed_forms():
  values = np.random.default_rng(0).random(100)
  estimate = intervals.hoeffding(values, -1, 3)
  assert estimate.high - values.mean() == pytest.approx(4 * np.sqrt(np.log(40) / 200))
  estimate = intervals.empirical_bernstein(values, -1, 3)
  log_term = np.log(80)
  half = np.sqrt(2 * values.var(ddof=1) * log_term / 100) + 7 * 4 * log_term / (3 * 99)
  assert values.mean() - estimate.low == pytest.approx(half)
  # Without skewness and with light tails it is Student's.
  values = np.r_[values, -values]
  expected = scipy.stats.t.interval(0.95, 199, 0, scipy.stats.sem(values))
  estimate = intervals.student(mean_of(values))
  np.testing.assert_allclose([estimate.low, estimate.high], expected)


def betting_on_a_grid(values, alpha, grid):
  """The means that are never rejected, row by row as the paper states it (theorem 3)."""
  alive = np.ones(grid.size, bool)
  up, down = np.ones(grid.size), np.ones(grid.size)
  total, squares, variance = 0.5, 0.25, 0.25
  for t, x in enumerate(values, 1):
    bet = np.sqrt(2 * np.log(2 / alpha) / (variance * t * np.log(t + 1)))
    up *= 1 + np.minimum(bet, 0.5 / grid) * (x - grid)
    down *= 1 - np.minimum(bet, 0.5 / (1 - grid)) * (x - grid)
    alive &= np.maximum(up / 2, down / 2) < 1 / alpha
    total += x
    squares += (x - total / (t + 1)) ** 2
    variance = squares / (t + 1)
  return grid[alive]


@pytest.mark.parametrize('draw', ['uniform', 'rare', 'zeros'])
def test_betting_equals_the_capital_on_a_grid(draw):
  rng = np.random.default_rng(0)
  values = {'uniform': rng.random(80), 'rare': rng.random(200) < 0.1, 'zeros': np.zeros(60)}[draw]
  values = values.astype(float)
  grid = np.linspace(1e-4, 1 - 1e-4, 4_000)
  alive = betting_on_a_grid(values, 0.05, grid)
  estimate = intervals.betting(2 * values - 1, -1, 1)
  step = grid[1] - grid[0]
  assert (estimate.low + 1) / 2 == pytest.approx(alive[0], abs=2 * step)
  assert (estimate.high + 1) / 2 == pytest.approx(alive[-1], abs=2 * step)


def test_betting_narrows_as_rows_arrive_and_beats_hoeffding_on_rare_rewards():
  values = (np.random.default_rng(0).random(3_000) < 0.02).astype(float)
  ends = [intervals.betting(values[:n], 0, 1) for n in (10, 100, 1_000, 3_000)]
  assert all(np.diff([e.low for e in ends]) >= -1e-9)
  assert all(np.diff([e.high for e in ends]) <= 1e-9)
  assert ends[-1].high < intervals.hoeffding(values, 0, 1).high


def simulated(make_interval, num_rounds):
  """Share of fresh logs whose interval covers the truth, as it is and with 2/3 of its width."""
  tiny, rng = problems.Tiny(), np.random.default_rng(0)
  covered = []
  terms_of = jax.jit(lambda log: estimators.dr(estimators.match(**log)))
  for repetition in range(REPETITIONS):
    terms = jax.device_get(terms_of(tiny.draw(rng, num_rounds)))
    estimate = make_interval(jax.random.key(repetition), terms)
    ends = np.array([estimate.low, estimate.high])
    narrow = estimate.value + (ends - estimate.value) / 1.5
    covered.append([low <= tiny.value <= high for low, high in (ends, narrow)])
  return np.mean(covered, axis=0)


def plausible(share, alternative='two-sided'):
  """Whether a share of covered repetitions could come from a level of 95 %."""
  test = scipy.stats.binomtest(round(share * REPETITIONS), REPETITIONS, 0.95, alternative)
  return test.pvalue > 1e-3


def test_the_corrected_t_undoes_the_transformation_of_hall():
  values = np.random.default_rng(0).exponential(size=40) ** 2
  estimate = corrected_t(values, level=0.9)
  skew = scipy.stats.skew(values) / np.sqrt(40)
  freedom = 2 * 40 / (scipy.stats.kurtosis(values, fisher=False) - 1)
  assert freedom < 39
  bound = scipy.stats.t.ppf(0.95, freedom)
  for end, sign in ((estimate.low, 1), (estimate.high, -1)):
    t = (values.mean() - end) / scipy.stats.sem(values)
    transformed = t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6
    assert transformed == pytest.approx(sign * bound, rel=1e-9)
  mirrored = corrected_t(-values, level=0.9)
  assert (mirrored.low, mirrored.high) == pytest.approx((-estimate.high, -estimate.low))


def test_the_corrected_t_covers_means_of_rare_rewards_where_students_does_not():
  rng = np.random.default_rng(1)
  draws = rng.lognormal(sigma=1.2, size=(1_000, 60))
  mean = np.exp(1.2**2 / 2)
  ours = [corrected_t(row) for row in draws]
  plain = [t_interval(row) for row in draws]
  covered, plainly = (np.mean([e.low < mean < e.high for e in each]) for each in (ours, plain))
  assert plainly < 0.9
  assert covered > plainly + 0.02
  once, same = corrected_t([2.0]), corrected_t([2.0, 2.0])
  assert np.isnan([once.low, once.high]).all()
  assert (same.low, same.high) == (2.0, 2.0)


@pytest.mark.parametrize('name', ['bootstrap', 'student'])
def test_asymptotic_coverage_is_right_and_a_narrower_interval_is_found_out(name):
  make = {
    'bootstrap': lambda key, t: intervals.bootstrap(key, {'': t}, resamples=500)[''],
    'student': lambda key, t: intervals.student(t),
  }[name]
  full, narrow = simulated(make, 400)
  assert plausible(full)
  assert not plausible(narrow)


@pytest.mark.parametrize('name', ['hoeffding', 'empirical_bernstein', 'betting'])
def test_finite_sample_coverage_is_kept_at_any_size(name):
  """Few and skewed coins, where no normal law helps; a tenth of the width is found out."""
  rng, make = np.random.default_rng(1), getattr(intervals, name)
  samples = (rng.random((REPETITIONS, 25)) < 0.9).astype(float)
  estimates = [make(sample, 0, 1) for sample in samples]
  assert plausible(np.mean([e.low <= 0.9 <= e.high for e in estimates]), 'less')
  narrow = [abs(e.value - 0.9) <= (e.high - e.low) / 20 for e in estimates]
  assert not plausible(np.mean(narrow), 'less')


def test_one_round_has_no_spread():
  terms = mean_of([0.3])
  for estimate in (
    intervals.bootstrap(jax.random.key(0), {'': terms})[''],
    intervals.student(terms),
  ):
    assert estimate.value == pytest.approx(0.3)
    assert np.isnan([estimate.low, estimate.high]).all()
  assert intervals.empirical_bernstein([0.3], 0, 1).high == 1


def test_nothing_to_divide_by_has_no_interval():
  zeros = np.zeros(5)
  with np.errstate(invalid='ignore'):
    found = intervals.bootstrap(jax.random.key(0), {'': Terms(zeros, zeros, zeros)}, resamples=10)
  assert np.isnan([found[''].value, found[''].low, found[''].high]).all()


def test_values_out_of_range_are_named():
  with pytest.raises(ValueError, match=r'row 1: 1.5 is not in \[0, 1\]'):
    intervals.betting([0.5, 1.5], 0, 1)
  with pytest.raises(ValueError, match=r'expected values \[n\] in \[low, high\]'):
    intervals.hoeffding([], 0, 1)


def test_the_confidence_sequence_covers_at_all_times_under_weights_without_bound():
  missed = biased = 0
  for seed in range(200):
    rng = np.random.default_rng(seed)
    # Pareto weights of mean 1 and infinite variance; rewards of which they do not know.
    weight = rng.pareto(1.8, size=300) * 0.8
    reward = (rng.random(300) < 0.7).astype(float)
    ends = [intervals.sequence(weight[:n], reward[:n], 0, 1, level=0.8) for n in (10, 50, 150, 300)]
    missed += any(not end.low <= 0.7 <= end.high for end in ends)
    # Weights that average 1.5 are no weights, and it is found out.
    wrong = intervals.sequence(1.5 * weight, np.ones(300), 0, 1, level=0.8)
    biased += wrong.low > 0.999
  assert missed <= 0.2 * 200
  assert biased > 20
