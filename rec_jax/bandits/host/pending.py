"""Decisions whose outcome is awaited."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rec_jax.bandits.host.slots import Id
from rec_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Choice:
  """What is to be shown.

  Attributes:
    decision: its number, by which the outcome is reported.
    arms: [L] ids, None where there was nothing left to show.
    propensity: [L] of each position given those before it, estimated unless the service's
      `propensity_is_exact`; None unless asked for.
  """

  decision: int
  arms: tuple[Id | None, ...]
  propensity: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Waiting:
  """What was true at a decision, so that its outcome may come late.

  Attributes:
    user: [2] row and generation.
    arms: [L, 2] rows, -1 where nothing was shown, and generations.
    query: [D].
    features: [L, F] of what was shown.
    propensity: [L], NaN unless asked for.
    info: leaves of the policy's own, each with a leading [L].
  """

  user: np.ndarray
  arms: np.ndarray
  query: np.ndarray
  features: np.ndarray
  propensity: np.ndarray
  info: list[np.ndarray]

  def to_plain(self) -> dict[str, Any]:
    """What a journal holds."""
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def fitted(leaf: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """A leaf of an info as a service of now makes it: zeros where it has grown since."""
  leaf = np.asarray(leaf)
  return np.pad(leaf, [(0, size - old) for size, old in zip(shape, leaf.shape, strict=True)])


class Pending:
  """By number, oldest first; above a limit the oldest expire."""

  def __init__(self, limit: int):
    self.limit = limit
    self._waiting: dict[int, Waiting] = {}

  def __len__(self) -> int:
    return len(self._waiting)

  def add(self, number: int, waiting: Waiting) -> None:
    self._waiting[number] = waiting
    if len(self._waiting) > self.limit:
      del self._waiting[next(iter(self._waiting))]

  def check(self, numbers: Any) -> list[int]:
    """Numbers from outside as int.

    Raises:
      InputError: they are no list, the outcome of one is not awaited, or one is given twice.
    """
    if not isinstance(numbers, Iterable):
      raise InputError(f'decisions = {numbers!r}; give a list of numbers')
    numbers = list(numbers)
    for number in numbers:
      is_int = isinstance(number, int | np.integer) and not isinstance(number, bool)
      if not is_int or int(number) not in self._waiting:
        raise InputError(
          f'decision {number!r}: no outcome is awaited; it was learnt, has expired (the last '
          f'{self.limit:,} are kept) or was never made'
        )
    if len(set(numbers)) < len(numbers):
      twice = next(number for number in numbers if numbers.count(number) > 1)
      raise InputError(f'decision {twice!r} is given twice')
    return [int(number) for number in numbers]

  def take(self, numbers: Sequence[int]) -> list[Waiting]:
    """Removes and returns them."""
    return [self._waiting.pop(number) for number in numbers]

  def items(self) -> Iterator[tuple[int, Waiting]]:
    """Number and what waits, oldest first."""
    yield from self._waiting.items()
