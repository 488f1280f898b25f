"""What was run, as facts of a page."""

from collections.abc import Mapping
from typing import Any

from rec_jax.report.numbers import Cell
from rec_jax.report.page import Facts
from rec_jax.runs.config import flatten


def of_run(manifest: Mapping[str, Any]) -> Facts:
  """Seeds, device and code."""
  config = manifest['config']
  # Neither a sweep nor exploration on the user's own vectors trains a model.
  has_models = 'finetune' in config and not config['vectors']
  seeds: dict[str, Cell] = {'training seeds': config['num_seeds']} if has_models else {}
  return Facts(
    'Run',
    {
      'seed': manifest['seed'],
      **seeds,
      'device': f'{manifest["device"]["kind"]}, {manifest["device"]["host_cores"]} cores',
      'code': manifest['code_revision'][:12],
    },
  )


def details(manifest: Mapping[str, Any]) -> list[Facts]:
  """Versions and the whole configuration."""
  settings = {name: str(value) for name, value in flatten(manifest['config']).items()}
  return [
    Facts('Versions', manifest['versions'], is_long=True),
    Facts('Whole configuration', settings, is_long=True),
  ]
