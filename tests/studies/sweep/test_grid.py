"""The settings of a sweep, read from text."""

import pytest

from rec_jax.studies.sweep import grid
from rec_jax.types import InputError


def test_a_policy_runs_under_all_combinations_of_its_values():
  settings = grid.settings_of(
    ' lin_ts, lin_ucb', 'lin_ucb.alpha=0.1|1, lin_ucb.lambda_=2|3', 'lin_ts'
  )
  assert settings == {
    'lin_ts': [{}],
    'lin_ucb': [{'alpha': a, 'lambda_': b} for a in (0.1, 1.0) for b in (2.0, 3.0)],
  }


def test_settings_of_one_structure_stand_together():
  name = 'matrix_factorisation_ts'
  found = grid.settings_of(name, f'{name}.lambda_=1|2,{name}.rank=4|8', 'uniform')[name]
  assert [setting['rank'] for setting in found] == [4, 4, 8, 8]
  assert all(isinstance(setting['rank'], int) for setting in found)


@pytest.mark.parametrize(
  ('policies', 'entries', 'baseline', 'message'),
  [
    ('lin_tss', '', 'uniform', "unknown policy 'lin_tss'; known: .*lin_ts, lin_ucb"),
    ('lin_ts', '', 'unifrom', "unknown policy 'unifrom'; known: "),
    (' ,', '', 'uniform', 'set --config.policies'),
    ('lin_ucb', 'lin_ucb.alfa=1', 'uniform', "'alfa' of policy 'lin_ucb' .*known: lambda_.*alpha"),
    ('lin_ucb', 'uniform.alpha=1', 'uniform', 'known: none'),
    ('lin_ucb', 'lin_ts.lambda_=1', 'uniform', 'does not run; these do: lin_ucb, uniform'),
    ('lin_ucb', 'lin_ucb.alpha=1,lin_ucb.alpha=2', 'uniform', 'two entries .* join them by |'),
    ('lin_ucb', 'lin_ucb.alpha', 'uniform', 'cannot be read; write policy.hyperparameter=0.1'),
    ('lin_ucb', 'lin_ucb.alpha=1|x', 'uniform', 'cannot be read .*float.*x'),
    ('lin_ucb', 'lin_ucb.alpha=1|inf', 'uniform', 'a value that is not finite'),
    ('lin_ucb', 'lin_ucb.alpha=1|2|1.0', 'uniform', 'a value twice'),
    ('lin_ucb', 'lin_ucb.alpha=0.1|0.10000001', 'uniform', 'a value twice'),
    ('lin_ucb', 'lin_ucb.lambda_=1|-1', 'uniform', 'lambda_ = -1 is outside'),
    ('exp4', 'exp4.policies=1', 'uniform', 'exp4.policies is not a number'),
  ],
)
def test_bad_text_is_one_line(policies, entries, baseline, message):
  with pytest.raises(InputError, match=message) as error:
    grid.settings_of(policies, entries, baseline)
  assert '\n' not in str(error.value)
