"""The user's own ids and the rows of state that are theirs."""

import array
import contextlib
import dataclasses
import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rec_jax.types import InputError

Id = str | int


@dataclasses.dataclass
class Slots:
  """Which row belongs to whom.

  A row changes hands: its generation counts how often, so that feedback on a decision of an earlier
  owner is told apart.

  Attributes:
    what: 'arm' or 'user', for messages.
    of: id -> row.
    owner: [capacity] id of each row, None where it has none.
    generation: [capacity] int64.
    free: rows without an owner, a heap.
  """

  what: str
  of: dict[Id, int]
  owner: list[Id | None]
  generation: np.ndarray
  free: list[int]

  @classmethod
  def empty(cls, what: str, capacity: int) -> 'Slots':
    no_generation = np.zeros(capacity, np.int64)
    return cls(what, {}, [None] * capacity, no_generation, list(range(capacity)))

  @property
  def capacity(self) -> int:
    return len(self.generation)

  def plain(self, ids: Any) -> list[Id]:
    """Ids from outside as str and int themselves, so that a journal holds them and gives them back.

    Raises:
      InputError: they are no list, or one is of another type; True and 1.0 are not 1.
    """
    ids = self._listed(ids)
    # Ids of one type are checked all at once: one by one, ten thousand take longer than a decision.
    types = set(map(type, ids))
    with contextlib.suppress(OverflowError, UnicodeEncodeError):
      if types == {int}:
        array.array('q', ids)
        return ids
      if types == {str}:
        ''.join(ids).encode()
        return ids
    return [self.one(each) for each in ids]

  def known(self, ids: Any) -> tuple[list[Id], np.ndarray]:
    """Ids from outside that have rows, as `plain` gives them, and these rows [M] int32.

    Raises:
      InputError: as of `plain` and `rows`.
    """
    ids = self._listed(ids)
    # Whoever has a row went through `plain` once, and an equal of the same plain type is the same.
    types = [*map(type, ids)]
    if len(types) not in (types.count(int), types.count(str)):
      ids = self.plain(ids)
    return ids, self.rows(ids)

  def _listed(self, ids: Any) -> list[Any]:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
      raise InputError(f'{self.what}s {ids!r} are {type(ids).__name__}; give a list of ids')
    return list(ids)

  def one(self, value: Any) -> Id:
    """An id as `plain` gives it."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
      if -(2**63) <= int(value) < 2**63:
        return int(value)
    elif isinstance(value, str):
      try:
        value.encode()
      except UnicodeEncodeError as error:
        raise InputError(f'{self.what} {value!r} is no Unicode text ({error.reason})') from None
      return str.__str__(value)
    raise InputError(
      f'{self.what} {value!r} is {type(value).__name__}; ids are str, or int of 64 bits'
    )

  def rows(self, ids: Sequence[Id]) -> np.ndarray:
    """[M] int32.

    Raises:
      InputError: an id is unknown.
    """
    try:
      return np.fromiter(map(self.of.__getitem__, ids), np.int32, len(ids))
    except KeyError:
      unknown = next(each for each in ids if each not in self.of)
      raise InputError(
        f'{self.what} {unknown!r} is unknown; {len(self.of)} are known, add it first'
      ) from None

  def check_new(self, ids: Sequence[Id]) -> None:
    """Raises InputError unless nobody has any of these ids."""
    known = [each for each in ids if each in self.of]
    if known:
      raise InputError(f'{self.what} {known[0]!r} is there already; reset it instead')

  def add(self, ids: Sequence[Id]) -> np.ndarray:
    """[M] int32, the rows of new ids, the lowest that are free."""
    rows = [heapq.heappop(self.free) for _ in ids]
    for each, row in zip(ids, rows, strict=True):
      self.of[each], self.owner[row] = row, each
    return np.array(rows, np.int32)

  def remove(self, ids: Sequence[Id]) -> None:
    """Gives the rows back; what is still to come for them belongs to nobody."""
    rows = self.rows(ids)
    self.generation[rows] += 1
    for each, row in zip(ids, rows.tolist(), strict=True):
      del self.of[each]
      self.owner[row] = None
      heapq.heappush(self.free, row)

  def grow(self, capacity: int) -> None:
    """Adds free rows up to `capacity`."""
    added = capacity - self.capacity
    for row in range(self.capacity, capacity):
      heapq.heappush(self.free, row)
    self.owner += [None] * added
    self.generation = np.concatenate([self.generation, np.zeros(added, np.int64)])

  def to_plain(self) -> dict[str, Any]:
    """What a snapshot holds."""
    ids = list(self.of)
    rows = np.fromiter(self.of.values(), np.int64, len(ids))
    return {'ids': ids, 'rows': rows, 'generation': self.generation}

  @classmethod
  def from_plain(cls, what: str, plain: dict[str, Any]) -> 'Slots':
    """The inverse of `to_plain`."""
    generation = plain['generation'].copy()
    of = dict(zip(plain['ids'], plain['rows'].tolist(), strict=True))
    owner: list[Id | None] = [None] * len(generation)
    for each, row in of.items():
      owner[row] = each
    free = [row for row, each in enumerate(owner) if each is None]
    return cls(what, of, owner, generation, free)
