"""The scripts: flags, one-line errors, and the order of the stages."""

import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from experiments import launch
from rec_jax.runs.config import STAGES
from tests.helpers import commands

ROOT = pathlib.Path(__file__).parents[2]

# Stands in for the real stages: writes one row each, or fails as told.
_FAKE_STAGES = """
import importlib.abc, importlib.machinery, os, sys, threading, time, types
import rec_jax.stages
from rec_jax.runs.config import STAGES

def make(name):
  module = types.ModuleType(f'rec_jax.stages.{name}.stage')
  def run(config, workdir):
    from rec_jax.runs import workdir as workdirs
    from rec_jax.types import InputError
    directory = workdirs.start(config, workdir, name)
    if directory is None:
      return
    (directory / 'half').write_text('')
    if os.environ.get('BAD_INPUT') == name:
      raise InputError('films.csv has no column item_id: set --config.data.item_column')
    if os.environ.get('WAITS') == name:
      print('waiting', flush=True)
      threading.Thread(target=time.sleep, args=(60,)).start()  # As a rollout under way.
      time.sleep(60)
    if os.environ.get('FULL') == name:
      try:
        raise OSError(28, 'No space left on device')
      except OSError as error:
        raise RuntimeError('failed to finalize') from error
    if os.environ.get('BUG') == name:
      raise ZeroDivisionError('a bug')
    row = {'stage': name, 'subject': 's', 'metric': 'm', 'value': config.seed}
    workdirs.finish(directory, [row | {'low': None, 'high': None, 'n': 1, 'protocol': 'p'}])
  module.run = run
  module.check_visitors = lambda config, workdir: None
  module.run_checkpoint = lambda path: print(f'checkpoint {path.name}')
  return module

for name in STAGES:
  package = types.ModuleType(f'rec_jax.stages.{name}')
  package.stage = sys.modules[f'rec_jax.stages.{name}.stage'] = make(name)
  sys.modules[f'rec_jax.stages.{name}'] = package
  setattr(rec_jax.stages, name, package)
import runpy
script = sys.argv.pop(1)
runpy.run_module(f'experiments.{script}', run_name='__main__', alter_sys=True)
"""


def start(script, *flags, **environment):
  command = [sys.executable, '-c', _FAKE_STAGES, script, *flags]
  variables = os.environ | {'JAX_PLATFORMS': 'cpu'} | environment
  pipe = subprocess.PIPE
  return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=variables)


def run(script, *flags, **environment):
  return commands.run(_FAKE_STAGES, script, *flags, **environment)


def assert_one_line_error(result, *parts):
  assert result.returncode == 1
  (line,) = result.stderr.splitlines()
  assert line.startswith('error: ')
  for part in parts:
    assert part in line


def test_the_pipeline_runs_every_stage_once(tmp_path):
  result = run('pipeline', f'--workdir={tmp_path}', '--config.seed=5')
  assert result.returncode == 0
  expected = [f'[{number}/6] {stage}' for number, stage in enumerate(STAGES, 1)]
  assert (result.stdout.splitlines(), result.stderr) == (expected, '')
  rows = json.loads((tmp_path / 'metrics.json').read_text())
  assert [row['stage'] for row in rows] == list(STAGES)
  assert {row['value'] for row in rows} == {5}
  assert 'total' in json.loads((tmp_path / 'explore/timings.json').read_text())

  again = run('pipeline', f'--workdir={tmp_path}', '--config.seed=5')
  expected = [f'{stage}: already finished in {tmp_path}' for stage in STAGES]
  assert again.stderr.splitlines() == expected
  other = run('explore', f'--workdir={tmp_path}')
  assert_one_line_error(other, 'config.seed=5, not 0')


def test_a_script_runs_its_own_stage(tmp_path):
  for stage in ('prepare', 'pretrain'):
    assert run(stage, f'--workdir={tmp_path}').returncode == 0
  assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
    *('prepare', 'pretrain'),
  ]


