"""Ranking of policies against closed forms, by hand, and by truth that is known."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from rec_jax.data import logged, obp
from rec_jax.report import figures
from rec_jax.studies.logged import effects, policy_ranking, policy_value, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError

NUM_ROUNDS, WORTH = 2000, np.array([0.30, 0.80, 0.32])
FEW = Reading(names=('snipw',))


def log():
  rng = np.random.default_rng(0)
  action = rng.integers(3, size=NUM_ROUNDS)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(NUM_ROUNDS) < WORTH[action]).astype(float),
      'pscore': np.full(NUM_ROUNDS, 1 / 3),
      'expected_reward': np.tile(WORTH, (NUM_ROUNDS, 1)),
    }
  )


def always(item):
  return np.tile(np.eye(3)[item], (NUM_ROUNDS, 1))[:, :, None]


def test_the_best_is_first_and_ties_are_not_told_apart():
  data = log()
  results = {
    f'item {item}': policy_value.evaluate_policy(data, always(item), 0.5, 0, FEW)
    for item in range(3)
  }
  ranked = policy_ranking.rank(data, results)
  assert ranked[0].name == 'item 1' and ranked[0].behind is None
  assert all(each.p_value < 1e-4 for each in ranked[1:])
  mean = [data.reward[data.action == item].mean() for item in range(3)]
  for each in ranked:
    item = int(each.name[-1])
    assert each.gain.value == pytest.approx(mean[item] - data.reward.mean(), abs=1e-9)
    if each.behind is not None:
      assert each.behind.value == pytest.approx(mean[item] - mean[1], abs=1e-9)
  alike = policy_ranking.rank(data, {name: results[name] for name in ('item 0', 'item 2')})
  assert alike[1].p_value > 0.05
  # Two policies have one pair: Student's test of two means, of which the variance is known.
  left, right = (data.reward[data.action == item] for item in (0, 2))
  expected = stats.ttest_ind(left, right, equal_var=False).pvalue
  assert alike[1].p_value == pytest.approx(expected, rel=0.05)
  shuffled = dataclasses.replace(results['item 0'], rows=np.array([], int))
  with pytest.raises(InputError, match='no round of the log judges all'):
    policy_ranking.rank(data, results | {'item 0': shuffled})
  pair = effects.difference(data, results['item 1'], results['item 0'], 0.95)
  assert pair.low < 0.5 < pair.high


def test_selection_by_hand():
  assert policy_ranking.selection([3.0, 2.0, 1.0]) == pytest.approx((0.0, 1.0))
  # Ranks 1 2 3 against 2 1 3: 1 - 6 * 2 / (3 * 8) = .5.
  assert policy_ranking.selection([2.0, 3.0, 1.0]) == pytest.approx((1.0, 0.5))
  assert np.isnan(policy_ranking.selection([1.0, 1.0])[1])


def test_several_policies_on_the_command_line(tmp_path, capsys):
  data, path = log(), tmp_path / 'log.parquet'
  logged.write(path, data)
  for item in range(3):
    np.save(tmp_path / f'{item}.npy', always(item))
  names = ','.join(f'{tmp_path}/{item}.npy' for item in range(3))
  valuation.run(path, names, 0.5, 0, tmp_path / 'value.svg', reading=FEW)
  output = capsys.readouterr().out
  assert 'truth: regret at 1 0, rank correlation' in output
  assert f'advice: {tmp_path}/1.npy is first; it is better than {tmp_path}/' in output
  assert '3 policies, on the 2,000 rounds that judge all of them' in output
  with pytest.raises(InputError, match='--policy: one of them is there twice'):
    valuation.run(path, 'uniform,uniform', 0.5, 0, tmp_path / 'value.svg')


def test_a_ranking_as_json_and_as_a_figure(tmp_path, monkeypatch):
  data, path, out = log(), tmp_path / 'log.parquet', tmp_path / 'rows.json'
  logged.write(path, data)
  for item in range(3):
    np.save(tmp_path / f'{item}.npy', always(item))
  names = [f'{tmp_path}/{item}.npy' for item in range(3)]
  drawn, panels = figures.forest, []

  def forest(title, given, **options):
    panels.append(given)
    return drawn(title, given, **options)

  monkeypatch.setattr(figures, 'forest', forest)
  valuation.run(path, ','.join(names), 0.5, 0, tmp_path / 'value.svg', out, reading=FEW)
  assert (tmp_path / 'value.svg').exists()
  (gains,) = panels[0].values()
  rows = json.loads(out.read_text())
  assert [row['metric'] for row in rows] == ['minus logged'] + ['minus logged', 'minus best'] * 2
  assert rows[0]['subject'] == names[1] == next(iter(gains)) and rows[0]['rank'] == 1
  mean = [data.reward[data.action == item].mean() for item in range(3)]
  for row in rows:
    item, base = int(row['subject'][-5]), row['metric'] == 'minus best'
    expected = mean[item] - (mean[1] if base else data.reward.mean())
    assert row['value'] == pytest.approx(expected, abs=1e-9)
    assert row['low'] < row['value'] < row['high'] and row['truth'] == pytest.approx(WORTH[item])
    assert (row['corrected_p'] is not None) == base and row['warning'] == ''
    assert row['protocol'] == 'off-policy, on the 2,000 rounds that judge all of them'


def rare(num_rounds=2_000):
  """A log that takes the third item in 1 % of the rounds."""
  rng = np.random.default_rng(1)
  chance = np.array([0.5, 0.49, 0.01])
  action = rng.choice(3, p=chance, size=num_rounds)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(num_rounds) < np.array([0.2, 0.5, 0.99])[action]).astype(float),
      'pscore': chance[action],
    }
  )


def test_poor_overlap_of_the_other_policies_is_said(tmp_path, capsys):
  path = tmp_path / 'log.parquet'
  logged.write(path, rare())
  valuation.run(path, 'item:1', 0.5, 0, tmp_path / 'value.svg', against='item:2', reading=FEW)
  assert '\nwarning: item:2: poor overlap: 2000 rounds weigh as much as' in capsys.readouterr().out
  valuation.run(path, 'item:0,item:1', 0.5, 0, tmp_path / 'value.svg', reading=FEW)
  output = capsys.readouterr().out
  assert 'advice: item:1 is first; it is better than item:0' in output and 'warning' not in output
  valuation.run(path, 'item:0,item:1,item:2', 0.5, 0, tmp_path / 'value.svg', reading=FEW)
  output = capsys.readouterr().out
  assert 'warning: item:2: poor overlap' in output
  assert 'advice: none: item:2 is first, and its interval does not hold' in output


def mostly(data):
  return np.tile([0.1, 0.1, 0.8], (len(data.action), 1))


def test_every_kind_of_policy_is_ranked_with_the_others(tmp_path, capsys):
  data, path, out = log(), tmp_path / 'log.csv', tmp_path / 'rows.json'
  logged.write(path, data)
  alone = np.where(data.action == 1, 0.6, 0.2)
  frame = pl.read_csv(path).with_columns(pl.Series('alone', alone))
  frame.write_csv(path)
  np.save(tmp_path / 'first.npy', always(0))
  function = f'python:{__name__}:mostly'
  names = f'column:alone,{tmp_path}/first.npy,{function},item:1,uniform'
  valuation.run(path, names, 0.5, 0, tmp_path / 'v.svg', out, 'item:2', FEW)
  assert 'pairs of 6 policies at once (Holm)' in capsys.readouterr().out
  # The uniform policy learns nothing, but from the first half: the others are judged on the second.
  rows = slice(NUM_ROUNDS // 2, None)
  action, reward = data.action[rows], data.reward[rows]
  policy = {
    'column:alone': [0.2, 0.6, 0.2],
    f'{tmp_path}/first.npy': [1, 0, 0],
    function: [0.1, 0.1, 0.8],
    'item:1': [0, 1, 0],
    'uniform': [1 / 3] * 3,
    'item:2': [0, 0, 1],
  }
  weight = {name: 3 * np.array(each)[action] for name, each in policy.items()}
  value = {name: each @ reward / each.sum() for name, each in weight.items()}
  found = json.loads(out.read_text())
  gains = {row['subject']: row for row in found if row['metric'] == 'minus logged'}
  for name, expected in value.items():
    assert gains[name]['value'] == pytest.approx(expected - reward.mean(), abs=1e-9)
  order = sorted(value, key=lambda name: -value[name])
  assert sorted(gains, key=lambda name: gains[name]['rank']) == order and order[0] == 'item:1'
