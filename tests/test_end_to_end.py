"""The scripts on small tables, from files to the report.

A small encoder and a few of the policies stand in, for the time that the others take to compile.
All that lies between is what a user runs. For `make soak`: `.ci/run` runs the demo, and stages have
tests of their own.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from rec_jax.runs.config import STAGES
from tests.helpers import commands, small

# A minute and a half of compilation.
pytestmark = pytest.mark.soak

ROOT = pathlib.Path(__file__).parents[1]

_SMALL = """
import dataclasses, functools, runpy, sys
from rec_jax.stages.explore import payoff, policies
from rec_jax.tasks import text_encoders
from tests.helpers import cheap_programs, small

encoder = functools.partial(small.encoder, vocab_size=30_522)
if not any('text_model' in flag for flag in sys.argv):
  text_encoders.initial = text_encoders.published = encoder
greedy = dataclasses.replace(
  policies.PER_USER_GREEDY, grid={'lambda_': (20.0, 80.0)}, strength='lambda_'
)
# Each rollout is a program.
policies.comparison = lambda world: (policies.baseline(world), greedy)
policies.COLD_START, payoff.ENTRIES = (), (greedy,)

script = sys.argv.pop(1)
with cheap_programs.cheap_programs():
  runpy.run_module(f'experiments.{script}', run_name='__main__', alter_sys=True)
"""


def arguments(script, config, workdir):
  """Of `_SMALL`, a script under the flags that make the default config `config`."""
  flags = []
  for stage in dataclasses.fields(config):
    settings, default = (getattr(c, stage.name) for c in (config, type(config)()))
    if dataclasses.is_dataclass(settings):
      flags += [
        f'--config.{stage.name}.{name}={value}'
        for name, value in dataclasses.asdict(settings).items()
        if value != getattr(default, name)
      ]
    elif settings != default:
      flags.append(f'--config.{stage.name}={settings}')
  return [script, *flags, f'--workdir={workdir}']


def start(script, config, workdir):
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
  }
  return subprocess.Popen(
    [sys.executable, '-c', _SMALL, *arguments(script, config, workdir)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    env=environment,
  )


def run(script, config, workdir):
  """What a script wrote to stderr; it must end well."""
  process = start(script, config, workdir)
  _, errors = process.communicate()
  assert process.returncode == 0, errors
  assert 'Traceback' not in errors
  return errors


def stop_once(config, workdir, pattern, how):
  """Starts the pipeline and sends it a signal as soon as a file of this pattern is there."""
  process = start('pipeline', config, workdir)
  while not any(workdir.glob(pattern)):
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)
  process.send_signal(how)
  _, errors = process.communicate()
  return process.returncode, errors.splitlines()[-1:]


def files(workdir):
  return {
    path: path.stat().st_mtime_ns
    for path in sorted(workdir.rglob('*'))
    if path.is_file() and '.cache' not in path.parts and path.name != 'metrics.json'
  }


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """(config, workdir) of a whole run on explicit ratings."""
  directory = tmp_path_factory.mktemp('explicit')
  small.write_tables(directory)
  config, workdir = small.config(directory), directory / 'run'
  # One phase is one program: that there are two is for `tests/tasks/test_next_item.py`.
  config.finetune.encoder_start, config.finetune.encoder_steps = 0, config.finetune.num_steps
  run('pipeline', config, workdir)
  return config, workdir


def test_the_pipeline_ends_in_valid_rows_and_a_report(finished):
  _, workdir = finished
  rows = json.loads((workdir / 'metrics.json').read_text())
  assert list(dict.fromkeys(row['stage'] for row in rows)) == list(STAGES)
  for row in rows:
    assert list(row) == ['stage', 'subject', 'metric', 'value', 'low', 'high', 'n', 'protocol']
    assert row['low'] is None or row['low'] <= row['high']
  names = [(row['stage'], row['subject'], row['metric'], row['protocol']) for row in rows]
  assert len(set(names)) == len(names)
  chosen = {row['metric'] for row in rows if row['subject'] == 'teacher seed 0'}
  assert chosen >= {'ridge', 'new_bias', 'new_popularity_weight', 'new_place', 'trend, weight'}
  assert 'logits, temperature' in chosen
  assert (workdir / 'report/index.html').stat().st_size > 10_000
  assert (workdir / 'explore/log.parquet').exists()


def test_running_again_does_nothing(finished):
  config, workdir = finished
  before, metrics = files(workdir), (workdir / 'metrics.json').read_bytes()
  # In a process that has imported what it needs, since nothing is computed.
  done = commands.run(_SMALL, *arguments('pipeline', config, workdir))
  assert done.returncode == 0, done.stderr
  errors = done.stderr
  said = [line for line in errors.splitlines() if 'already finished' in line]
  assert len(said) == len(STAGES)
  assert files(workdir) == before
  assert (workdir / 'metrics.json').read_bytes() == metrics


def test_the_pipeline_runs_on_a_causal_encoder_from_a_folder(tmp_path):
  small.write_tables(tmp_path)
  config = small.config(tmp_path, text_model=str(ROOT / 'tests/data/encoders/qwen3'))
  run('pipeline', config, tmp_path / 'run')
  rows = json.loads((tmp_path / 'run/metrics.json').read_text())
  losses = [row['value'] for row in rows if row['metric'] == 'causal_lm_loss']
  assert len(losses) == 4
  assert (tmp_path / 'run/report/index.html').stat().st_size > 10_000


def test_stopped_in_training_and_killed_in_a_rollout_a_run_ends_as_if_never_interrupted(finished):
  config, workdir = finished
  other = workdir.with_name('killed')
  # What is compiled already need not be compiled again.
  shutil.copytree(workdir / '.cache', other / '.cache')
  stopped = stop_once(config, other, 'finetune/seed_0/teacher/checkpoints/*', signal.SIGTERM)
  assert stopped == (1, ['error: interrupted: the same command resumes the run'])
  stop_once(config, other, 'explore/parts/whole+catalogue+popularity+greedy.json', signal.SIGKILL)
  assert (other / 'metrics.json').read_bytes() != (workdir / 'metrics.json').read_bytes()
  run('pipeline', config, other)
  assert (other / 'metrics.json').read_bytes() == (workdir / 'metrics.json').read_bytes()
