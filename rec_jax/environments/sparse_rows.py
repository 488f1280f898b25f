"""Tables of users x items in which a row holds few entries that are not alike."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


@struct.dataclass
class SparseRows:
  """Compressed rows of a table [U, K]: E entries, and the same value everywhere else.

  Attributes:
    starts: [U + 1] int32, where the entries of each row begin, and where the last ones end.
    columns: [E + longest] int32, row after row; what follows the last entry is not read.
    values: [E + longest].
    fill: of all other places, static.
    num_columns: K, static.
    longest: the most entries in a row, static, so that a row is read as a slice of fixed size.
  """

  starts: Any
  columns: Any
  values: Any
  fill: float | bool = struct.field(pytree_node=False)
  num_columns: int = struct.field(pytree_node=False)
  longest: int = struct.field(pytree_node=False)

  @property
  def shape(self) -> tuple[int, int]:
    return len(self.starts) - 1, self.num_columns


def sparse_rows(
  row: np.ndarray,
  column: np.ndarray,
  value: np.ndarray,
  shape: tuple[int, int],
  fill: float | bool,
) -> SparseRows:
  """The table that is `fill` but at E places; of places that come twice the last counts.

  Args:
    row: [E] int in [0, U).
    column: [E] int in [0, K).
    value: [E].
    shape: U and K.
    fill: everywhere else.
  """
  num_rows, num_columns = shape
  order = np.lexsort((column, row))
  row, column, value = row[order], column[order], value[order]
  is_last = np.ones(len(row), bool)
  is_last[:-1] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
  row, column, value = row[is_last], column[is_last], value[is_last]
  count = np.bincount(row, minlength=num_rows)
  longest = int(count.max(initial=0))
  return SparseRows(
    starts=np.concatenate([[0], np.cumsum(count)]).astype(np.int32),
    columns=np.concatenate([column, np.zeros(longest)]).astype(np.int32),
    values=np.concatenate([value, np.zeros(longest, value.dtype)]),
    fill=fill,
    num_columns=num_columns,
    longest=longest,
  )


def entries_of(table: SparseRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Row, column and value [E] of every entry, row after row."""
  count = np.diff(table.starts)
  number = count.sum()
  return np.repeat(np.arange(len(count)), count), table.columns[:number], table.values[:number]


def row_of(table: Any, index: jax.Array) -> jax.Array:
  """[K] one row of a table [U, K] of either kind."""
  if not isinstance(table, SparseRows):
    return jnp.asarray(table)[index]
  starts, columns, values = map(jnp.asarray, (table.starts, table.columns, table.values))
  start, end = starts[index], starts[index + 1]
  columns, values = (
    jax.lax.dynamic_slice(x, (start,), (table.longest,)) for x in (columns, values)
  )
  # The slice is as long as the longest row: what is of later rows is sent past the end and dropped.
  place = jnp.where(jnp.arange(table.longest) < end - start, columns, table.num_columns)
  row = jnp.full(table.num_columns, table.fill, values.dtype)
  return row.at[place].set(values, mode='drop')


def left_aligned(candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """items [U, K] and mask [U, K] of the True columns [U, N] of each row, K the most in a row."""
  count = candidate.sum(axis=1)
  order = np.argsort(~candidate, axis=1, kind='stable')[:, : count.max()]
  mask = np.arange(count.max()) < count[:, None]
  return np.where(mask, order, 0).astype(np.int32), mask
