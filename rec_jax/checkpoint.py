"""Checkpoints of a run: state, data iterator and config. The one file that imports Orbax.

A save runs in the background and becomes visible by one rename, so a process may be killed at any
moment. Orbax itself notices neither every truncated file nor a flipped bit, so when a save is
complete the SHA-256 of each of its files is added as `checksums.json`. A checkpoint without it is
an unfinished save and is passed over; one that disagrees with it is damaged, and the newest whole
one before it is used.
"""

import contextlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from rec_jax import files
from rec_jax.types import InputError

_CHECKSUMS = 'checksums.json'

logger = logging.getLogger(__name__)


class Checkpointer(NamedTuple):
  """What a training loop does with its checkpoints; made by `open`.

  Attributes:
    save: (step, state, iterator) -> None. `state` is any pytree of arrays, typed keys included,
      and may be donated right afterwards; `iterator` is a Grain iterator or None. Replaces a
      checkpoint of the same step. Returns as soon
      as the state is copied; a failure in the background is raised by the next save or on leaving
      the context.
    restore_latest: (example_state, iterator) -> (step, state), or None where nothing was saved.
      `example_state` holds arrays or `jax.ShapeDtypeStruct`s; the iterator is set in place.
      Damaged and unfinished checkpoints newer than the one restored are deleted.
  """

  save: Callable[[int, Any, Any], None]
  restore_latest: Callable[[Any, Any], tuple[int, Any] | None]


@contextlib.contextmanager
def open(  # noqa: A001 - read as checkpoint.open
  directory: str | os.PathLike[str], config: Mapping[str, Any], keep: int = 2
) -> Iterator[Checkpointer]:
  """Opens a directory of checkpoints for one training run.

  Args:
    directory: made where it is missing.
    config: JSON-like, stored with every checkpoint.
    keep: how many of the newest checkpoints stay, at least 2, as the newest may prove damaged.

  Yields:
    A `Checkpointer`. Leaving the context waits for the save under way.
  """
  if keep < 2:
    raise ValueError(f'keep must be at least 2, not {keep}')
  directory = pathlib.Path(directory).absolute()
  manager = ocp.training.Checkpointer(
    directory,
    preservation_policy=ocp.training.preservation_policies.LatestN(keep),
    cleanup_tmp_directories=True,
  )
  background = futures.ThreadPoolExecutor(max_workers=1)
  pending: list[futures.Future[None]] = []

  def wait() -> None:
    while pending:
      pending.pop().result()

  def save(step: int, state: Any, iterator: Any) -> None:
    wait()
    parts = {'state': _encode(state)} | ({} if iterator is None else {'data': iterator})
    response = manager.save_checkpointables_async(
      step, parts, force=True, overwrite=True, custom_metadata={'config': dict(config)}
    )
    pending.append(background.submit(_seal, response, directory / str(step)))

  def restore_latest(example_state: Any, iterator: Any) -> tuple[int, Any] | None:
    step = _newest_whole(directory)
    for found in manager.checkpoints:
      if step is None or found.step > step:
        manager.delete(found.step)
    if step is None:
      return None
    return step, _load(directory / str(step), example_state, iterator)

  try:
    yield Checkpointer(save, restore_latest)
  finally:
    try:
      wait()
    finally:
      background.shutdown()
      manager.close()


def load_state(directory: str | os.PathLike[str], example_state: Any) -> Any:
  """The state of the newest whole checkpoint, for the stages that build on it.

  Args:
    directory: as given to `open`.
    example_state: a pytree of arrays or `jax.ShapeDtypeStruct`s of the same structure and shapes.

  Raises:
    InputError: no whole checkpoint, or it holds another structure or other shapes.
  """
  return _load(_require_whole(pathlib.Path(directory).absolute()), example_state, None)


def load_config(directory: str | os.PathLike[str]) -> dict[str, Any]:
  """The config stored with the newest whole checkpoint.

  Raises:
    InputError: there is no whole checkpoint.
  """
  path = _require_whole(pathlib.Path(directory).absolute())
  metadata = ocp.metadata(path, 'state').custom_metadata
  return dict(metadata['config'])


def _seal(response: Any, path: pathlib.Path) -> None:
  """Marks a save as whole once Orbax has committed it."""
  response.result()
  files.write_json(path / _CHECKSUMS, _checksums(path))


def _checksums(path: pathlib.Path) -> dict[str, str]:
  saved = (file for file in path.rglob('*') if file.is_file() and _CHECKSUMS not in file.name)
  return {str(file.relative_to(path)): files.sha256(file) for file in sorted(saved)}


