"""Logs of many items without features: time and memory of valuing and of learning."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rec_jax.data import logged, obp
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

# Catalogues beyond those whose candidates are all looked at in each step.
LARGE = (10_000, 100_000)


@dataclasses.dataclass
class ManyActionsConfig:
  """One command on one log.

  Attributes:
    seed: of the log.
    command: 'value' or 'learn'.
    num_rounds: n.
    num_actions: K.
    objective: of 'learn'.
  """

  seed: int = 0
  command: str = 'value'
  num_rounds: int = 100_000
  num_actions: int = 1_000
  objective: str = 'ipw'


def get_study() -> Study:
  """Both commands, each in a process of its own, compilation included."""
  return Study(
    title='How long do a thousand items without features take, or a hundred thousand?',
    protocol=(
      'uniform log of 100,000 rounds, K = 1,000 or as named, 5 columns of context, rewards 0 and '
      '1; the first half teaches popularity_greedy (value) or a softmax by ipw (learn), the second '
      'judges it by all estimators with bootstrap intervals; each command in a process of its own'
    ),
    config=ManyActionsConfig(),
    variants={'evaluate_policy': {}, 'learn_policy': {'command': 'learn'}}
    | {
      f'learn_policy, K = {num_actions:,}': {'command': 'learn', 'num_actions': num_actions}
      for num_actions in LARGE
    },
    seeds=range(3),
    measure=measure,
    expected={
      (label, metric): Expected(0, most)
      for label in ('evaluate_policy', 'learn_policy')
      for metric, most in (('seconds', 60), ('GiB', 4))
    }
    | {
      (f'learn_policy, K = {num_actions:,}', metric): Expected(0, most)
      for num_actions in LARGE
      for metric, most in (('processor seconds', 300), ('GiB', 4))
    },
  )


def measure(config: ManyActionsConfig, workdir: Path) -> Mapping[str, Values]:
  """Seconds, those of all processors together, and the largest resident memory of the process."""
  workdir.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(config.seed)
  action = rng.integers(config.num_actions, size=config.num_rounds)
  worth = 0.6 * rng.random(config.num_actions)
  log = obp.from_dictionary(
    {
      'n_actions': config.num_actions,
      'action': action,
      'reward': (rng.random(config.num_rounds) < worth[action]).astype(float),
      'pscore': np.full(config.num_rounds, 1 / config.num_actions),
      'context': rng.normal(size=(config.num_rounds, 5)),
    }
  )
  path = workdir / 'log.parquet'
  logged.write(path, log)
  options = {
    'value': ['evaluate_policy', '--policy=popularity_greedy', f'--figure={workdir}/value.svg'],
    'learn': [
      'learn_policy',
      f'--objective={config.objective}',
      f'--out={workdir}/learnt',
    ],
  }
  script, *flags = options[config.command]
  arguments = [sys.executable, '-m', f'experiments.{script}', f'--log={path}', *flags]
  start = time.perf_counter()
  with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
  seconds = time.perf_counter() - start
  if process.returncode:
    raise RuntimeError(f'{" ".join(arguments)} ended with status {process.returncode}')
  run = [config.seed]
  # Linux counts kilobytes.
  return {
    'seconds': Values([seconds], run),
    'processor seconds': Values([usage.ru_utime + usage.ru_stime], run),
    'GiB': Values([usage.ru_maxrss / 2**20], run),
  }