def test_a_checkpoint_is_evaluated_by_itself():
  result = run('evaluate', '--checkpoint=runs/x/finetune')
  assert (result.returncode, result.stdout) == (0, 'checkpoint finetune\n')


def test_a_pipeline_without_a_teacher_is_refused_before_anything_is_trained(tmp_path):
  flags = f'--workdir={tmp_path}/new', '--config.finetune.variants=id_only,text_only'
  assert_one_line_error(run('pipeline', *flags), 'finetune.variants', 'add teacher')
  assert not list(tmp_path.iterdir())
  assert run('prepare', *flags).returncode == 0


def test_bad_input_is_one_line_and_leaves_no_trace(tmp_path):
  result = run('pipeline', f'--workdir={tmp_path}/new', BAD_INPUT='prepare')
  assert_one_line_error(result, 'films.csv has no column item_id')
  assert not list(tmp_path.iterdir())
  result = run('pipeline', f'--workdir={tmp_path}/new', BAD_INPUT='pretrain')
  assert_one_line_error(result, 'films.csv')
  assert result.stdout.splitlines() == ['[1/6] prepare', '[2/6] pretrain']
  assert not (tmp_path / 'new/pretrain').exists()
  assert (tmp_path / 'new/prepare/metrics.json').exists()


@pytest.mark.parametrize(
  'how', [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)]
)
def test_a_run_that_is_stopped_ends_in_a_line_at_once_and_goes_on_later(tmp_path, how):
  process = start('pipeline', f'--workdir={tmp_path}', WAITS='pretrain')
  while process.stdout.readline() != 'waiting\n':
    assert process.poll() is None
  begin = time.monotonic()
  process.send_signal(how)
  _, errors = process.communicate()
  assert time.monotonic() - begin < 30  # Of the 60 seconds that its threads still have.
  assert errors == 'error: interrupted: the same command resumes the run\n'
  assert process.returncode == 1
  again = run('pipeline', f'--workdir={tmp_path}')
  assert again.stdout.splitlines() == [f'[{n}/6] {s}' for n, s in enumerate(STAGES, 1) if n > 1]
  assert [row['stage'] for row in json.loads((tmp_path / 'metrics.json').read_text())] == [*STAGES]


def test_a_sweep_that_cannot_be_leaves_no_trace(tmp_path):
  config = ('--config=configs/bandits/linear.py', f'--workdir={tmp_path}/new')
  result = run('explore', *config, '--config.policies=lin_ucb,lin_tss')
  assert_one_line_error(result, "unknown policy 'lin_tss'", 'lin_ts, lin_ucb')
  result = run('explore', '--config=configs/bandits/matrix.py', f'--workdir={tmp_path}/new')
  assert_one_line_error(result, 'no reward matrix given; set --config.rewards=FILE.npz')
  assert not list(tmp_path.iterdir())


def test_a_bug_keeps_its_traceback(tmp_path):
  result = run('prepare', f'--workdir={tmp_path}', BUG='prepare')
  assert result.returncode == 1
  assert 'ZeroDivisionError: a bug' in result.stderr


def test_a_full_disk_is_one_line_and_the_run_resumes(tmp_path):
  result = run('prepare', f'--workdir={tmp_path}', FULL='prepare')
  assert_one_line_error(result, f'no space left for {tmp_path}: make some; the same command')
  assert run('prepare', f'--workdir={tmp_path}').returncode == 0
  assert not launch._is_full_disk(ValueError('of another kind'))


