"""A run on made-up tables of any size, and what each of its stages takes.

`python -m tests.helpers.large_run DIR USERS ITEMS EVENTS` prints a line a stage: the peak of its
resident memory, and the time of the processor. A small encoder stands in for MiniLM, whose time is
that of its texts and nothing else.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers import large_tables

ROOT = Path(__file__).parents[2]
FLAGS = (
  '--config.pretrain.init=random',
  '--config.pretrain.num_steps=4',
  '--config.finetune.objective=sampled_softmax',
  '--config.finetune.negatives=mixed',
  '--config.finetune.encoder_method=frozen',
  '--config.finetune.num_steps=20',
  '--config.finetune.validate_every=20',
  '--config.finetune.num_validation_users=100',
  '--config.num_test_users=200',
)
STAGES = ('prepare', 'pretrain', 'finetune', 'evaluate')


class Taken(NamedTuple):
  """What a stage takes.

  Attributes:
    stage: its name.
    peak: bytes of resident memory.
    seconds: of the processor.
    output: what it printed.
  """

  stage: str
  peak: int
  seconds: float
  output: str


def run(directory: Path, num_users: int, num_items: int, num_events: int) -> Iterator[Taken]:
  """Writes tables and an encoder to a new directory and runs the stages, each in a process.

  `evaluate` judges the checkpoints of `finetune`, on a sample of the users.
  """
  directory.mkdir(parents=True, exist_ok=True)
  large_tables.write(directory, num_users, num_items, num_events)
  encoder, workdir = directory / 'encoder', directory / 'run'
  yield _taken(
    'train_tokenizer',
    *(f'--corpus={directory / "items.parquet"}', f'--output={encoder}', '--vocab_size=1000'),
    *('--num_layers=2', '--hidden_dim=64'),
  )
  tables = [
    *('--config=configs/tables.py', f'--workdir={workdir}', f'--config.data.text_model={encoder}'),
    f'--config.data.interactions={directory / "events.parquet"}',
    f'--config.data.items={directory / "items.parquet"}',
  ]
  for stage in STAGES[:-1]:
    yield _taken(stage, *tables, *FLAGS)
  yield _taken('evaluate', f'--checkpoint={workdir / "finetune"}')


def _taken(stage: str, *flags: str) -> Taken:
  process = subprocess.Popen(
    [sys.executable, '-m', f'experiments.{stage}', *flags],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  assert process.stdout is not None
  output = process.stdout.read()
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    raise RuntimeError(f'{stage} failed:\n{output}')
  return Taken(stage, 1024 * usage.ru_maxrss, usage.ru_utime + usage.ru_stime, output)


if __name__ == '__main__':
  for taken in run(Path(sys.argv[1]), *map(int, sys.argv[2:5])):
    print(f'{taken.stage:16} {taken.peak / 1e9:6.2f} GB {taken.seconds:8.0f} s', flush=True)
