"""Events and items as two tables, and how a user's own CSV or Parquet files become them."""

import dataclasses
import logging
from pathlib import Path

import polars as pl

from rec_jax.data import columns, features, ids, table_files
from rec_jax.data.columns import shown
from rec_jax.data.config import DataConfig
from rec_jax.data.table_files import TableFile
from rec_jax.types import InputError

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Tables:
  """A data set before any index is given out.

  Attributes:
    name: what the data set is called in reports.
    interactions: columns user_id and item_id (String), timestamp (Int64, seconds since 1970), row
      (Int64, orders events of the same timestamp) and, where feedback is explicit, rating
      (Float32), and those of `data.event_numbers` behind `features.NUMBER`; one row per (user_id,
      item_id) unless `data.repeats` keeps more.
    items: columns item_id and text (String); text is never empty.
    licence: the terms under which the data may be used.
    notes: what a reader of the numbers must know, such as how many rows were left out.
  """

  name: str
  interactions: pl.DataFrame
  items: pl.DataFrame
  licence: str
  notes: dict[str, int | str]


def take_first(tables: Tables, share: float) -> Tables:
  """The first events in order of time, and the items that occur among them.

  Args:
    tables: E events.
    share: in (0, 1], of which the first int(share * E) stay; 1 leaves the tables as they are.

  Raises:
    InputError: no event would stay.
  """
  if share == 1:
    return tables
  kept = int(share * len(tables.interactions))
  if not kept:
    raise InputError(
      f'used_fraction {share} leaves none of {len(tables.interactions)} events; '
      'raise --config.data.used_fraction'
    )
  events = tables.interactions.sort('timestamp', 'row').head(kept)
  return dataclasses.replace(
    tables,
    name=f'{tables.name}, first {share:.0%} of the events',
    interactions=events,
    items=tables.items.join(events, on='item_id', how='semi', maintain_order='left'),
  )


def read_tables(config: DataConfig) -> Tables:
  """Reads and checks a user's own tables.

  Of several events of a user with the same item the first one stays and the notes count the
  others, unless `repeats` keeps them all.

  Args:
    config: names the two files and their columns.

  Raises:
    InputError: what a user has to mend, one line with file, column, first offending row (counted
      from 1, without the header) and remedy.
  """
  table = table_files.scan(config.interactions, 'config.data.interactions')
  items, chosen = read_items(config)
  raw = _raw_events(table, config)
  events = in_time_order(_with_quantity(raw, config))
  unique = _without_duplicates(events, config)
  _require_several_users(unique, config)
  _require_known_items(unique, items, config)
  kept = unique
  if not config.repeats:
    kept = unique.unique(['user_id', 'item_id'], keep='first', maintain_order=True)
  _warn_of_lost_order(unique, kept, config)
  return Tables(
    name=Path(config.interactions).stem,
    interactions=kept.drop('source_row', 'time', 'quantity', strict=False),
    items=items,
    licence='as stated by the owner of the files',
    notes={
      'events_read': len(raw),
      'events_without_quantity_left_out': len(raw) - len(events),
      'duplicates_left_out': len(events) - len(unique),
      'repeats_left_out': len(unique) - len(kept),
      'text_columns': ', '.join(chosen),
    },
  )


def read_items(config: DataConfig) -> tuple[pl.DataFrame, list[str]]:
  """The table of item_id and text, and the columns that the text was joined from.

  Raises:
    InputError: as in `read_tables`.
  """
  return _items(table_files.scan(config.items, 'config.data.items'), config)


def in_time_order(events: pl.DataFrame) -> pl.DataFrame:
  """Events by (time in microseconds, source_row), with their row and their timestamp in seconds."""
  # Microseconds decide, so that events within one second keep their order; row then carries it.
  ordered = events.sort('time', 'source_row').with_row_index('row')
  return ordered.with_columns(
    pl.col('row').cast(pl.Int64), timestamp=pl.col('time').floordiv(1_000_000)
  )


def _raw_events(table: TableFile, config: DataConfig) -> pl.DataFrame:
  """All rows, typed: source_row (from 1), ids, time (us), rating, quantity, numbers of moments."""
  used = {
    field: getattr(config, field)
    for field in _EVENT_COLUMNS
    if field not in _OPTIONAL or _has(field, table, config)
  }
  for field, column in used.items():
    table_files.require(table, column, f'config.data.{field}')
  numbers = features.names(config.event_numbers)
  for name in numbers:
    table_files.require(table, name, 'config.data.event_numbers')
  raw = table_files.collect(table, list(dict.fromkeys([*used.values(), *numbers])))
  events = [
    columns.numbers(raw[name], table.path, may_be_empty=True).alias(features.NUMBER + name)
    for name in numbers
  ]
  for field, column in used.items():
    name, parse = _EVENT_COLUMNS[field]
    events.append(parse(raw[column], table.path).alias(name))
  return pl.DataFrame(events).with_row_index('source_row', offset=1)


