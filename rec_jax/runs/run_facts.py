"""What was run, as facts of a page."""

from collections.abc import Mapping
from typing import Any

from rec_jax.report.numbers import Cell
from rec_jax.report.page import Facts
from rec_jax.runs.config import flatten


def of_run(manifest: Mapping[str, Any], seeds: Mapping[str, Cell] | None = None) -> Facts:
  """Seeds, device and code.

  Args:
    manifest: of the run.
    seeds: what else is to be said of seeds, by name.
  """
  return Facts(
    'Run',
    {
      'seed': manifest['seed'],
      **(seeds or {}),
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
