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

# Of the files of a run. Raised with every change after which stages that are finished cannot be
# built on: other names or shapes of what is saved, other columns, another meaning of a setting.
# Manifests without this number are of format 1.
FORMAT = 5
_PACKAGES = (
  *('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain'),
  *('numpy', 'polars', 'tensorflow-datasets', 'tokenizers'),
)


def describe(settings: dict[str, Any]) -> dict[str, Any]:
  """The manifest of a run that begins: its settings and what it runs on."""
  devices = jax.devices()
  versions = {'python': platform.python_version(), 'rec_jax': rec_jax.__version__}
  return {
    'format': FORMAT,
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


def check_version(manifest: dict[str, Any], workdir: str | os.PathLike[str]) -> None:
  """Looks whether this version of the code can read what that of the manifest wrote.

  Raises:
    InputError: it cannot; names the version that could.
  """
  written = manifest.get('format', 1)
  if written != FORMAT:
    raise _other_version(manifest, workdir, f'its files are of format {written}, not {FORMAT}')


def check_same_config(
  manifest: dict[str, Any], new: dict[str, Any], workdir: str | os.PathLike[str]
) -> None:
  """Compares the settings of a run with those that `workdir` was made with.

  Raises:
    InputError: they differ; names the first field that does, with both values, or what else the
      workdir was made by.
  """
  _check_kind(manifest, new, workdir)
  before, now = flatten(manifest['config']), flatten(new)
  for field in now:
    if field in before and json.dumps(before[field]) != json.dumps(now[field]):
      raise InputError(
        f'workdir {workdir} belongs to a run with {_named(field)}={json.dumps(before[field])}, '
        f'not {json.dumps(now[field])}: give another --workdir'
      )
  check_fields(manifest, new, workdir)


def check_fields(
  manifest: dict[str, Any], new: dict[str, Any], workdir: str | os.PathLike[str]
) -> None:
  """Looks whether the settings in a manifest have the names that they have now.

  Raises:
    InputError: names the first that has gone or come, or what else the workdir was made by.
  """
  _check_kind(manifest, new, workdir)
  before, now = flatten(manifest['config']), flatten(new)
  for field in [*now, *before]:
    if field not in before or field not in now:
      had = 'had a' if field in before else 'had no'
      raise _other_version(manifest, workdir, f'which {had} {_named(field)}')


def _named(field: str) -> str:
  """As the flags name a field; a study keeps its settings beside its name and variants."""
  return field if field.startswith('config.') else f'config.{field}'


def _check_kind(
  manifest: dict[str, Any], new: dict[str, Any], workdir: str | os.PathLike[str]
) -> None:
  """The settings of a sweep, of a study and of a chain have few names in common."""
  before, now = set(manifest['config']), set(new)
  if 2 * len(before & now) < len(before | now):
    raise InputError(
      f'workdir {workdir} belongs to another kind of run, with config fields '
      f'{", ".join(manifest["config"])}: give another --workdir'
    )


def _other_version(
  manifest: dict[str, Any], workdir: str | os.PathLike[str], how: str
) -> InputError:
  version = manifest.get('versions', {}).get('rec_jax', 'unknown')
  revision = str(manifest.get('code_revision', 'unknown'))[:12]
  return InputError(
    f'workdir {workdir} was made by another version of the code (rec_jax {version}, revision '
    f'{revision}; {how}): give another --workdir'
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
