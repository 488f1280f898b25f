"""Stages that several runs have in common, run once.

root/stages/<stage>-<digest>/   a stage, by what of the config it and those before it read
root/runs/<digest>/             the workdir of a run: its manifest, and links to its stages
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rec_jax.runs.config import Config

# The fields of a config that a stage reads beside those that earlier ones do.
READS = {
  'prepare': ('data',),
  'pretrain': ('seed', 'pretrain'),
  'finetune': ('num_seeds', 'finetune'),
  'distil': ('distil',),
  'explore': ('vectors', 'explore'),
  'evaluate': ('num_test_users', 'num_sampled_negatives'),
}


def workdir_of(config: Config, stages: Sequence[str], root: str | os.PathLike[str]) -> Path:
  """The workdir of a run whose stages are those of other runs below `root`, where they agree.

  Args:
    config: of the run.
    stages: that it needs, in order and without a gap.
    root: made where it is missing.
  """
  root = Path(root)
  settings = dataclasses.asdict(config)
  workdir = root / 'runs' / _digest(settings)
  workdir.mkdir(parents=True, exist_ok=True)
  read: tuple[str, ...] = ()
  for stage in stages:
    read += READS[stage]
    shared = root / 'stages' / f'{stage}-{_digest({name: settings[name] for name in read})}'
    shared.mkdir(parents=True, exist_ok=True)
    link = workdir / stage
    if not link.is_symlink():
      # Relative, so that the root can be moved.
      link.symlink_to(os.path.relpath(shared, workdir))
  return workdir


def _digest(settings: dict[str, object]) -> str:
  return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
