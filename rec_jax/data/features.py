"""What a user's tables say of items, users and moments beside text: categories and numbers.

Frames hold what the files say, a row an item, user or event in the order of their indices: lists of
strings are categories, floats are numbers; an empty list or null where a cell is empty.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from rec_jax.data import columns, ids, table_files
from rec_jax.data.columns import shown
from rec_jax.data.config import DataConfig
from rec_jax.types import InputError

ITEMS, USERS, EVENTS = 'items', 'users', 'events'
# What columns of numbers are called among the events of `Tables`.
NUMBER = 'number: '


@dataclasses.dataclass(frozen=True)
class Features:
  """Of N items, U users and E events; a frame without columns where nothing is told.

  Attributes:
    items: [N, columns].
    users: [U, columns].
    events: [E, columns], numbers of the moment in which an item was chosen.
    moment: some of `MOMENTS` of `rec_jax.data.config`, separated by commas.
  """

  items: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
  users: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
  events: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
  moment: str = ''

  @property
  def frames(self) -> dict[str, pl.DataFrame]:
    """Those that have columns."""
    found = {ITEMS: self.items, USERS: self.users, EVENTS: self.events}
    return {name: frame for name, frame in found.items() if frame.width}


NOTHING = Features()


def read(
  config: DataConfig, events: pl.DataFrame, user_ids: np.ndarray, item_ids: np.ndarray
) -> Features:
  """Reads and checks the columns that the config names.

  Args:
    config: names files and columns.
    events: the interactions of `Tables`.
    user_ids: [U] in the order of their indices.
    item_ids: [N] likewise.

  Raises:
    InputError: one line: there is no such file or column, or a cell is no number.
  """
  numbers = [name for name in events.columns if name.startswith(NUMBER)]
  of_events = events.sort('timestamp', 'row').select(numbers) if numbers else pl.DataFrame()
  return Features(
    _of(config, ITEMS, item_ids),
    _of(config, USERS, user_ids),
    of_events.rename(lambda name: name.removeprefix(NUMBER)),
    config.moment,
  )


def names(listed: str) -> list[str]:
  """Columns in a list parted by commas, each once."""
  return list(dict.fromkeys(name.strip() for name in listed.split(',') if name.strip()))


def write(features: Features, directory: Path) -> None:
  """Writes a file for each frame that has columns; `load` reads them."""
  for name, frame in features.frames.items():
    frame.write_parquet(directory / f'{name}.parquet')


def load(directory: Path, moment: str) -> Features:
  """What `write` has written, none of it where there were no columns."""
  paths = {name: directory / f'{name}.parquet' for name in (ITEMS, USERS, EVENTS)}
  frames = {
    name: pl.read_parquet(path) if path.is_file() else pl.DataFrame()
    for name, path in paths.items()
  }
  return Features(**frames, moment=moment)


def described(features: Features) -> list[str]:
  """All that they say, as text, for a checksum; nothing of none."""
  found = [
    json.dumps([name, frame.to_dict(as_series=False)]) for name, frame in features.frames.items()
  ]
  return [*found, features.moment] if features.moment else found


def _of(config: DataConfig, kind: str, wanted: np.ndarray) -> pl.DataFrame:
  """The columns of the items or users whose ids are wanted [n]; rows that are absent are empty."""
  path, one = getattr(config, kind), kind.removesuffix('s')
  flags = {what: f'{one}_{what}' for what in ('categories', 'numbers')}
  named = {what: names(getattr(config, flag)) for what, flag in flags.items()}
  _refuse_misfits(config, kind, named)
  if not any(named.values()):
    return pl.DataFrame()
  table = table_files.scan(path, f'config.data.{kind}')
  key, key_flag = getattr(config, f'{one}_column'), f'config.data.{one}_column'
  table_files.require(table, key, key_flag)
  for what, flag in flags.items():
    for name in named[what]:
      table_files.require(table, name, f'config.data.{flag}')
  wanted_columns = [key, *named['categories'], *named['numbers']]
  raw = table_files.collect(table, list(dict.fromkeys(wanted_columns)))
  keys = ids.read(raw[key], path)
  ids.require_distinct(keys, path, key, one)
  read = [keys.alias(_KEY)]
  read += [columns.several(raw[name], path).alias(name) for name in named['categories']]
  read += [columns.numbers(raw[name], path, may_be_empty=True) for name in named['numbers']]
  order = pl.DataFrame({_KEY: [str(each) for each in wanted]}, schema={_KEY: pl.String})
  joined = order.join(pl.DataFrame(read), on=_KEY, how='left', maintain_order='left')
  return joined.drop(_KEY).with_columns(pl.col(pl.List(pl.String)).fill_null([]))


# No column of a file has this name: line ends are no part of one.
_KEY = '\nid'


def _refuse_misfits(config: DataConfig, kind: str, named: Mapping[str, Sequence[str]]) -> None:
  one = kind.removesuffix('s')
  both = [name for name in named['categories'] if name in named['numbers']]
  if both:
    raise InputError(
      f'column "{shown(both[0])}" is among data.{one}_categories and data.{one}_numbers; name it '
      'in one of them'
    )
  if kind == USERS and config.users and not any(named.values()):
    raise InputError(
      f'{config.users} is given, and none of its columns; name them by '
      '--config.data.user_categories or user_numbers'
    )
