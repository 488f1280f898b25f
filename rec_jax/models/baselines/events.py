"""What baselines are fitted to: who had an event with what, and how it is laid out for them."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import scipy.sparse

# Rows of fewer entries are padded to as many: a width of its own would cost more than it saves.
_NARROWEST = 8


@dataclasses.dataclass(frozen=True)
class Events:
  """E events in order of time, at most one for each user and item.

  Attributes:
    user: [E] int, in [0, U).
    item: [E] int, in [0, N).
    timestamp: [E] int, seconds, ascending.
    num_users: U.
    num_items: N.
  """

  user: np.ndarray
  item: np.ndarray
  timestamp: np.ndarray
  num_users: int
  num_items: int

  @functools.cached_property
  def matrix(self) -> scipy.sparse.csr_array:
    """[U, N] float64, 1 where there is an event; columns ascend within a row."""
    shape = (self.num_users, self.num_items)
    return scipy.sparse.csr_array((np.ones(len(self.item)), (self.user, self.item)), shape=shape)

  def histories(self, length: int) -> np.ndarray:
    """[U, length] int32, the last items of each user shifted by 1, oldest first, 0 at the end."""
    order = np.argsort(self.user, kind='stable')
    user, count = self.user[order], np.bincount(self.user, minlength=self.num_users)
    begin = np.cumsum(count) - np.minimum(count, length)
    place = np.arange(len(user)) - begin[user]
    found = np.zeros((self.num_users, length), np.int32)
    found[user[place >= 0], place[place >= 0]] = self.item[order][place >= 0] + 1
    return found


class Bucket(NamedTuple):
  """Rows of a sparse matrix that have about as many entries.

  Attributes:
    row: [R] int32, which rows.
    columns: [R, L] int32, the columns of their entries, padded with the number of columns.
  """

  row: np.ndarray
  columns: np.ndarray


def buckets(matrix: scipy.sparse.csr_array) -> list[Bucket]:
  """The rows with an entry, by the power of two that their number of entries is padded to."""
  length = np.diff(matrix.indptr)
  width = np.maximum(_NARROWEST, 2 ** np.ceil(np.log2(np.maximum(length, 1))).astype(int))
  found = []
  for each in np.unique(width[length > 0]):
    row = np.flatnonzero((width == each) & (length > 0))
    place = np.arange(each)
    valid = place < length[row, None]
    columns = np.full(valid.shape, matrix.shape[1], np.int32)
    columns[valid] = matrix.indices[(matrix.indptr[row, None] + place)[valid]]
    found.append(Bucket(row.astype(np.int32), columns))
  return found
