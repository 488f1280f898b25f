"""What depends on shapes alone is asked for once."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def once_a_shape(function: Callable[[Any, Any, Any], int]) -> Callable[[Any, Any, Any], int]:
  """`function(options, data, start)`, kept: a program is traced for longer than a short one runs.

  Args:
    function: of hashable options and two pytrees, of which it gets the shapes and types alone.
  """

  @functools.lru_cache(maxsize=1024)
  def of_shapes(options: Any, shapes: tuple[jax.ShapeDtypeStruct, ...], structure: Any) -> int:
    return function(options, *jax.tree.unflatten(structure, shapes))

  @functools.wraps(function)
  def kept(options: Any, data: Any, start: Any) -> int:
    leaves, structure = jax.tree.flatten((data, start))
    return of_shapes(options, tuple(map(_shape, leaves)), structure)

  return kept


def _shape(x: Any) -> jax.ShapeDtypeStruct:
  of = x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)
  return jax.ShapeDtypeStruct(of.shape, of.dtype, weak_type=of.weak_type)
