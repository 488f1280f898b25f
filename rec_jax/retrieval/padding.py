"""Histories as arrays of a few sizes, so that hardly any request compiles a program of its own."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from rec_jax.data.splits import since_first

# Of users at once; more are answered in parts.
BATCHES = (1, 8, 64, 256)
# Of items left out; and of items asked for.
_LEAST = 16


@dataclasses.dataclass(frozen=True)
class Histories:
  """What n users have met, in order of time.

  Attributes:
    rows: of each user, rows of the events.
    liked: of each, 1 where an item was liked, else 0.
    times: of each, seconds since 1970, in order.
    context: [n, C], features of users and moments.
    skipped: of each, what no item is called.
    from_prior: of each, whether nothing is known, neither events nor features.
  """

  rows: list[np.ndarray]
  liked: list[np.ndarray]
  times: list[np.ndarray]
  context: np.ndarray
  skipped: list[list[str]]
  from_prior: list[bool]

  def __len__(self) -> int:
    return len(self.rows)

  @property
  def seen(self) -> list[np.ndarray]:
    """Of each user, the rows that occur, once."""
    return [np.unique(each) for each in self.rows]

  def take(self, user: int) -> 'Histories':
    """That of one user."""
    return Histories(
      [self.rows[user]],
      [self.liked[user]],
      [self.times[user]],
      self.context[user : user + 1],
      [self.skipped[user]],
      [self.from_prior[user]],
    )


class Asked(NamedTuple):
  """What is known of B users who ask.

  Attributes:
    history: [B, L] int32, row + 1 in order of time, 0 for padding at the end.
    rewards: [B, L] int32, 1 where the user liked the item.
    times: [B, L] int32, seconds from the first event of a row to each.
    context: [B, C], features of users and moments.
  """

  history: ArrayLike
  rewards: ArrayLike
  times: ArrayLike
  context: ArrayLike


class Batch(NamedTuple):
  """Requests of B users, of whom the first `number` are asked for.

  Attributes:
    asked: of B users.
    excluded: [B, M] int32, rows, the capacity for padding.
    number: of users.
  """

  asked: Asked
  excluded: np.ndarray
  number: int


class Chunk(NamedTuple):
  """Rows of one of the sizes, of which the first `number` are asked for."""

  rows: np.ndarray
  number: int


def batches(asked: Histories, length: int, capacity: int, exclude_seen: bool) -> Iterator[Batch]:
  """The requests in parts of the sizes of `BATCHES`.

  Args:
    asked: of n users.
    length: L, last events that are kept.
    capacity: C, which stands for no row.
    exclude_seen: whether what a user has met is left out.
  """
  seen = asked.seen if exclude_seen else [np.zeros(0, np.int32)] * len(asked)
  width = count(max(map(len, seen), default=0))
  for start, number, size in _parts(len(asked)):
    (history, rewards), times = (
      np.zeros((2, size, length), np.int32),
      np.zeros((size, length), np.int64),
    )
    context = np.zeros((size, asked.context.shape[1]), np.float32)
    context[:number] = asked.context[start : start + number]
    excluded = np.full((size, width), capacity, np.int32)
    for place in range(number):
      rows, liked = asked.rows[start + place][-length:], asked.liked[start + place][-length:]
      history[place, : len(rows)], rewards[place, : len(rows)] = rows + 1, liked
      times[place, : len(rows)] = asked.times[start + place][-length:]
      excluded[place, : len(seen[start + place])] = seen[start + place]
    since = since_first(times, (history > 0).sum(1))
    yield Batch(Asked(history, rewards, since, context), excluded, number)


def chunks(rows: np.ndarray) -> Iterator[Chunk]:
  """Rows [n] in parts of the sizes of `BATCHES`, the last row repeated to fill one."""
  for start, number, size in _parts(len(rows)):
    yield Chunk(rows[repeated(start, number, size)], number)


def repeated(start: int, number: int, size: int) -> np.ndarray:
  """[size] positions from `start` on, the last of `number` repeated."""
  return start + np.minimum(np.arange(size), number - 1)


def count(number: int, most: int | None = None) -> int:
  """The next power of two, 16 at least, and `most` at most."""
  size = _LEAST
  while size < number:
    size *= 2
  return size if most is None else min(size, most)


def _parts(total: int) -> Iterator[tuple[int, int, int]]:
  """(start, number, padded size) of each part of `total` rows."""
  for start in range(0, total, BATCHES[-1]):
    number = min(BATCHES[-1], total - start)
    yield start, number, next(size for size in BATCHES if size >= number)
