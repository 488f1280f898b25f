"""Evaluation of a policy: what is reported, which intervals apply, and when it warns."""

import functools

import jax
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators, registry, sensitivity
from rec_jax.evaluation.off_policy.evaluate import evaluate
from rec_jax.evaluation.off_policy.overlap import overlap_of
from rec_jax.types import InputError
from tests.evaluation.off_policy import problems

KEY = jax.random.key(0)


def binary(num_rounds, seed=0):
  log = problems.Tiny().draw(np.random.default_rng(seed), num_rounds)
  rng = np.random.default_rng(seed)
  log['reward'] = (rng.random(num_rounds) < 0.5).astype(float)
  log['q_hat'] = np.clip(log['q_hat'], 0, 1)
  return log


def test_all_that_apply_are_reported_with_diagnostics():
  log = binary(1_000)
  found = evaluate(KEY, **log, resamples=200)
  left_out = {'replay', *registry.STRUCTURED}
  assert list(found) == [name for name in registry.ESTIMATORS if name not in left_out]
  rounds = estimators.match(**log)
  weight = np.asarray(rounds.weight, np.float64)
  for name, estimate in found.items():
    expected = float(estimators.reduce(registry.ESTIMATORS[name](rounds)))
    assert estimate.value == pytest.approx(expected, rel=1e-5)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 1_000
    assert estimate.interval == 'bootstrap'
    assert estimate.max_weight == pytest.approx(weight.max())
    assert estimate.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert (estimate.warning == '') == (name != 'dm')
  assert set(evaluate(KEY, **log | {'q_hat': None}, resamples=50)) == {'ipw', 'snipw', 'sg_ipw'}


def test_what_is_cut_off_the_weights_is_said():
  log = binary(1_000)
  weight = np.asarray(estimators.match(**log).weight, np.float64)
  for name, kept in {
    'ipw': np.minimum(weight, 0.8),
    'dr': np.minimum(weight, 0.8),
    'switch_dr': np.where(weight <= 0.8, weight, 0),
    'dr_os': weight / (weight**2 / 0.8 + 1),
    'sg_ipw': weight / (0.2 + 0.8 * weight),
  }.items():
    cut = functools.partial(registry.ESTIMATORS[name], lambda_=0.8)
    found = evaluate(KEY, **log, estimators={'cut': cut, 'whole': estimators.ipw}, interval='t')
    assert found['whole'].warning == ''
    assert found['cut'].warning == (
      f'{1 - kept.sum() / weight.sum():.0%} of the weight is cut off: the interval leaves out the '
      'bias of that'
    )
  little = functools.partial(estimators.ipw, lambda_=np.quantile(weight, 0.999))
  assert evaluate(KEY, **log, estimators={'': little}, interval='t')[''].warning == ''


def deterministic(num_rounds, uniform):
  """Contexts 0 and 1, in which action x alone pays, and a policy that takes it."""
  rng = np.random.default_rng(1)
  context = rng.integers(2, size=num_rounds)
  # The log likes the right action of context 1 and shuns that of context 0.
  chance = np.where(context == 1, 0.9, 0.1) if not uniform else np.full(num_rounds, 0.5)
  right = rng.random(num_rounds) < chance
  pays = np.where(context == 1, 0.9, 0.1)
  return {
    'reward': (right & (rng.random(num_rounds) < pays)).astype(float),
    'action': np.where(right, context, 1 - context),
    'pscore': np.where(right, chance, 1 - chance),
    'action_dist': np.eye(2)[context][..., None],
  }


def test_replay_is_shown_where_the_log_is_uniform_and_said_to_be_biased_elsewhere():
  found = evaluate(KEY, **deterministic(2_000, True), interval='t')
  assert found['replay'].value == pytest.approx(found['snipw'].value)
  assert found['replay'].warning == ''
  log = deterministic(2_000, False)
  assert list(evaluate(KEY, **log, interval='t')) == ['ipw', 'snipw', 'sg_ipw']
  # Contexts weigh .1 and .9 instead of .5 and .5: the truth is .5 and replay .82.
  asked = evaluate(KEY, **log, interval='t', estimators={'replay': estimators.replay})['replay']
  assert asked.low > 0.75
  assert '41% of the weight is moved to other rounds' in asked.warning


