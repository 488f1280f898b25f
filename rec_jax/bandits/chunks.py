"""Work over many candidates in parts that fit, and a word where a whole cannot."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rec_jax.types import InputError

# Of numbers that are held at once: 64 MB.
MOST_NUMBERS = 2**24


def by_rows(function: Callable[[Any], Any], rows: Any, numbers_a_row: int) -> Any:
  """`function(rows)`, so many rows at once that what it holds of each fits.

  Args:
    function: of a pytree with leading [k], to one with leading [k], each row by itself.
    rows: leading [K].
    numbers_a_row: that it holds for a row.
  """
  num_rows = len(jax.tree.leaves(rows)[0])
  size = max(1, MOST_NUMBERS // max(1, numbers_a_row))
  if num_rows <= size:
    return function(rows)
  num_whole = num_rows // size * size
  whole = jax.tree.map(lambda x: x[:num_whole].reshape(-1, size, *x.shape[1:]), rows)
  parts = [jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(function, whole))]
  if num_whole < num_rows:
    parts.append(function(jax.tree.map(lambda x: x[num_whole:], rows)))
  return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def check_fits(what: str, num_bytes: int) -> None:
  """Raises InputError where the default device has less memory than that."""
  stats = jax.devices()[0].memory_stats() or {}
  limit = stats.get('bytes_limit', os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
  if num_bytes > limit:
    raise InputError(
      f'{what} takes {num_bytes / 1e9:,.1f} GB, and the device has {limit / 1e9:,.1f} GB; '
      'take another policy or fewer of them'
    )
