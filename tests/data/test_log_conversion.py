"""One format as another: what the other does not hold is named, what cannot be is refused."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rec_jax.data import log_conversion, logged
from rec_jax.types import InputError
from tests.data.test_vw import a_log
from tests.helpers import commands, logs

RUN = 'import runpy; runpy.run_module("experiments.convert_log", run_name="__main__")'


def test_what_the_other_format_does_not_hold_is_named(tmp_path):
  source = tmp_path / 'log.parquet'
  logged.write(source, dataclasses.replace(a_log(), is_adaptive=True))
  frame = pl.read_parquet(source).with_columns(device=pl.lit('phone'))
  frame.write_parquet(source, metadata=pl.read_parquet_metadata(source))
  for ending, lost in (
    ('parquet', ['device']),
    ('csv', ['is_adaptive', 'device']),
    ('vw', ['round', 'user_id', 'pi_b', 'is_adaptive', 'device']),
  ):
    log, found = log_conversion.convert(source, tmp_path / f'other.{ending}')
    assert found == lost
    np.testing.assert_array_equal(log.reward, a_log().reward)
  for target, message in (
    (source, '--out: .* is the log itself'),
    (tmp_path / 'none' / 'log.csv', '--out: no directory'),
    (tmp_path / 'log.npz', 'candidates: they differ by round'),
  ):
    with pytest.raises(InputError, match=message):
      log_conversion.convert(source, target)
  assert not (tmp_path / 'log.npz').exists()


def test_lists_go_from_table_to_table_alone(tmp_path):
  log = dataclasses.replace(
    logs.two_items(6), round=np.repeat(np.arange(3), 2), position=np.tile([0, 1], 3)
  )
  logged.write(tmp_path / 'log.parquet', log)
  log_conversion.convert(tmp_path / 'log.parquet', tmp_path / 'log.csv')
  again = logged.read(tmp_path / 'log.csv', ranked=True)
  np.testing.assert_array_equal(again.round, log.round)
  np.testing.assert_array_equal(again.action, log.action)
  with pytest.raises(InputError, match='ranked lists, which .parquet and .csv alone hold'):
    log_conversion.convert(tmp_path / 'log.parquet', tmp_path / 'log.npz')


def test_the_command_says_what_it_wrote(tmp_path):
  logged.write(tmp_path / 'log.parquet', logs.two_items())
  flags = [f'--log={tmp_path}/log.parquet', f'--out={tmp_path}/log.dsjson']
  run = commands.run(RUN, *flags)
  assert run.stdout == f'300 rows, 2 items: {tmp_path}/log.dsjson\n', run.stderr
  run = commands.run(RUN, flags[0], f'--out={tmp_path}/log.txt')
  assert run.returncode == 1 and run.stderr.startswith(f'error: {tmp_path}/log.txt: a log is')
  assert run.stderr.count('\n') == 1
