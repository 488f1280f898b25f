"""English to Spanish and back by Apertium, each text once: a cache on disk keeps what was made."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from rec_jax import files
from rec_jax.types import InputError

PACKAGES = 'apertium apertium-eng-spa'
_DIRECTIONS = ('eng-spa', 'spa-eng')
_FILE = 'eng-spa-eng.json'
# Texts after which the cache is written: a killed run goes on from there.
_CHUNK = 2000

# (direction, lines) -> lines.
Translate = Callable[[str, Sequence[str]], list[str]]


def is_installed() -> bool:
  """Whether Apertium is there with both directions of the pair."""
  if not shutil.which('apertium'):
    return False
  listed = subprocess.run(['apertium', '-l'], capture_output=True, text=True, check=False)
  return set(_DIRECTIONS) <= set(listed.stdout.split())


def cache_directory() -> Path:
  """Where translations are kept for all runs of a user."""
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'rec_jax'


def apertium(direction: str, lines: Sequence[str]) -> list[str]:
  """Lines in the other language.

  Raises:
    InputError: Apertium fails.
  """
  # -u leaves unknown words without a mark.
  done = subprocess.run(
    ['apertium', '-u', direction],
    input='\n'.join(lines) + '\n',
    capture_output=True,
    text=True,
    check=False,
  )
  found = done.stdout.splitlines()
  if done.returncode or len(found) != len(lines):
    said = ' '.join(done.stderr.split()) or f'{len(found)} lines for {len(lines)}'
    raise InputError(
      f'apertium {direction} failed ({said}): install {PACKAGES} anew, or leave translation out'
    )
  return found


def there_and_back(
  texts: Sequence[str],
  directory: str | os.PathLike[str],
  translate: Translate = apertium,
) -> list[str]:
  """Each text in other words of its language.

  Args:
    texts: of any length; what parts lines becomes a space.
    directory: of the cache.
    translate: of lines, by direction.

  Raises:
    InputError: a translation fails.
  """
  path = Path(directory) / _FILE
  known = _read(path)
  lines = [' '.join(text.split()) for text in texts]
  missing = [line for line in dict.fromkeys(lines) if line not in known]
  for start in range(0, len(missing), _CHUNK):
    chunk = missing[start : start + _CHUNK]
    found: Sequence[str] = chunk
    for direction in _DIRECTIONS:
      found = translate(direction, found)
    known |= zip(chunk, found, strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, known)
  return [known[line] for line in lines]


def _read(path: Path) -> dict[str, str]:
  """What is kept; what cannot be read is made anew."""
  try:
    known = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return {}
  return known if isinstance(known, dict) else {}
