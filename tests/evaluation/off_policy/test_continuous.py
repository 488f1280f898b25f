"""Kernel estimators: OBP's values, bias and variance in closed form, and the bandwidth of SLOPE."""

import functools

import jax
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import continuous, estimators, registry
from rec_jax.types import InputError
from tests.evaluation.off_policy import problems

GOLDEN = problems.GOLDEN.with_name('obp_0_5_5_kernels.npz')
NOISE = 0.5


@pytest.fixture(autouse=True)
def double_precision():
  with jax.enable_x64(True):
    yield


def test_values_of_obp():
  with np.load(GOLDEN) as archive:
    log = {name: archive[name] for name in ('reward', 'action', 'density', 'dose')}
    model, golden = archive['q'], {k: float(archive[k]) for k in archive if k.startswith('value/')}
  for key, expected in golden.items():
    _, name, kernel, bandwidth = key.split('/')
    # OBP reads one model, of the dose, in place of both.
    rounds = continuous.near(
      **log, bandwidth=float(bandwidth), kernel=kernel, q_logged=model, q_target=model
    )
    ours = float(estimators.reduce(registry.ESTIMATORS[name](rounds)))
    assert ours == pytest.approx(expected, rel=1e-9), (
      f'{key}: {ours} is not {expected}, the value of OBP 0.5.5 in {GOLDEN.name} for 500 draws '
      'of a standard normal action; the formula has changed'
    )
  assert len(golden) == 12


def world(num_rounds, seed=None):
  """Uniform actions and contexts in [0, 1], q = 1 + x - 4 (a - 1/2)^2, doses .3 + .4 x.

  Without a seed a grid of actions at one context, which integrates over actions.
  """
  if seed is None:
    context, action = np.full(num_rounds, 0.5), (np.arange(num_rounds) + 0.5) / num_rounds
    noise = np.zeros(num_rounds)
  else:
    rng = np.random.default_rng(seed)
    context, action = rng.random((2, num_rounds))
    noise = rng.normal(0, NOISE, num_rounds)
  reward = 1 + context - 4 * (action - 0.5) ** 2 + noise
  dose = 0.3 + 0.4 * context
  return {'reward': reward, 'action': action, 'density': np.ones(num_rounds), 'dose': dose}


def estimate(log, bandwidth, name='ipw', **model):
  rounds = continuous.near(**log, bandwidth=bandwidth, **model)
  return float(estimators.reduce(registry.ESTIMATORS[name](rounds)))


@pytest.mark.parametrize(('kernel', 'second_moment'), [('epanechnikov', 0.2), ('gaussian', 1.0)])
def test_the_bias_is_half_the_curvature_times_the_second_moment_times_h_squared(
  kernel, second_moment
):
  # The dose is 1/2, of which the reward is 3/2; its second derivative is -8.
  log = world(20_000)
  for bandwidth in (0.05, 0.1):
    bias = estimate(log, bandwidth, kernel=kernel) - 1.5
    assert bias == pytest.approx(-4 * second_moment * bandwidth**2, rel=1e-2)
    # The right model leaves none, a model that is wrong by a constant neither.
    model = {'q_logged': log['reward'] - 1, 'q_target': np.full(20_000, 0.5)}
    assert estimate(log, bandwidth, 'dr', kernel=kernel, **model) == pytest.approx(1.5, abs=1e-4)


def test_the_variance_is_that_of_the_formula():
  # R(K) E[q² + noise²] / (n h), R = 3/5, to first order in h; minus the squared mean.
  log = world(100_000, 0)
  for bandwidth in (0.02, 0.04, 0.08):
    terms = estimators.ipw(continuous.near(**log, bandwidth=bandwidth))
    spread = float(np.asarray(terms.correction).var()) * bandwidth
    context = np.linspace(0, 1, 1001)
    second = np.mean((1 + context - 4 * (0.4 * context - 0.2) ** 2) ** 2) + NOISE**2
    value = np.mean(1 + context - 4 * (0.4 * context - 0.2) ** 2)
    assert spread == pytest.approx(0.6 * second - bandwidth * value**2, rel=0.05)


def test_slope_is_near_the_best_bandwidth_and_follows_the_log():
  # Squared bias .64 h^4 plus .6 E[q² + noise²] / (n h) is least at this h.
  chosen = {}
  for num_rounds in (1_000, 64_000):
    best = (0.6 * 2.4 / (4 * 0.64 * num_rounds)) ** 0.2
    found = [continuous.slope(estimators.ipw, **world(num_rounds, seed)) for seed in range(10)]
    chosen[num_rounds] = np.exp(np.mean(np.log(found)))
    assert best / 2 < chosen[num_rounds] < 3 * best
  assert chosen[64_000] < chosen[1_000] / 1.5