@pytest.mark.parametrize('interval', ['hoeffding', 'bernstein', 'betting'])
def test_finite_sample_intervals(interval):
  log = binary(300)
  chosen = {
    'ipw': estimators.ipw,
    'clipped': functools.partial(estimators.ipw, lambda_=0.5),
    'dr_os': functools.partial(estimators.dr_os, lambda_=1.0),
    'dm': estimators.dm,
    'snipw': estimators.snipw,
  }
  found = evaluate(
    KEY, **log, estimators=chosen, interval=interval, reward_range=(0, 1), max_weight=20.0
  )
  assert np.isnan([found['snipw'].low, found['snipw'].high]).all()
  width = {name: estimate.high - estimate.low for name, estimate in found.items()}
  if interval == 'hoeffding':
    # Ranges: weights to 20; clipped at 0.5; model 1 plus a shrunk weight of 0.5 on each side.
    unit = 2 * np.sqrt(np.log(40) / 600)
    expected = {'ipw': 20 * unit, 'clipped': 0.5 * unit, 'dr_os': 2 * unit, 'dm': unit}
    for name, value in expected.items():
      assert width[name] == pytest.approx(value, rel=1e-4)
  assert width['clipped'] < width['ipw']


@pytest.mark.parametrize(
  ('name', 'lambda_', 'max_weight', 'kept'),
  [
    ('switch_dr', 5.0, 1e6, 5.0),
    ('switch_dr', 0.01, 1e6, 0.01),
    ('switch_dr', 5.0, 2.0, 2.0),
    ('dr_os', 9.0, 1e6, 1.5),
    ('dr_os', 1e8, 1e6, 5e3),
    ('dr', np.inf, 1e6, 1e6),
    ('sg_dr', 0.5, 1e6, 2.0),
  ],
)
def test_the_range_holds_what_is_kept_of_weights_of_any_order(name, lambda_, max_weight, kept):
  log = problems.Tiny().draw(np.random.default_rng(0), 500)
  log['reward'], log['q_hat'] = np.zeros(500), np.zeros_like(log['q_hat'])
  # All weights alike, so that none is above the largest possible one.
  log['pscore'] = log['action_dist'][np.arange(500), log['action'], 0]
  chosen = {'': functools.partial(registry.ESTIMATORS[name], lambda_=lambda_)}
  settings = {'interval': 'hoeffding', 'reward_range': (0, 1), 'max_weight': max_weight}
  found = evaluate(KEY, **log, estimators=chosen, **settings)['']
  # A round adds from -kept to 1 + kept.
  expected = 2 * (1 + 2 * kept) * np.sqrt(np.log(40) / 1_000)
  assert found.high - found.low == pytest.approx(expected, rel=1e-4)


def test_a_confidence_sequence_needs_no_largest_weight_and_no_model():
  settings = {'interval': 'sequence', 'reward_range': (0, 1)}
  chosen = {
    'ipw': estimators.ipw,
    'clipped': functools.partial(estimators.ipw, lambda_=0.5),
    'dr': estimators.dr,
    'snipw': estimators.snipw,
  }
  found = evaluate(KEY, **binary(2_000), estimators=chosen, **settings)
  assert found['ipw'].low < 0.5 < found['ipw'].high
  assert found['ipw'].warning == ''
  # It is about the value, and so holds it whatever is clipped away.
  assert found['clipped'].value < 0.4
  assert found['clipped'].low < 0.5 < found['clipped'].high
  assert np.isnan([found[name].low for name in ('dr', 'snipw')]).all()
  settings |= {'interval': 'betting', 'max_weight': 1e4}
  betting = evaluate(KEY, **binary(2_000), **settings)['ipw']
  assert found['ipw'].high - found['ipw'].low < 0.5 * (betting.high - betting.low)


def test_models_of_later_rounds_void_the_guarantee():
  settings = {'interval': 'betting', 'reward_range': (0, 1), 'max_weight': 20.0}
  found = evaluate(KEY, **binary(300), **settings)
  voided = {name for name, value in found.items() if 'models of earlier rounds' in value.warning}
  assert voided == registry.MODEL_BASED - set(registry.STRUCTURED)
  found = evaluate(KEY, **binary(300), **settings, predictable=True)
  assert not any('earlier rounds' in value.warning for value in found.values())


def test_same_key_same_numbers():
  log = binary(100)
  first, second = (evaluate(KEY, **log, resamples=100) for _ in range(2))
  assert first == second


def test_without_the_largest_weight_nothing_is_guaranteed():
  settings = {
    'estimators': {'ipw': estimators.ipw},
    'interval': 'hoeffding',
    'reward_range': (0, 1),
  }
  assumed = evaluate(KEY, **binary(300), **settings)['ipw']
  known = evaluate(KEY, **binary(300), **settings, max_weight=20.0)['ipw']
  assert 'not guaranteed' in assumed.warning
  assert known.warning == ''


