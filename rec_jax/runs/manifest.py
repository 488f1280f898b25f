"""What a run was: its settings, the code and versions, and the device."""

import json
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any

import jax

import rec_jax
from rec_jax.runs.config import flatten
from rec_jax.types import InputError

_PACKAGES = (
  *('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain'),
  *('numpy', 'polars', 'tensorflow-datasets', 'tokenizers'),
)


def describe(settings: dict[str, Any]) -> dict[str, Any]:
  """The manifest of a run that begins: its settings and what it runs on."""
  devices = jax.devices()
  versions = {'python': platform.python_version(), 'rec_jax': rec_jax.__version__}
  return {
    'config': settings,
    'seed': settings['seed'],
    'code_revision': _code_revision(),
    'versions': versions | {name: metadata.version(name) for name in _PACKAGES},
    'device': {
      'platform': devices[0].platform,
      'kind': devices[0].device_kind,
      'count': len(devices),
      'host_cores': len(os.sched_getaffinity(0)),
    },
  }


def check_same_config(
  old: dict[str, Any], new: dict[str, Any], workdir: str | os.PathLike[str]
) -> None:
  """Compares the settings of a run with those that `workdir` was made with.

  Raises:
    InputError: they differ; names the first field that does, with both values.
  """
  old, new = flatten(old), flatten(new)
  for field in [*new, *(field for field in old if field not in new)]:
    before, now = (json.dumps(values.get(field, 'not a field')) for values in (old, new))
    if before != now:
      raise InputError(
        f'workdir {workdir} belongs to a run with config.{field}={before}, not {now}: '
        'give another --workdir'
      )


def _code_revision() -> str:
  """The commit that the code is of, or its version where it is not under version control."""
  package = pathlib.Path(rec_jax.__file__)
  git = ('git', '-C', str(package.parent))
  # The package may lie in a virtual environment within somebody else's repository.
  ours = ('ls-files', '--error-unmatch', package.name)
  describe = ('describe', '--always', '--dirty', '--abbrev=40', '--exclude=*')
  try:
    subprocess.run([*git, *ours], check=True, capture_output=True)
    answer = subprocess.run([*git, *describe], check=True, capture_output=True, text=True)
  except (OSError, subprocess.CalledProcessError):
    return rec_jax.__version__
  return answer.stdout.strip()
