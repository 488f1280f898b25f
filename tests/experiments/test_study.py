"""Every declared study is whole, and the command says what is wrong in one line."""

import pytest

from experiments import studies
from rec_jax.runs import limits, study
from tests.helpers import commands

_STUDY = """
import runpy
runpy.run_module('experiments.study', run_name='__main__', alter_sys=True)
"""


@pytest.mark.parametrize('name', studies.NAMES)
def test_every_study_is_whole(name):
  declared = studies.load(name)
  assert declared.title and '\n' not in declared.title
  assert declared.protocol.format(config=declared.config, num_seeds=len(declared.seeds))
  limits.check_numbers(declared.config)
  assert declared.variants and len(declared.seeds) > 0
  assert declared.baseline is None or declared.baseline in declared.variants
  # The overrides name fields, and give values of their types.
  for fields in declared.variants.values():
    changed = study.override(declared.config, {'seed': 1, **fields})
    assert changed.seed == 1
    limits.check_numbers(changed)
  assert {variant for variant, _ in declared.expected} <= set(declared.variants)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], 'error: --name: expected text_or_id, '),
    (['--name=text_or'], 'got text_or; --list explains them'),
    (['--name=coverage', '--config.num_log=3'], 'did you mean num_logs?'),
    (['--name=coverage', '--num_seeds=0'], 'num_seeds'),
    (['--name=coverage', '--num_seeds=9'], 'the study has 1 seed'),
    (['--name=coverage', '--config.num_logs=0'], 'set --config.num_logs to 1 or more'),
    (
      ['--name=coverage', '--config.spread=1'],
      '1,000 rounds, common rewards and 16 more from other variants: leave it out',
    ),
    (['--name=text_or_id', '--config.num_seeds=3'], 'set --num_seeds'),
    (['--name=rolling_cuts', '--config.cuts=a'], 'set --config.cuts to shares'),
    (['--name=coverage', 'again'], "unexpected argument 'again'"),
  ],
)
def test_a_wrong_command_is_one_line(tmp_path, flags, message):
  done = commands.run(_STUDY, *flags, f'--workdir={tmp_path / "new"}')
  assert done.returncode == 1
  [line] = done.stderr.splitlines()
  assert message in line
  assert not (tmp_path / 'new').exists()


# Logs of one length, for which all is compiled once.
_FEW = """
import dataclasses
from experiments.studies import coverage
whole = coverage.get_study()
few = {name: fields for name, fields in whole.variants.items() if '1,000 rounds' in name}
expected = {key: bounds for key, bounds in whole.expected.items() if key[0] in few}
coverage.get_study = lambda: dataclasses.replace(whole, variants=few, expected=expected)
"""


@pytest.mark.soak
def test_a_study_runs_under_the_settings_of_the_flags(tmp_path):
  settings = '--config.num_logs=5', '--config.resamples=50'
  done = commands.run(_FEW + _STUDY, '--name=coverage', *settings, f'--workdir={tmp_path}')
  # Shares of five logs are out of bounds for a thousand.
  assert done.returncode == 1, done.stderr
  assert '5 synthetic logs' in done.stdout
  assert 'not as expected' in done.stdout
  assert (tmp_path / 'report' / 'index.html').exists()
