"""Categories and numbers as vectors, fitted to what models are trained on.

A value of a category has a column of its own, and what is unknown or empty has one for all; so a
linear map of these vectors is a sum of embeddings, one a value. Numbers are standardised, with a
column that says where there is none. Every column has a mean of 0 over the training rows, so that
the vector of zeros is what is known of nobody in particular. Columns in which no two training rows
differ are zeros for all: nothing was learnt of them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from rec_jax.data.columns import cell_values, shown
from rec_jax.data.features import Features
from rec_jax.types import InputError, Interactions

# Standard deviations beyond which a number says no more: one slip of a decimal point would drown
# all else.
_FARTHEST = 10.0
# Of each of `MOMENTS`, how many there are and the seconds from one to the next; 1970 began on a
# Thursday, and weeks begin on Mondays.
_CYCLES = {'hour': (24, 3_600, 0), 'weekday': (7, 86_400, 3)}


class Categories(NamedTuple):
  """A column of categories.

  Attributes:
    name: of the column.
    values: [V] those of the training rows, in order.
    shares: [V] of the training rows that have any.
    unknown: share of the training rows that have none.
  """

  name: str
  values: Sequence[str]
  shares: np.ndarray
  unknown: float


class Numbers(NamedTuple):
  """A column of numbers: its mean, spread and share of empty cells over the training rows."""

  name: str
  mean: float
  spread: float
  unknown: float


class Encoding(NamedTuple):
  """How the columns of a frame become vectors."""

  columns: tuple[Categories | Numbers, ...] = ()

  @property
  def width(self) -> int:
    """F, numbers of a vector."""
    return sum(
      (len(column.values) if isinstance(column, Categories) else 1) + 1 for column in self.columns
    )

  def encode(self, frame: pl.DataFrame, number: int) -> np.ndarray:
    """[n, F] float32 of `number` rows with these columns."""
    blocks = [_encoded(column, frame[column.name]) for column in self.columns]
    return np.concatenate([np.zeros((number, 0), np.float32), *blocks], axis=1)

  def encode_given(self, given: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """[n, F] of what is given by column, such as {'kind': ['red', 'old'], 'price': 3.5}.

    Raises:
      InputError: what is given of a number is none.
    """
    frame = {
      column.name: [_given(column, one.get(column.name)) for one in given]
      for column in self.columns
    }
    kinds = {
      column.name: pl.List(pl.String) if isinstance(column, Categories) else pl.Float64
      for column in self.columns
    }
    return self.encode(pl.DataFrame(frame, schema=kinds), len(given))


def fit(frame: pl.DataFrame, trained: np.ndarray) -> Encoding:
  """Of the rows that are `trained` [n] bool."""
  return Encoding(tuple(_fitted(series.filter(pl.Series(trained))) for series in frame))


def check(encoding: Encoding, kind: str, most: int) -> None:
  """Stops at columns that tell nothing or too much.

  Args:
    encoding: fitted to the training rows.
    kind: 'item', 'user' or 'event', whose columns they are.
    most: values of a column of categories.

  Raises:
    InputError: all training rows are alike, or a column has more values.
  """
  for column in encoding.columns:
    what = f'column "{shown(column.name)}" of {kind}s'
    if isinstance(column, Numbers):
      flag = f'{kind}_numbers'
      values: list[Any] = [column.mean] if column.spread == 0 else []
      is_empty = column.unknown == 1
    else:
      flag, values = f'{kind}_categories', list(column.values)
      is_empty = not values
    if is_empty:
      raise InputError(
        f'{what} is empty wherever models are trained; leave it out of --config.data.{flag}'
      )
    if len(values) == 1 and not column.unknown:
      raise InputError(
        f'{what} is "{shown(values[0])}" alone wherever models are trained, which tells nothing; '
        f'leave it out of --config.data.{flag}'
      )
    if len(values) > most:
      raise InputError(
        f'{what} has {len(values):,} categories, more than data.max_categories={most}; give a '
        'coarser column, or raise --config.data.max_categories'
      )


class Widths(NamedTuple):
  """Numbers that features have: F of an item, C of a user and a moment."""

  items: int = 0
  context: int = 0


NO_FEATURES = Widths()


@dataclasses.dataclass(frozen=True)
class Encoders:
  """What makes vectors of features, F numbers of an item and C of a user and a moment.

  Attributes:
    items: of items.
    users: of users.
    events: of moments, by numbers.
    cycles: of moments, by time: [K] shares of the training events, by the name of the cycle.
  """

  items: Encoding = Encoding()
  users: Encoding = Encoding()
  events: Encoding = Encoding()
  cycles: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

  @property
  def widths(self) -> Widths:
    """F and C."""
    moments = self.events.width + sum(map(len, self.cycles.values()))
    return Widths(self.items.width, self.users.width + moments)

  def moments(self, timestamp: np.ndarray) -> np.ndarray:
    """[n, K] float32 of times [n] in seconds since 1970."""
    blocks = [np.zeros((len(timestamp), 0))]
    for name, shares in self.cycles.items():
      blocks.append(np.eye(len(shares))[_place(name, timestamp)] - shares)
    return np.concatenate(blocks, axis=1).astype(np.float32)

  def context(self, given: Sequence[Mapping[str, Any]], timestamp: np.ndarray | None) -> np.ndarray:
    """[n, C] of users and moments by what is given of their columns, and of times [n], if known."""
    number = len(given)
    if timestamp is None:
      moments = np.zeros((number, sum(map(len, self.cycles.values()))), np.float32)
    else:
      moments = self.moments(timestamp)
    parts = self.users.encode_given(given), self.events.encode_given(given), moments
    return np.concatenate(parts, axis=1)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """The features of a data set as vectors.

  Attributes:
    encoders: what made them.
    items: [N, F] float32.
    users: [U, C'] float32.
    events: [E, C''] float32, numbers of moments.
    interactions: the E events.
  """

  encoders: Encoders
  items: np.ndarray
  users: np.ndarray
  events: np.ndarray
  interactions: Interactions

  def context(self, events: np.ndarray) -> np.ndarray | None:
    """[..., C] float32 of users and moments at events [...], zeros at -1; None if C is 0."""
    if not self.encoders.widths.context:
      return None
    flat = np.maximum(events.reshape(-1), 0)
    parts = (
      self.users[self.interactions.user[flat]],
      self.events[flat],
      self.encoders.moments(self.interactions.timestamp[flat]),
    )
    found = np.concatenate(parts, axis=1).reshape(*events.shape, -1)
    return np.where(events[..., None] >= 0, found, np.float32(0))


def encode(
  features: Features, interactions: Interactions, num_items: int, trained: np.ndarray
) -> Encoded:
  """The features of a data set, fitted to the training events `trained` [E] bool."""
  user = np.bincount(interactions.user[trained], minlength=interactions.num_users) > 0
  item = np.bincount(interactions.item[trained], minlength=num_items) > 0
  time, cycles = interactions.timestamp[trained], {}
  for name in filter(None, features.moment.split(',')):
    count = np.bincount(_place(name, time), minlength=_CYCLES[name][0])
    cycles[name] = count / max(int(count.sum()), 1)
  encoders = Encoders(
    fit(features.items, item), fit(features.users, user), fit(features.events, trained), cycles
  )
  return Encoded(
    encoders,
    encoders.items.encode(features.items, num_items),
    encoders.users.encode(features.users, interactions.num_users),
    encoders.events.encode(features.events, interactions.num_events),
    interactions,
  )


def _place(name: str, timestamp: np.ndarray) -> np.ndarray:
  number, seconds, first = _CYCLES[name]
  return (np.asarray(timestamp) // seconds + first) % number


def _fitted(series: pl.Series) -> Categories | Numbers:
  number = max(len(series), 1)
  if series.dtype != pl.List(pl.String):
    known = series.drop_nulls().to_numpy().astype(np.float64)
    mean, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    return Numbers(series.name, float(mean), float(spread), 1 - len(known) / number)
  having = series.list.len() > 0
  values = series.explode().drop_nulls().unique().sort().to_list()
  column = Categories(series.name, values, np.zeros(len(values)), 0.0)
  rows = _one_hot(column, series.filter(having))
  shares = rows.mean(0) if len(rows) else column.shares
  return column._replace(shares=shares, unknown=1 - len(rows) / number)


def _encoded(column: Categories | Numbers, series: pl.Series) -> np.ndarray:
  """[n, width] float32."""
  if isinstance(column, Numbers):
    number = series.cast(pl.Float64).to_numpy()
    standard = (number - column.mean) / (column.spread or 1.0) * (column.spread > 0)
    known: np.ndarray = np.isfinite(number)
    values = np.clip(np.where(known, standard, 0.0), -_FARTHEST, _FARTHEST)[:, None]
  else:
    rows = _one_hot(column, series)
    known = np.asarray(rows.any(1))
    values = (rows - column.shares.astype(np.float32)) * known[:, None]
  told = 0 < column.unknown < 1
  flag = (np.logical_not(known) - column.unknown) * told
  return np.concatenate([values, flag[:, None]], axis=1).astype(np.float32)


def _one_hot(column: Categories, series: pl.Series) -> np.ndarray:
  """[n, V] bool, which of the values each cell has."""
  cells = pl.DataFrame({'row': np.arange(len(series)), 'value': series}).explode('value')
  places = pl.DataFrame(
    {'value': column.values, 'place': range(len(column.values))},
    schema={'value': pl.String, 'place': pl.Int64},
  )
  found = cells.join(places, on='value', how='inner')
  rows = np.zeros((len(series), len(column.values)), bool)
  rows[found['row'].to_numpy(), found['place'].to_numpy()] = True
  return rows


def _given(column: Categories | Numbers, value: Any) -> list[str] | float | None:
  """What a caller says of a column, as the frame of a file has it; None is unknown."""
  if isinstance(column, Categories):
    return list(cell_values(value))
  if value is None:
    return None
  try:
    number = float(value)
  except (TypeError, ValueError):
    number = float('nan')
  if not np.isfinite(number):
    raise InputError(
      f'{shown(column.name)} is "{shown(value)}", which is not a finite number: give one, or leave '
      'it out'
    )
  return number
