"""Rows of state a user or an arm, read and written in place inside a scan."""

from typing import Any

import jax
from jax.custom_batching import custom_vmap


@custom_vmap
def take_row(rows: Any, index: jax.Array) -> Any:
  """Row `index` [] in [0, U) of every leaf [U, ...].

  The barrier keeps XLA from reading the rows again where the row is used: a read that may come
  after `put_row` makes it copy the rows of all users at every step.
  """
  return jax.lax.optimization_barrier(jax.tree.map(lambda leaf: _take(leaf, index), rows))


@custom_vmap
def put_row(rows: Any, index: jax.Array, row: Any) -> Any:
  """`rows` with row `index` [] of every leaf [U, ...] replaced, in place inside a scan."""
  return jax.tree.map(lambda leaf, row: _put(leaf, index, row), rows, row)


@take_row.def_vmap
def _take_many(size: int, batched: tuple[Any, bool], rows: Any, index: jax.Array) -> Any:
  """As XLA moves rows fastest: of one long axis, five times as fast as of two short ones."""
  is_batched, index_axis = batched[0], 0 if batched[1] else None

  def take(rows: jax.Array, is_batched: bool) -> jax.Array:
    axes = 0 if is_batched else None, index_axis
    flat, shape = _flat(rows, is_batched)
    return jax.vmap(_take, axes, axis_size=size)(flat, index).reshape(size, *shape)

  taken = jax.tree.map(take, rows, is_batched)
  return jax.lax.optimization_barrier(taken), jax.tree.map(lambda _: True, rows)


@put_row.def_vmap
def _put_many(
  size: int, batched: tuple[Any, bool, Any], rows: Any, index: jax.Array, row: Any
) -> Any:
  index_axis = 0 if batched[1] else None

  def put(rows: jax.Array, row: jax.Array, rows_batched: bool, row_batched: bool) -> jax.Array:
    axes = 0 if rows_batched else None, index_axis, 0 if row_batched else None
    flat, shape = _flat(rows, rows_batched)
    row = row.reshape(size, -1) if row_batched else row.reshape(-1)
    return jax.vmap(_put, axes, axis_size=size)(flat, index, row).reshape(size, -1, *shape)

  new = jax.tree.map(put, rows, row, batched[0], batched[2])
  return new, jax.tree.map(lambda _: True, rows)


def _take(rows: jax.Array, index: jax.Array) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(rows, index, keepdims=False)


def _put(rows: jax.Array, index: jax.Array, row: jax.Array) -> jax.Array:
  return jax.lax.dynamic_update_index_in_dim(rows, row, index, axis=0)


def _flat(rows: jax.Array, is_batched: bool) -> tuple[jax.Array, tuple[int, ...]]:
  """The rows with their axes made one, and the shape of a row."""
  lead = 2 if is_batched else 1
  return rows.reshape(*rows.shape[:lead], -1), rows.shape[lead:]