_EVENT_COLUMNS = {
  'user_column': ('user_id', ids.read),
  'item_column': ('item_id', ids.read),
  'time_column': ('time', columns.times),
  'rating_column': ('rating', columns.numbers),
  'quantity_column': ('quantity', columns.numbers),
}
_OPTIONAL = ('rating_column', 'quantity_column')


def _has(field: str, table: TableFile, config: DataConfig) -> bool:
  """An optional column counts when it is there, or was named on purpose (then it must be)."""
  column = getattr(config, field)
  return column in table.columns or column not in ('', getattr(DataConfig(), field))


def _with_quantity(events: pl.DataFrame, config: DataConfig) -> pl.DataFrame:
  if 'quantity' not in events.columns:
    return events
  kept = events.filter(pl.col('quantity') > 0)
  if kept.is_empty():
    raise InputError(
      f'{config.interactions}: column "{config.quantity_column}" is 0 or less in every row; '
      'give events of a positive quantity or another --config.data.quantity_column'
    )
  return kept


def _without_duplicates(events: pl.DataFrame, config: DataConfig) -> pl.DataFrame:
  key = ['user_id', 'item_id', 'time']
  unique = events.unique(key, keep='first', maintain_order=True)
  if len(unique) < len(events) and not config.drop_duplicates:
    repeated = events.join(unique.select('source_row'), on='source_row', how='anti')
    row = repeated.sort('source_row').row(0, named=True)
    first = unique.join(repeated.filter(pl.col('source_row') == row['source_row']), on=key)
    raise InputError(
      f'{config.interactions}: row {row["source_row"]} repeats row {first["source_row"][0]}: same '
      f'{config.user_column} "{shown(row["user_id"])}", '
      f'{config.item_column} "{shown(row["item_id"])}" and {config.time_column}; '
      'remove it or set --config.data.drop_duplicates=True'
    )
  return unique


def _require_several_users(events: pl.DataFrame, config: DataConfig) -> None:
  if events['user_id'].n_unique() == 1:
    raise InputError(
      f'{config.interactions}: column "{config.user_column}", from row 1 on: every event is of '
      f'the one user "{shown(events["user_id"][0])}"; give the events of at least two'
    )


def _require_known_items(events: pl.DataFrame, items: pl.DataFrame, config: DataConfig) -> None:
  unknown = events.join(items, on='item_id', how='anti').sort('source_row')
  if not unknown.is_empty():
    row = unknown.row(0, named=True)
    raise InputError(
      f'{config.interactions}: column "{config.item_column}", row {row["source_row"]}: item '
      f'"{shown(row["item_id"])}" is not in {config.items} '
      f'({unknown["item_id"].n_unique()} such items); add it there or remove its events'
    )


def _warn_of_lost_order(events: pl.DataFrame, first: pl.DataFrame, config: DataConfig) -> None:
  """What leaves little of the order of events may be meant, or ids or times that were damaged."""
  if events['time'].n_unique() == 1:
    logger.warning(
      '%s: column "%s": all %d events have the same time: the order of the rows decides',
      *(config.interactions, config.time_column, len(events)),
    )
  if 2 * len(first) < len(events):
    logger.warning(
      '%s: %d of %d events are left out: they repeat an item of the same user (%d users, %d '
      'items); --config.data.repeats=True keeps them',
      *(config.interactions, len(events) - len(first), len(events)),
      *(events['user_id'].n_unique(), events['item_id'].n_unique()),
    )


def _items(table: TableFile, config: DataConfig) -> tuple[pl.DataFrame, list[str]]:
  path = config.items
  table_files.require(table, config.item_column, 'config.data.item_column')
  named = features.names(config.text_columns)
  for column in named or table.repeated:
    table_files.require(table, column, 'config.data.text_columns')
  wanted = dict.fromkeys([config.item_column, *named]) if named else table.columns
  raw = table_files.collect(table, list(wanted))
  item_ids = ids.read(raw[config.item_column], path).alias('item_id')
  ids.require_distinct(item_ids, path, config.item_column, 'item')
  told = f'{config.item_categories},{config.item_numbers}'
  kinds = {config.item_column, *features.names(told)}
  chosen = named or [
    series.name for series in raw if series.name not in kinds and columns.is_text(series)
  ]
  if not chosen:
    raise InputError(
      f'{path}: no text column among {shown(*table.columns)}; add one, or name the columns to use '
      'with --config.data.text_columns'
    )
  text = _joined([columns.texts(raw[column], path) for column in chosen])
  row = columns.first_row(text == '')
  if row is not None:
    raise InputError(
      f'{path}: columns {shown(*chosen)}, row {row}: item "{shown(item_ids[row - 1])}" has '
      'no text; fill it, or name other columns with --config.data.text_columns'
    )
  return pl.DataFrame([item_ids, text]), chosen


def _joined(texts: list[pl.Series]) -> pl.Series:
  filled = [pl.when(pl.col(text.name) != '').then(pl.col(text.name)) for text in texts]
  frame = pl.DataFrame(texts)
  return frame.select(text=pl.concat_str(filled, separator='. ', ignore_nulls=True))['text']