def weighted(weight, reward=None):
  """Rounds of these weights, half of which earn something unless rewards are given."""
  zeros = np.zeros(len(weight))
  reward = np.arange(len(weight)) % 2 if reward is None else reward
  return estimators.Rounds(np.asarray(reward, float), weight, zeros, zeros, zeros)


def test_poor_overlap_warns():
  good = np.random.default_rng(0).uniform(0.5, 1.5, 1_000)
  good = good / good.mean()
  assert overlap_of(weighted(good)).warning == ''
  heavy = np.full(1_000, 0.1)
  heavy[:10] = 90.1
  heavier = overlap_of(weighted(heavy)).warning
  assert heavier.startswith('poor overlap: 1000 rounds weigh as much as 1')
  assert 'weights average 1.5' in overlap_of(weighted(1.5 * good)).warning
  assert overlap_of(weighted(np.full(50, 1.0))).effective_sample_size == pytest.approx(50)
  # Half of the effective size is there, but one round is a third of what the variance follows.
  single = good.copy()
  single[0] = 25.0
  assert overlap_of(weighted(single)).effective_sample_size > 500
  assert 'poor overlap' in overlap_of(weighted(single)).warning


def test_a_sparse_policy_on_a_uniform_log_is_no_poor_overlap():
  weight = np.where(np.arange(20_000) % 100 == 0, 100.0, 0.0)
  reward = (np.arange(20_000) // 100) % 2
  assert overlap_of(weighted(weight, reward)).warning == ''


@pytest.mark.parametrize('common', [0.0, 1.0])
def test_few_rewards_warn_whatever_the_common_one_is(common):
  reward = np.where(np.arange(1_000) % 100 == 0, 1 - common, common)
  warning = overlap_of(weighted(np.ones(1_000), reward)).warning
  assert warning.startswith(f'few rewards: those that are not {common:g} weigh as much as 10')
  reward = np.where(np.arange(1_000) % 20 == 0, 1 - common, common)
  assert overlap_of(weighted(np.ones(1_000), reward)).warning == ''


def test_few_users_warn():
  rounds = weighted(np.ones(1_000))
  assert 'few users: ' in overlap_of(rounds, np.arange(1_000) % 20).warning
  assert overlap_of(rounds, np.arange(1_000) % 200).warning == ''


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'interval': 'normal'}, 'interval "normal" is unknown; choose bootstrap'),
    ({'interval': 'betting'}, 'needs reward_range'),
    ({'interval': 'betting', 'reward_range': (0, 0.5)}, r'reward, row \d+: 1 is not in'),
    (
      {'interval': 'betting', 'reward_range': (0, 1), 'max_weight': 0.1},
      r'row \d+: weight .* is above max_weight 0.1',
    ),
  ],
)
def test_bad_settings_are_named(settings, message):
  with pytest.raises(InputError, match=message):
    evaluate(KEY, **binary(50), **settings)


def test_a_level_in_per_cent_is_refused():
  rows = {'reward': np.ones(3), 'action': np.zeros(3, int), 'pscore': np.ones(3)}
  for level in (95, 0.0, 1.0):
    with pytest.raises(InputError, match=r'level: .* is not in \(0, 1\); give 0.95 for 95 %'):
      evaluate(jax.random.key(0), **rows, action_dist=np.ones((3, 1, 1)), level=level)
  with pytest.raises(InputError, match='level: 95 is not in'):
    sensitivity.effect(np.ones(3), np.ones(3), np.ones(3), level=95)


def test_weights_of_one_propensity_are_equal_but_for_rounding_however_large():
  ones = np.ones(4)

  def names(*weight):
    return registry.applicable(
      estimators.Rounds(ones, np.array(weight), ones, 0 * ones, 0 * ones), has_model=False
    )

  assert 'replay' in names(5_000, 5_000, 5_000.01, 5_000)
  assert 'replay' not in names(5_000, 5_000, 5_001, 5_000)
  assert 'replay' not in names(0.5, 0.5, 0.50002, 0.5)


def test_the_direct_method_alone_says_that_its_interval_leaves_out_the_model():
  given = binary(100) | {'q_hat': np.full(np.shape(binary(100)['action_dist']), 0.5)}
  for interval in ('t', 'bootstrap'):
    values = evaluate(KEY, **given, interval=interval)
    said = {label for label, value in values.items() if 'how wrong the model' in value.warning}
    assert said == {'dm'}
