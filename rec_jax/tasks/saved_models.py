"""Trained models on disk: one checkpoint of all variables a model."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flax import nnx

from rec_jax import checkpoint

Model = TypeVar('Model', bound=nnx.Module)


def save(
  directory: str | os.PathLike[str], model: nnx.Module, step: int, config: Mapping[str, Any]
) -> None:
  """Writes all variables of a model, with the step that they are of and the config of the run."""
  with checkpoint.open(directory, config) as saved:
    saved.save(step, nnx.state(model), None)


def load(directory: str | os.PathLike[str], build: Callable[[], Model]) -> Model:
  """A saved model in evaluation mode.

  Args:
    directory: as given to `save`.
    build: makes a model of the same sizes; it is only traced.

  Raises:
    InputError: there is no whole checkpoint, or it is of another model.
  """
  graphdef, abstract = nnx.split(nnx.eval_shape(build))
  return nnx.view(
    nnx.merge(graphdef, checkpoint.load_state(directory, abstract)), deterministic=True
  )
