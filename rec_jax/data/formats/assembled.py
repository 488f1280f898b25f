"""From the rows of a published data set to `Tables`: order, first events, and a text an item."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from rec_jax.data.columns import shown
from rec_jax.data.config import DataConfig
from rec_jax.data.formats.published_files import Published, reading
from rec_jax.data.tables import Tables, in_time_order
from rec_jax.types import InputError

# A token has seldom more characters: what is beyond could not be read anyway, and long texts of
# millions of items would not fit in memory.
_CHARACTERS_PER_TOKEN = 16


class Part(NamedTuple):
  """The events of a file.

  Attributes:
    path: of the file.
    rows: source_row (from 1), user_id, item_id (integers or strings), time (Int64, microseconds
      since 1970) and, where feedback is explicit, rating; null where a cell could not be read.
  """

  path: Path
  rows: pl.LazyFrame


def events(
  of: Published, parts: Sequence[Part], config: DataConfig
) -> tuple[pl.DataFrame, dict[str, int | str]]:
  """The events in the order of time: of each user with each item the first one, or all.

  Args:
    of: the data set.
    parts: its files of events, of which each is read as a stream.
    config: with `repeats` all stay but those of the same user, item and time.

  Returns:
    The interactions of `Tables`, and notes: how many were read and left out.

  Raises:
    InputError: a cell is no id, time or number, or there are no events or those of one user.
  """
  # One name throughout, so that no step keeps the table of another: it is most of the memory.
  found = pl.concat([_checked(part, of) for part in parts])
  if found.is_empty():
    raise InputError(f'{parts[0].path}: no events; give that of {of.name}, from {of.home}')
  if found['user_id'].n_unique() == 1:
    raise InputError(
      f'{parts[0].path}: every event is of the one user "{shown(found["user_id"][0])}"; give the '
      'events of at least two'
    )
  num_read = len(found)
  found = in_time_order(found.with_row_index('source_row', offset=1))
  key = ['user_id', 'item_id', *(['time'] if config.repeats else [])]
  found = found.unique(key, keep='first', maintain_order=True).drop('source_row', 'time')
  notes: dict[str, int | str] = {
    'events_read': num_read,
    'repeats_left_out': num_read - len(found),
  }
  # Numbers until here: strings take four times as much.
  return found.with_columns(pl.col('user_id', 'item_id').cast(pl.String)), notes


def tables(
  of: Published,
  interactions: pl.DataFrame,
  items: pl.LazyFrame,
  config: DataConfig,
  notes: dict[str, int | str],
) -> Tables:
  """The items that occur among the events, each with a text.

  Args:
    of: the data set.
    interactions: as `events` gives them.
    items: item_id (String) and text (String or null), of which the first row of an item counts;
      items without events are left out, items with events may be absent.
    config: says how long texts can be.
    notes: what else a reader of the numbers must know.

  Raises:
    InputError: a file of items cannot be read.
  """
  text = pl.col('text').str.replace_all(r'\s+', ' ').str.strip_chars()
  text = text.str.slice(0, _CHARACTERS_PER_TOKEN * config.text_length)
  # Not in the order of events: an index tells nothing of time.
  occurring = interactions.select('item_id').unique().sort('item_id')
  with reading(Path(config.folder), of):
    found = (
      items.join(occurring.lazy(), on='item_id', how='semi', maintain_order='left')
      .with_columns(text=text)
      .collect(engine='streaming')
      .unique('item_id', keep='first', maintain_order=True)
    )
  described = occurring.join(found, on='item_id', how='left', maintain_order='left')
  nameless = (pl.col('text') == '').fill_null(True)
  num_nameless = int(described.select(nameless.sum()).item())
  named = described.with_columns(
    text=pl.when(nameless).then(pl.lit(of.unnamed)).otherwise(pl.col('text'))
  )
  return Tables(
    name=of.name,
    interactions=interactions,
    items=named.select('item_id', 'text'),
    licence=of.licence,
    notes=notes | {'items_without_text': num_nameless},
  )


def joined(*columns: pl.Expr) -> pl.Expr:
  """Pieces of text that are not empty, set apart by full stops, as `text`."""
  pieces = [pl.when(column != '').then(column) for column in columns]
  return pl.concat_str(pieces, separator='. ', ignore_nulls=True).alias('text')


def _checked(part: Part, of: Published) -> pl.DataFrame:
  """The rows of a file, without their numbers."""
  with reading(part.path, of):
    frame = part.rows.collect(engine='streaming')
  for series in frame.drop('source_row'):
    bad = series.is_null()
    if series.dtype == pl.String:
      bad |= (series == '').fill_null(True)
    if series.dtype.is_float():
      bad |= ~series.is_finite().fill_null(False)
    if bad.any():
      row = frame['source_row'].filter(bad)[0]
      raise InputError(
        f'{part.path}: row {row} has no valid {series.name}; get it anew from {of.home} ({of.name})'
      )
  return frame.drop('source_row')
