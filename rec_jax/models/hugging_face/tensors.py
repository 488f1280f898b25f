"""The tensors of a folder: one safetensors file, or several with an index."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
from safetensors.numpy import save_file

from rec_jax.types import InputError

WEIGHTS, INDEX = 'model.safetensors', 'model.safetensors.index.json'
_FLOATS = ('F64', 'F32', 'F16', 'BF16')


class Stored(NamedTuple):
  """Where a tensor is, and what its header says.

  Attributes:
    file: that holds it.
    name: in the file.
    shape: of it.
  """

  file: Path
  name: str
  shape: tuple[int, ...]


def main_file(folder: Path) -> Path:
  """The index where there is one, else the one file."""
  index = folder / INDEX
  return index if index.is_file() else folder / WEIGHTS


def find(folder: Path) -> dict[str, Stored]:
  """The tensors of floating-point numbers by name; only headers are read.

  Raises:
    InputError: a file is missing, unreadable or not what the index says.
  """
  found: dict[str, Stored] = {}
  for file in _files(folder):
    try:
      with safetensors.safe_open(file, framework='np') as opened:
        for name in opened.keys():  # noqa: SIM118
          header = opened.get_slice(name)
          if header.get_dtype() in _FLOATS:
            place = Stored(file, name, tuple(header.get_shape()))
            found[name] = place
    except (OSError, safetensors.SafetensorError) as error:
      raise InputError(f'{file}: not a readable safetensors file ({error})') from error
  return found


def read(stored: Stored) -> np.ndarray:
  """One tensor in float32."""
  with safetensors.safe_open(stored.file, framework='np') as opened:
    return opened.get_tensor(stored.name).astype(np.float32)


def write(folder: Path, tensors: dict[str, np.ndarray]) -> None:
  """Writes tensors as one file."""
  # Readers elsewhere ask by this key which framework's layout it is.
  save_file(tensors, folder / WEIGHTS, metadata={'format': 'pt'})


def _files(folder: Path) -> list[Path]:
  main = main_file(folder)
  if main.name == WEIGHTS:
    return [main]
  try:
    names = set(json.loads(main.read_text(encoding='utf-8'))['weight_map'].values())
    return [folder / name for name in sorted(names)]
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(f'{main}: not an index of safetensors files ({error!r})') from error