@pytest.mark.parametrize(
  ('flags', 'parts'),
  [
    (['--config.sed=1'], ['no config field sed', 'did you mean seed?']),
    (['--config.data.cutt', '0.8'], ['no config field data.cutt', 'did you mean data.cut?']),
    (['--config.cut=0.8'], ['did you mean data.cut?']),
    (
      ['--config.xyzzy=0.8'],
      [
        'no config field xyzzy',
        'the fields are seed, num_seeds, num_test_users, num_sampled',
      ],
    ),
    (['--config.seed=one'], ["--config.seed=one: invalid literal for int() with base 10: 'one'"]),
    (['--config.data.cut=half'], ['--config.data.cut=half', 'could not convert string to float']),
    (['--config.explore=0'], ['config.explore is a group', '--config.explore.FIELD=VALUE']),
    (['--config.seed='], ['--config.seed=: invalid literal']),
    (['--config='], ['no config file : run from the root']),
    (['--config=README.md'], ['README.md is no config file']),
    (['--config=rec_jax/types.py'], ['types.py has no get_config() that returns a Config']),
    (['--workdir='], ['--workdir is empty: give a directory']),
    (['--config=configs/none.py'], ['no config file configs/none.py']),
    (['--config=configs/bandits/linear.py', '--config.polices=x'], ['did you mean policies?']),
    (
      ['--config=configs/bandits/linear.py', '--config.disc_radius=1'],
      ['no config field disc_rad'],
    ),
    (['--config=configs/bandits/linear.py'], ['of a sweep', 'python -m experiments.explore']),
    (['--config', 'none.py', '--config.seed=1'], ['no config file none.py']),
    (['--wrkdir=x'], ["Unknown command line flag 'wrkdir'", 'workdir']),
    (['extra'], ["unexpected argument 'extra'"]),
  ],
)
def test_wrong_flags_are_one_line(flags, parts):
  assert_one_line_error(run('pipeline', *flags), *parts)


def test_the_configs_load_and_are_fast_to_refuse():
  code = """
import sys
from configs import amazon_reviews, mind, movielens, movielens_1m, movielens_25m, tables, yambda
from configs.bandits import drifting, linear, logistic, wheel
import experiments.launch
assert movielens.get_config().data.source == 'movielens'
assert tables.get_config().data.source == 'tables'
for config in (amazon_reviews, mind, movielens_1m, movielens_25m, yambda):
  assert config.get_config().data.source == config.__name__.rpartition('.')[2]
for config in (drifting, linear, logistic, wheel):
  assert config.get_config().environment == config.__name__.rpartition('.')[2]
assert 'jax' not in sys.modules, 'JAX is imported before the flags are checked'
"""
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_help_names_the_flags_of_every_script():
  for script in (*STAGES, 'pipeline'):
    result = run(script, '--help')
    assert '--config' in result.stdout
    assert '--workdir' in result.stdout


IN_ORDER = '--xla_cpu_enable_concurrency_optimized_scheduler=false'


@pytest.mark.parametrize(
  ('version', 'own', 'expected'),
  [
    ('0.10.2', None, IN_ORDER),
    ('0.10.2', '--xla_cpu_use_xnnpack=false', f'--xla_cpu_use_xnnpack=false {IN_ORDER}'),
    ('0.10.2', IN_ORDER.replace('false', 'true'), IN_ORDER.replace('false', 'true')),
    ('0.12.0.1', None, None),
  ],
)
def test_jax_0_10_schedules_in_order_unless_told_otherwise(monkeypatch, version, own, expected):
  monkeypatch.setattr(importlib.metadata, 'version', lambda name: version)
  monkeypatch.setattr(os, 'environ', {'XLA_FLAGS': own} if own else {})
  launch._schedule_in_order()
  assert os.environ.get('XLA_FLAGS') == expected


def test_an_interrupt_that_is_lost_is_raised_again():
  script = """
import os, signal, sys, time
from experiments import launch

class Swallows:
  def __del__(self):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)

def guarded(argv):
  # What is raised in a destructor is printed and forgotten.
  Swallows()
  print('went on', flush=True)
  time.sleep(60)

launch._INTERRUPT_AGAIN = 0.5
launch._call(guarded)
"""
  done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=50)
  assert (done.returncode, done.stdout) == (1, 'went on\n')
  assert done.stderr.splitlines()[-1] == 'error: interrupted: the same command resumes the run'