def _newest_whole(directory: pathlib.Path) -> int | None:
  """The newest step that is whole, with a warning where newer ones are passed over.

  Raises:
    InputError: everything that was saved is damaged.
  """
  steps = sorted((int(p.name) for p in directory.glob('*') if p.name.isdigit()), reverse=True)
  damaged = []
  for step in steps:
    path = directory / str(step)
    if not (path / _CHECKSUMS).exists():
      continue
    if _is_whole(path):
      if step != steps[0]:
        logger.warning(
          'checkpoint %d in %s is damaged or unfinished: using checkpoint %d',
          steps[0],
          directory,
          step,
        )
      return step
    damaged.append(step)
  if damaged:
    raise InputError(
      f'every checkpoint in {directory} is damaged (steps {damaged}): '
      f'delete {_finished_stage(directory) or directory} and run its stage again'
    )
  return None


def _finished_stage(directory: pathlib.Path) -> pathlib.Path | None:
  """The stage that a checkpoint is of, if it has its metrics: it runs again only if it is gone."""
  for path in directory.parents:
    if (path / 'metrics.json').exists() and (path.parent / 'manifest.json').exists():
      return path
  return None


def _is_whole(path: pathlib.Path) -> bool:
  try:
    expected = json.loads((path / _CHECKSUMS).read_text())
  except ValueError:
    return False
  return expected == _checksums(path)


def _require_whole(directory: pathlib.Path) -> pathlib.Path:
  step = _newest_whole(directory)
  if step is None:
    finished = _finished_stage(directory)
    raise InputError(
      f'no whole checkpoint in {directory}: '
      + (f'delete {finished} and run its stage again' if finished else 'run its stage first')
    )
  return directory / str(step)


def _load(path: pathlib.Path, example_state: Any, iterator: Any) -> Any:
  example = _named_leaves(example_state)
  wanted = {name: _stored_as(leaf) for name, leaf in example.items() if np.prod(leaf.shape)}
  _check_shapes(path, wanted)
  parts: dict[str, Any] = {'state': wanted}
  if iterator is not None:
    parts['data'] = iterator
  arrays = ocp.load_checkpointables(path, parts)['state']
  leaves = [_decode(arrays.get(name), leaf) for name, leaf in example.items()]
  return jax.tree.unflatten(jax.tree.structure(example_state), leaves)


def _check_shapes(path: pathlib.Path, wanted: dict[str, Any]) -> None:
  saved = ocp.metadata(path, 'state').metadata
  for name in sorted(saved.keys() ^ wanted.keys()):
    holder = f'checkpoint {path}' if name in saved else 'the model'
    raise InputError(f'only {holder} has {name}: checkpoint {path} is of another model')
  for name, leaf in wanted.items():
    there, here = (f'{leaf.dtype}{list(leaf.shape)}' for leaf in (saved[name], leaf))
    if there != here:
      raise InputError(
        f'{name} is {there} in checkpoint {path} and {here} in the model: use the same config'
      )


def _named_leaves(state: Any) -> dict[str, Any]:
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _is_key(leaf: Any) -> bool:
  return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _encode(state: Any) -> dict[str, Any]:
  """What Orbax can store: raw key data, and no arrays without elements."""
  leaves = {name: leaf for name, leaf in _named_leaves(state).items() if np.prod(leaf.shape)}
  return {name: jax.random.key_data(x) if _is_key(x) else x for name, x in leaves.items()}


def _stored_as(leaf: Any) -> Any:
  """The abstract array under which `_encode` stores a leaf of this shape and type."""
  if isinstance(leaf, np.ndarray | np.generic):
    return np.asarray(leaf)
  if _is_key(leaf):
    leaf = jax.eval_shape(jax.random.key_data, leaf)
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or device)


def _decode(array: Any, leaf: Any) -> Any:
  if array is None:
    return jax.numpy.zeros(leaf.shape, leaf.dtype)
  if not isinstance(leaf, np.ndarray | np.generic) and not _is_placed(leaf):
    # Orbax binds what it reads to a device, and for such arrays programs are compiled once more.
    array = jax.numpy.array(np.asarray(array))
  return jax.random.wrap_key_data(array, dtype=leaf.dtype) if _is_key(leaf) else array


def _is_placed(leaf: Any) -> bool:
  """Whether a leaf of the example is bound to its devices."""
  return leaf.committed if isinstance(leaf, jax.Array) else leaf.sharding is not None
