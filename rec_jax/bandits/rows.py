"""Rows of state a user, read and written in place inside a scan."""

from typing import Any

import jax


def take_row(rows: Any, user: jax.Array) -> Any:
  """Row `user` [] of every leaf [U, ...].

  The barrier keeps XLA from reading the rows again where the row is used: a read that may come
  after `put_row` makes it copy the rows of all users at every step.
  """
  take = jax.lax.dynamic_index_in_dim
  return jax.lax.optimization_barrier(
    jax.tree.map(lambda leaf: take(leaf, user, axis=0, keepdims=False), rows)
  )


def put_row(rows: Any, user: jax.Array, row: Any) -> Any:
  """`rows` with row `user` [] of every leaf replaced, in place inside a scan."""
  put = jax.lax.dynamic_update_index_in_dim
  return jax.tree.map(lambda leaf, row: put(leaf, row, user, axis=0), rows, row)