def test_a_right_model_lets_the_bandwidth_be_wide():
  log = world(2_000, 1)
  alone = continuous.slope(estimators.dr, **log)
  q = functools.partial(
    lambda context, a: 1 + context - 4 * (a - 0.5) ** 2, (log['dose'] - 0.3) / 0.4
  )
  model = {'q_logged': q(log['action']), 'q_target': q(log['dose'])}
  assert continuous.slope(estimators.dr, **log, **model) > alone
  logged, target = continuous.expected_rewards(
    log['reward'], log['action'], log['dose'], log['dose'][:, None], np.arange(2_000) % 3
  )
  assert ((logged - model['q_logged']) ** 2).mean() < 0.01
  assert ((target - model['q_target']) ** 2).mean() < 0.01


@pytest.mark.parametrize('num_rounds', [1, 2, 40])
def test_bandwidths_of_short_logs_and_of_a_log_at_the_dose(num_rounds):
  log = world(num_rounds, 0)
  assert continuous.slope(estimators.snipw, **log) > 0
  same = log | {'dose': np.full(num_rounds, 2.0), 'action': np.full(num_rounds, 2.0)}
  assert continuous.slope(estimators.ipw, **same) == 1
  assert estimate(same, 1.0, 'snipw') == pytest.approx(same['reward'].mean())


def test_no_round_is_expected_by_a_model_that_it_taught():
  log, fold = world(60, 0), np.arange(60) % 3

  def expected(reward):
    context = log['dose'][:, None]
    return continuous.expected_rewards(reward, log['action'], log['dose'], context, fold)

  changed = log['reward'] + 10.0 * (fold == 0)
  for before, after in zip(expected(log['reward']), expected(changed), strict=True):
    np.testing.assert_allclose(after[fold == 0], before[fold == 0], rtol=1e-12)
    assert np.abs(after - before)[fold > 0].min() > 1


def test_a_round_at_the_edge_of_a_kernel_is_not_near():
  action = np.arange(200.0) % 5
  for width in continuous.bandwidths(action, np.full(200, 0.5)):
    assert (np.abs(action - 0.5) < width * (1 - 1e-9)).sum() >= continuous.LEAST_NEAR


def test_what_is_no_kernel_and_no_bandwidth_is_refused():
  with pytest.raises(InputError, match='kernel "box" is unknown; choose epanechnikov, gaussian'):
    continuous.near(**world(5, 0), bandwidth=1.0, kernel='box')
  with pytest.raises(InputError, match='bandwidth: 0 is not positive'):
    continuous.near(**world(5, 0), bandwidth=0.0)


@pytest.mark.parametrize(('at', 'share'), [(0.5, 0), (0.0, 0.5), (1.0, 0.5), (1.05, 0.84375)])
def test_a_kernel_beyond_the_log_is_measured(at, share):
  action = np.linspace(0, 1, 11)
  said = continuous.beyond(action, np.full(11, at), 0.1)
  # By a sum over the kernel.
  u = np.linspace(-1, 1, 200_001)
  beyond = (0.75 * (1 - u**2))[(at + 0.1 * u < 0) | (at + 0.1 * u > 1)].sum() * 1e-5
  assert beyond == pytest.approx(share, abs=1e-4)
  assert said == '' if share == 0 else said.startswith(f'{share:.0%} of the kernel is beyond')


def test_the_undersmoothed_bandwidth_falls_faster_than_that_of_least_error():
  width = {}
  for num_rounds in (1_000, 64_000):
    log = world(num_rounds, 0)
    width[num_rounds] = continuous.undersmoothed(log['action'], log['dose'])
    near = np.abs(log['action'] - log['dose']) < width[num_rounds]
    assert num_rounds ** (2 / 3) <= near.sum() < 1.5 * num_rounds ** (2 / 3)
  # By 64^(1/3) = 4, up to a step of the grid.
  assert width[1_000] / width[64_000] == pytest.approx(4, rel=0.45)
  # Every dose just as far from its action, and one action.
  assert continuous.undersmoothed(np.array([0.0, 1.0]), np.array([0.25, 0.75])) > 0.25
  assert continuous.undersmoothed(np.ones(3), np.zeros(3)) == 1
