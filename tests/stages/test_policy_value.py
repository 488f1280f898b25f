"""Evaluating a policy of the registry on a log."""

import dataclasses

import numpy as np
import pytest

from rec_jax.data import logged
from rec_jax.stages import policy_value
from rec_jax.types import InputError


def log(num_rounds=400, seed=0):
  """Uniform over three items, of which the second is liked."""
  rng = np.random.default_rng(seed)
  action = rng.integers(3, size=num_rounds)
  return logged.from_obp(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(num_rounds) < np.array([0.1, 0.8, 0.2])[action]).astype(float),
      'pscore': np.full(num_rounds, 1 / 3),
      'context': rng.normal(size=(num_rounds, 2)),
    }
  )


def test_table_figure_and_advice(tmp_path, capsys):
  path, figure = tmp_path / 'log.parquet', tmp_path / 'value.svg'
  logged.write(path, log())
  policy_value.run(path, 'popularity_greedy', 0.5, 0, figure)
  output = capsys.readouterr().out
  for name in ('replay', 'ipw', 'snipw', 'dm', 'dr', 'sndr', 'switch_dr', 'dr_os', 'sg_dr'):
    assert f'\n{name}' in output
  assert 'advice: by dr the policy is better than the one that logged' in output
  assert figure.read_text().startswith('<?xml') or '<svg' in figure.read_text()
  assert sorted(path.name for path in tmp_path.iterdir()) == ['log.parquet', 'value.svg']


def test_the_policy_is_frozen_before_the_rounds_that_judge_it():
  data = log()
  before = policy_value.frozen_policy(data, 'popularity_greedy', 200, 0)
  reward = np.where(np.arange(400) < 200, data.reward, 1 - data.reward)
  after = policy_value.frozen_policy(
    dataclasses.replace(data, reward=reward), 'popularity_greedy', 200, 0
  )
  np.testing.assert_array_equal(before, after)
  assert (before[:, 1, 0] == 1).all()


def test_ipw_of_the_logging_policy_is_the_mean_reward():
  data = log()
  uneven = dataclasses.replace(data, propensity=np.where(data.action == 1, 0.5, 0.25))
  result = policy_value.assess(uneven, 'logged', 0.5, 0)
  assert result.values['ipw'].value == pytest.approx(data.reward.mean(), rel=1e-12)
  assert result.values['ipw'].effective_sample_size == pytest.approx(400)
  assert result.num_train == 0


def test_uniform_over_changing_candidates():
  candidates = np.r_[np.full(200, 3), np.full(200, 2)]
  data = dataclasses.replace(log(), num_candidates=candidates)
  result = policy_value.assess(data, 'uniform', 0.5, 0)
  expected = np.mean(data.reward * 3 / candidates)
  assert result.values['ipw'].value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
  ('changes', 'share', 'message'),
  [
    ({'num_candidates': np.r_[3, 2, np.full(398, 3)]}, 0.5, 'num_candidates, row 1: chosen from 2'),
    ({}, 0.999, 'the log has 400 rounds'),
  ],
)
def test_what_cannot_be_evaluated_is_one_line(changes, share, message):
  with pytest.raises(InputError, match=message) as error:
    policy_value.assess(dataclasses.replace(log(), **changes), 'popularity_greedy', share, 0)
  assert '\n' not in str(error.value)


def test_settings_are_checked(tmp_path):
  with pytest.raises(InputError, match=r'--train_share: 1 is not in \(0, 1\)'):
    policy_value.run('absent', 'uniform', 1.0, 0, tmp_path / 'figure.svg')
  with pytest.raises(InputError, match='--figure: no directory'):
    policy_value.run('absent', 'uniform', 0.5, 0, tmp_path / 'absent' / 'figure.svg')
  with pytest.raises(InputError, match='absent: cannot be read as Parquet'):
    policy_value.run('absent', 'uniform', 0.5, 0, tmp_path / 'figure.svg')
