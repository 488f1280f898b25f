"""Trained models on disk: a checkpoint of all variables, or of those that training changed.

What was tuned of a large encoder is small beside it. Such a model is saved without what stayed
frozen, and with the checksum of the encoder that lends it.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from flax import nnx

from rec_jax import checkpoint
from rec_jax.types import InputError

Model = TypeVar('Model', bound=nnx.Module)


def save(
  directory: str | os.PathLike[str],
  model: nnx.Module,
  step: int,
  config: Mapping[str, Any],
  frozen: nnx.filterlib.Filter = nnx.Nothing(),  # noqa: B008 - a constant
  base: nnx.Module | None = None,
) -> None:
  """Writes the variables of a model, with the step that they are of and the config of the run.

  Args:
    directory: made where it is missing.
    model: the whole of it.
    step: of training.
    config: JSON-like.
    frozen: variables that are left out, because `base` has them.
    base: the encoder that was adapted, as it was before.
  """
  if base is not None:
    config = {**config, _CHECKSUM: checksum(base)}
  with checkpoint.open(directory, config) as saved:
    saved.save(step, nnx.state(model, nnx.Not(frozen)), None)


def load(
  directory: str | os.PathLike[str],
  build: Callable[[], Model],
  frozen: nnx.filterlib.Filter = nnx.Nothing(),  # noqa: B008 - a constant
  base: nnx.Module | None = None,
) -> Model:
  """A saved model in evaluation mode.

  Args:
    directory: as given to `save`.
    build: makes a model of the same sizes; it is only traced.
    frozen: as given to `save`.
    base: likewise; the model shares its arrays.

  Raises:
    InputError: there is no whole checkpoint, or it is of another model, or of another `base`.
  """
  graphdef, abstract = nnx.split(nnx.eval_shape(build))
  own, lent = nnx.split_state(abstract, nnx.Not(frozen), ...)
  if base is not None:
    _check_base(directory, base)
  state = checkpoint.load_state(directory, own)
  model = nnx.merge(graphdef, state, _lend(base, lent))
  return nnx.view(model, deterministic=True)


def checksum(module: nnx.Module) -> str:
  """The sha256 of all variables of a module: their places, types, shapes and bits."""
  digest = hashlib.sha256()
  for path, variable in sorted(nnx.to_flat_state(nnx.state(module)), key=lambda each: str(each[0])):
    value = np.asarray(variable[...])
    digest.update(f'{path} {value.dtype} {value.shape}'.encode())
    digest.update(np.ascontiguousarray(value).data)
  return digest.hexdigest()


# The field of a checkpoint's config that names its base.
_CHECKSUM = 'base_sha256'
# On the way to a variable of the base, where a model or a layer around it holds it.
_HOLDERS = ('encoder', 'base_module')


def _check_base(directory: str | os.PathLike[str], base: nnx.Module) -> None:
  there, here = checkpoint.load_config(directory).get(_CHECKSUM, 'none'), checksum(base)
  if there != here:
    raise InputError(
      f'{directory} was tuned on another encoder (sha256 {there[:12]}, the one given has '
      f'{here[:12]}): give the encoder that it was tuned on, or tune it again'
    )


def _lend(base: nnx.Module | None, lent: nnx.State) -> nnx.State:
  """The variables `lent`, with the values that the base has for them."""
  values = {} if base is None else dict(nnx.to_flat_state(nnx.state(base)))
  found = []
  for path, variable in nnx.to_flat_state(lent):
    place = tuple(step for step in path if step not in _HOLDERS)
    found.append((path, variable.replace(values[place][...])))
  return nnx.from_flat_state(found)
