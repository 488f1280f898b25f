"""Evaluating a policy of the registry on a log."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.data import logged, obp
from rec_jax.data.logged_feedback import policy_inputs
from rec_jax.evaluation.off_policy import estimators, overlap
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.studies.logged import (
  conclusion,
  effects,
  evaluation,
  frozen_policy,
  learn,
  log_checks,
  policy_value,
  valuation,
)
from rec_jax.studies.logged.objectives import LearningConfig
from rec_jax.types import InputError


def log(num_rounds=400, seed=0):
  """Uniform over three items, of which the second is liked."""
  rng = np.random.default_rng(seed)
  action = rng.integers(3, size=num_rounds)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(num_rounds) < np.array([0.1, 0.8, 0.2])[action]).astype(float),
      'pscore': np.full(num_rounds, 1 / 3),
      'context': rng.normal(size=(num_rounds, 2)),
    }
  )


@pytest.mark.drawn
def test_table_figure_and_advice(tmp_path, capsys):
  path, figure = tmp_path / 'log.parquet', tmp_path / 'value.svg'
  logged.write(path, log())
  valuation.run(path, 'popularity_greedy', 0.5, 0, figure)
  output = capsys.readouterr().out
  for name in ('replay', 'ipw', 'snipw', 'dm', 'dr', 'sndr', 'switch_dr', 'dr_os', 'sg_dr'):
    assert f'\n{name}' in output
  assert 'advice: by dr, round by round, the policy is better than the one that logged' in output
  assert figure.read_text().startswith('<svg') and '<path' in figure.read_text()
  assert sorted(path.name for path in tmp_path.iterdir()) == ['log.parquet', 'value.svg']


@pytest.mark.parametrize('policy', ['logged', 'item:0,item:1'])
def test_a_log_of_a_policy_that_learnt_says_which_interval_is_for_it(tmp_path, capsys, policy):
  path, said = tmp_path / 'log.parquet', {}
  for is_adaptive in (True, False):
    logged.write(path, dataclasses.replace(log(), is_adaptive=is_adaptive))
    for interval in ('t', 'adaptive'):
      reading = evaluation.Reading(('ipw',), interval)
      valuation.run(path, policy, 0.5, 0, tmp_path / 'value.svg', reading=reading)
      said[is_adaptive, interval] = '--interval=adaptive' in capsys.readouterr().out
  assert said[True, 't'] and not said[False, 't'] and not said[False, 'adaptive']
  # Differences of ranked policies are by Student's interval, whatever the values are by.
  assert said[True, 'adaptive'] == (policy != 'logged')


def test_a_log_of_drawn_propensities_alone_says_what_cannot_be_seen(tmp_path, capsys):
  path, uniform = tmp_path / 'log.parquet', log()
  number = len(uniform.item_ids)
  whole = np.full((len(uniform.action), number), 0.5 / (number - 1))
  whole[:, 0] = 0.5
  propensity = whole[np.arange(len(whole)), uniform.action]
  drawn = dataclasses.replace(uniform, propensity=propensity)
  said = []
  for each in (uniform, drawn, dataclasses.replace(drawn, pi_b=whole[:, :, None])):
    logged.write(path, each)
    reading = evaluation.Reading(('ipw',), 't')
    valuation.run(path, 'item:0', 0.5, 0, tmp_path / 'value.svg', reading=reading)
    said.append('holds no pi_b' in capsys.readouterr().out)
  assert said == [False, True, False]


def test_rows_as_json(tmp_path):
  logged.write(tmp_path / 'log.npz', log())
  out = tmp_path / 'rows.json'
  valuation.run(tmp_path / 'log.npz', 'uniform', 0.5, 0, tmp_path / 'value.svg', out)
  rows = {row['metric']: row for row in json.loads(out.read_text())}
  assert rows['ipw']['subject'] == 'uniform' and rows['ipw']['n'] == 200
  assert rows['ipw']['low'] < rows['ipw']['value'] < rows['ipw']['high']
  assert rows['ipw']['effective_sample_size'] == pytest.approx(200)
  assert rows['ipw']['truth'] is None and rows['ipw']['warning'] == ''
  with pytest.raises(InputError, match='--out: no directory'):
    valuation.run('absent', 'uniform', 0.5, 0, out, tmp_path / 'absent' / 'rows.json')


def test_each_warning_stands_once_with_the_estimators_that_it_concerns():
  result = policy_value.evaluate_policy(log(), 'bernoulli_ts', 0.5, 0)
  first, *others = result.values
  values = {
    label: dataclasses.replace(
      value, warning='poor overlap; weight cut off' if label == first else 'poor overlap'
    )
    for label, value in result.values.items()
  }
  found = valuation.warnings(dataclasses.replace(result, values=values))
  assert found == ['poor overlap', f'{first}: weight cut off']
  values[first] = dataclasses.replace(values[first], warning='')
  found = valuation.warnings(dataclasses.replace(result, values=values))
  assert found == [f'{", ".join(others)}: poor overlap']


def test_poor_overlap_is_one_warning():
  result = policy_value.evaluate_policy(log(), 'bernoulli_ts', 0.5, 0)
  weight, zeros = np.r_[100.0, np.full(99, 1e-3)], np.zeros(100)
  rounds = estimators.Rounds(np.arange(100) % 2, weight, zeros, zeros, zeros)
  warning = overlap.overlap_of(rounds).warning
  values = {'ipw': dataclasses.replace(result.values['ipw'], warning=warning)}
  assert len(valuation.warnings(dataclasses.replace(result, values=values))) == 1


def distributions(data, num_train=200):
  """Of a policy that chooses what has been liked most."""
  policy, inputs = bandits.make('popularity_greedy'), policy_inputs(data, num_train)
  key = jax.random.key(0)
  state = frozen_policy.learn(key, data, policy, inputs, num_train)
  table = frozen_policy.distributions(key, data, policy, inputs, state, num_train)
  return table(np.arange(len(data.action) - num_train))


def test_the_policy_is_frozen_before_the_rounds_that_judge_it():
  data = log()
  before = distributions(data)
  reward = np.where(np.arange(400) < 200, data.reward, 1 - data.reward)
  after = distributions(dataclasses.replace(data, reward=reward))
  np.testing.assert_array_equal(before, after)
  assert before.shape == (200, 3, 1) and (before[:, 1, 0] == 1).all()


def test_candidates_that_are_all_actions_change_nothing():
  data = log()
  named = dataclasses.replace(data, candidates=np.tile([2, 0, 1], (400, 1)))
  np.testing.assert_array_equal(distributions(named), distributions(data)[:, [2, 0, 1]])
  both = [
    policy_value.evaluate_policy(x, 'popularity_greedy', 0.5, 0).values for x in (data, named)
  ]
  for label, value in both[0].items():
    assert both[1][label].value == pytest.approx(value.value, rel=1e-9), label


def test_the_truth_is_a_sum_over_candidates():
  data = dataclasses.replace(log(), expected_reward=np.tile([0.1, 0.8, 0.2], (400, 1)))
  result = policy_value.evaluate_policy(data, 'popularity_greedy', 0.5, 0)
  assert result.truth == pytest.approx(0.8, rel=1e-9)
  assert result.values['dr'].low < 0.8 < result.values['dr'].high
  assert policy_value.evaluate_policy(log(), 'popularity_greedy', 0.5, 0).truth is None


def test_whether_an_interval_holds_the_truth_is_said_of_those_that_are_known(tmp_path, capsys):
  path = tmp_path / 'log.parquet'
  logged.write(path, dataclasses.replace(log(), expected_reward=np.tile([0.1, 0.8, 0.2], (400, 1))))
  said = {}
  for interval in ('t', 'adaptive'):
    reading = evaluation.Reading(('ipw', 'snipw'), interval)
    valuation.run(path, 'popularity_greedy', 0.5, 0, tmp_path / 'value.svg', reading=reading)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    said[interval] = {row[0]: row[-1] for row in rows if row and row[0] in ('ipw', 'snipw')}
  # A self-normalised value has no adaptive interval.
  assert said == {'t': {'ipw': 'yes', 'snipw': 'yes'}, 'adaptive': {'ipw': 'yes', 'snipw': '–'}}


def test_users_are_the_unit_where_they_are_known():
  data = dataclasses.replace(log(), user_id=np.repeat(np.arange(40), 10).astype(str))
  result = policy_value.evaluate_policy(data, 'popularity_greedy', 0.5, 0)
  assert (result.unit, result.values['ipw'].n) == ('users', 20)
  assert policy_value.evaluate_policy(log(), 'popularity_greedy', 0.5, 0).unit == 'rounds'


def test_no_overlap_is_one_line_that_names_the_policy():
  data = log()
  never = dataclasses.replace(data, action=np.where(np.arange(400) < 200, data.action, 0))
  with pytest.raises(InputError, match='popularity_greedy: no overlap.* from row 200') as error:
    policy_value.evaluate_policy(never, 'popularity_greedy', 0.5, 0)
  assert '\n' not in str(error.value)


def test_ipw_of_the_logging_policy_is_the_mean_reward():
  data = log()
  uneven = dataclasses.replace(data, propensity=np.where(data.action == 1, 0.5, 0.25))
  result = policy_value.evaluate_policy(uneven, 'logged', 0.5, 0)
  assert result.values['ipw'].value == pytest.approx(data.reward.mean(), rel=1e-12)
  assert result.values['ipw'].effective_sample_size == pytest.approx(400)
  assert result.num_train == 0


def test_without_a_model_too_a_result_says_how_much_of_the_weight_is_cut_off():
  rare = dataclasses.replace(log(), propensity=np.where(np.arange(400) % 2, 0.99, 0.05))
  warnings = {
    label: value.warning
    for label, value in policy_value.evaluate_policy(rare, 'item:1', 0.5, 0).values.items()
  }
  assert 'of the weight is cut off' in next(w for label, w in warnings.items() if 'sg_ipw' in label)
  assert 'cut off' not in warnings['ipw'] + warnings['snipw']


def test_uniform_over_changing_candidates():
  candidates = np.r_[np.full(200, 3), np.full(200, 2)]
  data = dataclasses.replace(log(), num_candidates=candidates)
  result = policy_value.evaluate_policy(data, 'uniform', 0.5, 0)
  expected = np.mean(data.reward * 3 / candidates)
  assert result.values['ipw'].value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
  ('changes', 'share', 'message'),
  [
    ({'num_candidates': np.r_[3, 2, np.full(398, 3)]}, 0.5, 'num_candidates, row 1: chosen from 2'),
    (
      {'position': np.r_[np.zeros(399, int), 998]},
      0.5,
      'position, row 399: 998, and there are 3 items to choose from at most',
    ),
    ({}, 0.999, 'of 400 rounds a part has 0: .* another --train_share'),
  ],
)
def test_what_cannot_be_evaluated_is_one_line(changes, share, message):
  with pytest.raises(InputError, match=message) as error:
    policy_value.evaluate_policy(
      dataclasses.replace(log(), **changes), 'popularity_greedy', share, 0
    )
  assert '\n' not in str(error.value)


def test_settings_are_checked(tmp_path):
  with pytest.raises(InputError, match=r'--train_share: 1 is not in \(0, 1\)'):
    valuation.run('absent', 'uniform', 1.0, 0, tmp_path / 'figure.svg')
  for seed in (-1, 2**32):
    with pytest.raises(InputError, match=f'--seed: {seed} is not in 0..4294967295'):
      valuation.run('absent', 'uniform', 0.5, seed, tmp_path / 'figure.svg')
    with pytest.raises(InputError, match=f'--seed: {seed} is not in 0..4294967295'):
      learn.run('absent', LearningConfig('ipw'), 0.5, seed, tmp_path)
  with pytest.raises(InputError, match='--figure: no directory'):
    valuation.run('absent', 'uniform', 0.5, 0, tmp_path / 'absent' / 'figure.svg')
  with pytest.raises(InputError, match='--figure: .* is a directory'):
    valuation.run('absent', 'uniform', 0.5, 0, tmp_path)
  with pytest.raises(InputError, match='absent: no such file; check --log'):
    valuation.run('absent', 'uniform', 0.5, 0, tmp_path / 'figure.svg')


def test_an_effect_says_what_hidden_confounding_could_undo(tmp_path, capsys):
  path = tmp_path / 'log.parquet'
  logged.write(path, log())
  for name, against in (('item:1', 'logged'), ('item:1', 'item:0'), ('item:2', 'item:2')):
    valuation.run(path, name, 0.5, 0, tmp_path / 'value.svg', against=against)
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('effect')]
  data = log()
  mean = [data.reward[data.action == action].mean() for action in range(3)]
  # By a model of the reward, so near to the difference of means and not equal to it.
  for line, expected in zip(lines, (mean[1] - data.reward.mean(), mean[1] - mean[0]), strict=False):
    assert float(re.search(r': ([+-][.\d]+) \[', line)[1]) == pytest.approx(expected, abs=0.02)
    undone, alone = map(float, re.findall(r'below ([\d.]+)', line))
    assert 1.5 < undone < alone
  assert lines[0].startswith('effect of item:1 in place of logged')
  assert lines[2].endswith('no conclusion, which hidden confounding could undo')
  with pytest.raises(InputError, match="item '9' is in no round"):
    policy_value.evaluate_policy(data, 'item:9', 0.5, 0)


def offering(data, dear):
  """The log with two candidates a round; item 2 is offered in the second half alone, by chance."""
  rng = np.random.default_rng(3)
  other = np.where(np.arange(400) < 200, 1, 2)
  candidates = np.stack([np.zeros(400, int), other], axis=1)
  action = candidates[np.arange(400), rng.integers(2, size=400)]
  # What is earned in the second half has nothing to do with what is shown.
  reward = np.where(np.arange(400) < 200, 0.0, dear)
  return dataclasses.replace(
    data,
    action=action,
    reward=reward,
    candidates=candidates,
    num_candidates=np.full(400, 2),
    propensity=np.full(400, 0.5),
  )


def test_an_item_is_valued_where_it_is_offered_and_the_answer_says_so(tmp_path, capsys):
  data = offering(log(), 1.0)
  result = policy_value.evaluate_policy(data, 'item:2', 0.5, 0)
  assert result.condition == 'the 200 of 400 rounds that offer item 2'
  assert result.logged_mean == 1.0
  assert result.values['snipw'].value == pytest.approx(1.0)
  found = effects.effect(data, result)
  # Over all rounds it would seem to double what is earned.
  assert (found.value, found.n) == (pytest.approx(0.0, abs=1e-9), 200)
  always = policy_value.evaluate_policy(data, 'item:0', 0.5, 0)
  assert always.condition == ''
  assert effects.effect(data, result, always).n == 200
  never = policy_value.evaluate_policy(data, 'item:1', 0.5, 0)
  with pytest.raises(InputError, match='no round of the log judges both'):
    effects.effect(data, result, never)
  path = tmp_path / 'log.parquet'
  logged.write(path, data)
  valuation.run(path, 'item:2', 0.5, 0, tmp_path / 'value.svg')
  assert 'valued on the 200 of 400 rounds that offer item 2' in capsys.readouterr().out


def test_an_item_of_which_nobody_knows_where_it_was_offered_is_refused():
  data = dataclasses.replace(log(), num_candidates=np.r_[3, 2, np.full(398, 3)])
  with pytest.raises(
    InputError, match=r'does not say which rounds offer .* \(row 1 offers 2 of 3\)'
  ):
    policy_value.evaluate_policy(data, 'item:1', 0.5, 0)


def test_nothing_is_said_or_written_of_policies_that_share_no_round(tmp_path, capsys):
  data = offering(log(), 1.0)
  path, figure, out = (tmp_path / name for name in ('log.parquet', 'value.svg', 'rows.json'))
  logged.write(path, data)
  with pytest.raises(InputError, match='--against: no round of the log judges both'):
    valuation.run(path, 'item:1', 0.5, 0, figure, out, 'item:2')
  # In the rounds that offer both, all of one kind, the other one is never taken.
  never = np.where(np.arange(400) < 200, data.action, 2)
  logged.write(path, dataclasses.replace(data, action=never))
  for names, message in (
    (('item:2', 'item:0'), '--against: it takes no logged action of the 200 rounds that judge'),
    (('item:0', 'item:2'), '--policy: it takes no logged action of the 200 rounds'),
    (('item:0,item:2', 'logged'), '--policy: item:0: it takes no logged action of the 200 rounds'),
  ):
    with pytest.raises(InputError, match=message):
      valuation.run(path, names[0], 0.5, 0, figure, out, names[1])
  assert not capsys.readouterr().out
  assert list(tmp_path.iterdir()) == [path]


def test_a_model_disagrees_where_its_weighted_residuals_have_no_mean_of_0():
  """Of a gap of 2.5 errors and of none, each in a log of its own; unpaired intervals miss both."""
  data = log(4_000)
  data = dataclasses.replace(data, reward=10 * data.context[:, 0] + data.reward)
  policy, said = given(data), {}
  for bias in (0.0, 0.1):
    result = policy_value.evaluate_policy(
      data, policy, 0.5, 0, evaluation.Reading(('dm', 'dr'), 't')
    )
    rounds = result.rounds
    shifted = dataclasses.replace(rounds, q_logged=np.asarray(rounds.q_logged) - bias)
    result = dataclasses.replace(result, rounds=shifted)
    gap = evaluation.model_gap(data, result, 0.95)
    residual = np.asarray(shifted.weight) * (data.reward - np.asarray(shifted.q_logged))
    assert gap.value == pytest.approx(residual.mean(), rel=1e-9)
    assert gap.high - gap.low == pytest.approx(2 * 1.96 * residual.std() / 4_000**0.5, rel=0.02)
    said[bias] = conclusion.advice('mine', result, effects.effect(data, result), gap)
    # The bias is within the interval of the value, which has the spread of the contexts besides.
    assert bias < result.values['dr'].value - result.values['dr'].low
  assert 'disagrees' not in said[0.0] and 'disagrees' in said[0.1]
  assert evaluation.model_gap(data, dataclasses.replace(result, values={}), 0.95) is None


def test_what_would_not_fit_into_memory_is_said_before_it_is_begun(monkeypatch):
  # A column for each of 3 items, three times: 27 numbers.
  sizes = {'SC_PAGE_SIZE': 1, 'SC_PHYS_PAGES': 4 * 27}
  monkeypatch.setattr(log_checks.os, 'sysconf', sizes.get)
  log_checks.check_size(log())
  sizes['SC_PHYS_PAGES'] -= 1
  with pytest.raises(InputError, match='3 items without features, a column each, take'):
    policy_value.evaluate_policy(log(), 'popularity_greedy', 0.5, 0)


def given(data):
  """A policy over three items that depends on the context."""
  logits = np.asarray(data.context) @ np.array([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
  return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[:, :, None]


def test_the_more_robust_model_is_a_weighted_regression():
  data = log(60)
  # Not all in [0, 1]: linear.
  data = dataclasses.replace(data, reward=data.reward + np.arange(60) / 20)
  policy, rows = given(data), np.arange(60)
  reading = evaluation.Reading(('dm', 'dr'), model='mrdr')
  result = policy_value.evaluate_policy(data, policy, 0.5, 7, reading)
  weight = policy[rows, data.action, 0] / data.propensity
  square = weight**2 * (1 - data.propensity)
  square /= square.mean()
  context = (data.context - data.context.mean(0)) / data.context.std(0)
  model = np.empty((60, 3))
  fold = folds(7, 60, log_checks.NUM_FOLDS)
  penalty = np.diag([1.0] * 5 + [0.0])
  for each in range(log_checks.NUM_FOLDS):
    gram, right = penalty.copy(), np.zeros(6)
    for row in rows[fold != each]:
      x = np.concatenate([np.eye(3)[data.action[row]], context[row], [1]])
      gram += square[row] * np.outer(x, x)
      right += square[row] * data.reward[row] * x
    params = np.linalg.solve(gram, right)
    own = context[fold == each] @ params[3:5] + params[5]
    model[fold == each] = own[:, None] + params[:3]
  direct = (policy[:, :, 0] * model).sum(1)
  assert result.values['dm'].value == pytest.approx(direct.mean(), rel=1e-6)
  robust = direct + weight * (data.reward - model[rows, data.action])
  assert result.values['dr'].value == pytest.approx(robust.mean(), rel=1e-6)
  plain = policy_value.evaluate_policy(data, policy, 0.5, 7, evaluation.Reading(('dm', 'dr')))
  assert abs(plain.values['dm'].value - direct.mean()) > 1e-3
  assert 'model of the reward by mrdr' in valuation.protocol(result, 0)
  item = policy_value.evaluate_policy(data, 'item:1', 0.5, 7, reading)
  always = np.repeat(np.eye(3)[1][None, :, None], 60, axis=0)
  same = policy_value.evaluate_policy(data, always, 0.5, 7, reading)
  assert item.values['dr'].value == pytest.approx(same.values['dr'].value)


def test_a_model_that_cannot_be_fitted_for_a_policy_is_refused(tmp_path):
  logged.write(tmp_path / 'log.parquet', log(30))
  for name, message, more in (
    ('logged', '--model: mrdr is fitted for what a policy does with every candidate', {}),
    ('uniform', '--model: lasso is not one of plain, mrdr', {'model': 'lasso'}),
    ('uniform', '--model: mrdr needs propensities', {'propensities': 'balanced'}),
  ):
    reading = evaluation.Reading(**{'model': 'mrdr'} | more)
    with pytest.raises(InputError, match=message):
      valuation.run(tmp_path / 'log.parquet', name, 0.5, 0, tmp_path / 'value.svg', reading=reading)
