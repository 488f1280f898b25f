"""What a policy earns more than another: paired, doubted where few rounds tell, and in words."""

import dataclasses

import jax
import numpy as np
import pytest

from rec_jax.data import logged, obp
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.estimators import ipw
from rec_jax.studies.logged import conclusion, effects, policy_value, valuation
from rec_jax.studies.logged.evaluation import Reading
from tests.helpers import logs


def small_gain(seed):
  """Uniform over two items, of which one earns a little more in every context.

  Rewards hang on the context, which a paired effect cancels and a constant does not.
  """
  rng = np.random.default_rng(seed)
  context, action = rng.normal(size=(2_000, 1)), rng.integers(2, size=2_000)
  reward = 0.5 * context[:, 0] + 0.036 * action + 0.1 * rng.normal(size=2_000)
  return obp.from_dictionary(
    {
      'n_actions': 2,
      'action': action,
      'reward': reward,
      'pscore': np.full(2_000, 0.5),
      'context': context,
    }
  )


def test_advice_is_by_the_paired_effect_and_not_by_an_interval_beside_a_constant():
  concluded = marginal = 0
  for seed in range(3):
    data = small_gain(seed)
    result = policy_value.evaluate_policy(data, 'item:1', 0.5, 0)
    found = effects.effect(data, result)
    assert found.low < 0.018 < found.high
    concluded += 'is better' in conclusion.advice('item:1', result, found, None)
    marginal += result.values['dr'].low > result.logged_mean
  assert (concluded, marginal) == (3, 0)


def nearly_always(share, num_rounds, chance):
  """Of two items that pay alike, one is shown in this share of the rounds."""
  rng = np.random.default_rng(0)
  action = (rng.random(num_rounds) >= share).astype(int)
  return obp.from_dictionary(
    {
      'n_actions': 2,
      'action': action,
      'reward': (rng.random(num_rounds) < chance).astype(float),
      'pscore': np.where(action == 0, share, 1 - share),
      'pi_b': np.tile([[[share], [1 - share]]], (num_rounds, 1, 1)),
    }
  )


def test_no_advice_goes_by_the_few_rounds_that_tell_a_policy_from_the_one_that_logged(
  tmp_path, capsys
):
  path = tmp_path / 'log.parquet'
  reading = Reading(('snipw',), 't')
  for share, is_near in ((0.99, True), (0.8, False)):
    logged.write(path, nearly_always(share, 3_000, 0.05))
    valuation.run(path, 'item:0', 0.5, 0, tmp_path / 'value.svg', reading=reading)
    said = capsys.readouterr().out
    # Every weight is 0 or about 1, which speaks for the value alone.
    assert 'warning: poor overlap' not in said
    assert ('warning: effect over logged: few rounds tell them apart' in said) == is_near
    assert ('advice: none, by the effect: few rounds tell them apart' in said) == is_near
  logged.write(path, nearly_always(0.99, 3_000, 0.05))
  valuation.run(path, 'item:0,column:propensity', 0.5, 0, tmp_path / 'v.svg', reading=reading)
  assert 'warning: item:0 minus logged: few rounds' in capsys.readouterr().out


def test_by_the_adaptive_interval_the_effect_is_over_what_was_earned():
  data = logs.two_items()
  results = {
    name: policy_value.evaluate_policy(data, name, 0.5, 0, Reading(('ipw',), 'adaptive'))
    for name in ('item:0', 'item:1')
  }
  one, other = results['item:1'], results['item:0']
  with jax.enable_x64():
    value = adaptive(one.rounds, ipw)
  found = effects.effect(data, one)
  assert (found.value, found.low, found.high) == pytest.approx(
    tuple(end - data.reward.mean() for end in (value.value, value.low, value.high))
  )
  # Weights differ by 2 in every round, so that all but the first, before which nothing is known,
  # count half.
  apart = effects.difference(data, one, other, 0.95)
  score = np.where(data.action == 1, 2, -2) * data.reward
  assert apart.value == pytest.approx(np.average(score, weights=np.r_[2, np.ones(299)]), rel=1e-4)
  assert apart.high - apart.low == pytest.approx(2 * 1.97 * score.std() / 300**0.5, rel=0.02)
  assert effects.effect(data, other, one).high == pytest.approx(-apart.low, rel=1e-4)
  line = conclusion.advice('item:1', one, found, None)
  assert line.startswith('none without snipw')
  both = policy_value.evaluate_policy(data, 'item:1', 0.5, 0, Reading(('snipw',), 'adaptive'))
  line = conclusion.advice('item:1', both, found, None)
  assert line.startswith(
    'by ipw, weighted for a policy that learnt meanwhile, the policy is better'
  )


def test_no_advice_takes_a_policy_that_learnt_for_a_fixed_one(tmp_path, capsys):
  path = tmp_path / 'log.parquet'
  logged.write(path, dataclasses.replace(logs.two_items(), is_adaptive=True))
  for interval, advice in (
    ('t', 'none, by the effect: the policy that logged learnt'),
    ('adaptive', 'by ipw, w'),
  ):
    reading = Reading(('snipw',), interval)
    valuation.run(path, 'item:1', 0.5, 0, tmp_path / 'value.svg', reading=reading)
    assert f'advice: {advice}' in capsys.readouterr().out
    valuation.run(path, 'item:1,item:0', 0.5, 0, tmp_path / 'value.svg', reading=reading)
    said = capsys.readouterr().out
    assert ('item:1 is first; it is better than item:0' in said) == (interval == 'adaptive')


def test_where_intervals_do_not_hold_no_estimator_is_advised():
  result = policy_value.evaluate_policy(logs.two_items(), 'item:1', 0.5, 0)
  values = {k: dataclasses.replace(v, warning='poor overlap') for k, v in result.values.items()}
  found = effects.effect(logs.two_items(), result)
  line = conclusion.advice('item:1', dataclasses.replace(result, values=values), found, None)
  assert line.startswith('do not decide by these numbers')
  assert not any(label in line for label in values)


def test_a_policy_that_is_the_one_that_logged_is_not_to_log_more(tmp_path, capsys):
  path = tmp_path / 'log.parquet'
  rng = np.random.default_rng(0)
  rewards = rng.random(1_000) < 0.5
  log = {
    'n_actions': 1,
    'action': np.zeros(1_000, int),
    'reward': rewards,
    'pscore': np.ones(1_000),
  }
  logged.write(path, obp.from_dictionary(log))
  valuation.run(path, 'uniform', 0.5, 0, tmp_path / 'value.svg')
  assert 'does what the one that logged did, in every round' in capsys.readouterr().out
