"""Labels of items, such as genre or news category, and texts that do not tell them.

The text of an item is joined from all of its columns, that of the label too: a model that read it
would have nothing to predict.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from rec_jax.data import columns, ids, sources, table_files, tables
from rec_jax.data.columns import shown
from rec_jax.data.config import DataConfig
from rec_jax.data.formats.registry import ATTRIBUTES, FORMATS
from rec_jax.data.table_files import TableFile
from rec_jax.types import InputError

GENRE = 'genre'


class ItemLabels(NamedTuple):
  """What items say of themselves, and how they are labelled.

  Attributes:
    text: [N] strings without the label.
    labels: [N], those of each item: none where its cell is empty, or several.
  """

  text: list[str]
  labels: list[tuple[str, ...]]


def read(config: DataConfig, column: str, item_ids: Sequence[str]) -> ItemLabels:
  """Labels and texts of the items of a data set.

  Args:
    config: of the data; of MovieLens there are genres.
    column: of the item table. A cell holds one label, or several parted by '|', or a list.
    item_ids: [N] of the data set.

  Raises:
    InputError: there is no such column, no text beside it (as in published data sets), or the
      file is not the one that was prepared.
  """
  _refuse_published(config)
  found = _genres(column) if config.source == 'movielens' else _of_tables(config, column)
  wanted = pl.DataFrame({'item_id': list(item_ids)}, schema={'item_id': pl.String})
  joined = wanted.join(found, on='item_id', how='left', maintain_order='left')
  if joined['text'].null_count():
    missing = joined.filter(pl.col('text').is_null())['item_id'][0]
    raise InputError(
      f'{config.items} has no item "{shown(missing)}" any more: give the file that was prepared'
    )
  labels = [tuple(dict.fromkeys(cell)) for cell in joined['labels'].to_list()]
  return ItemLabels(joined['text'].to_list(), labels)


def attribute(config: DataConfig, column: str, item_ids: Sequence[str]) -> list[tuple[str, ...]]:
  """[N], what a column says of the items of a data set, whether or not they have other text.

  Args:
    config: of the data.
    column: one of `attributes`; cells as in `read`.
    item_ids: [N]; one that the table does not have has no value.

  Raises:
    InputError: there is no such column, or a file cannot be read.
  """
  if config.source == 'movielens':
    of_films = sources.movielens_attributes()
    known = next(iter(of_films.values()))
    if column not in known:
      raise InputError(f'no attribute "{shown(column)}" of items: there are {", ".join(known)}')
    by_id = {item: values[column] for item, values in of_films.items()}
  else:
    table, item_column = _table(config)
    names = [each for each in table.columns if each != item_column]
    if column not in names:
      raise InputError(
        f'no attribute "{shown(column)}" of items: {table.path} has {shown(*names) or "none"}'
      )
    raw = table_files.collect(table, [item_column, column])
    labels = columns.several(raw[column], table.path)
    by_id = dict(zip(ids.read(raw[item_column], table.path), labels, strict=True))
  return [tuple(dict.fromkeys(by_id.get(each, ()))) for each in item_ids]


def attributes(config: DataConfig) -> list[str]:
  """What the items of a data set can be chosen by; of MovieLens-100k what its films have.

  Raises:
    InputError: a file cannot be read.
  """
  if config.source == 'movielens':
    return list(next(iter(sources.movielens_attributes().values())))
  table, item_column = _table(config)
  return [each for each in table.columns if each != item_column]


def _table(config: DataConfig) -> tuple[TableFile, str]:
  """What holds the attributes of items, and its column of ids."""
  if config.source not in FORMATS:
    return table_files.scan(config.items, 'config.data.items'), config.item_column
  empty = pl.LazyFrame(schema={'item_id': pl.String})
  lazy = ATTRIBUTES[config.source](config) if config.source in ATTRIBUTES else empty
  return TableFile(config.folder, lazy, lazy.collect_schema().names(), ()), 'item_id'


def _refuse_published(config: DataConfig) -> None:
  """The readers of published files make one text of what they know of items."""
  if config.source in FORMATS:
    raise InputError(
      f'items of data.source={config.source} have no text beside their labels; give your own '
      'tables by --config=configs/tables.py'
    )


def _genres(column: str) -> pl.DataFrame:
  if column != GENRE:
    raise InputError(f'--column is "{column}"; of MovieLens there is {GENRE}')
  return sources.movielens_genres()


def _of_tables(config: DataConfig, column: str) -> pl.DataFrame:
  """The columns item_id, text and labels."""
  table = table_files.scan(config.items, 'config.data.items')
  if column not in table.columns:
    raise InputError(
      f'{config.items}: no column "{shown(column)}" among {shown(*table.columns)}; '
      'name the one that labels items with --column=COLUMN'
    )
  _, chosen = tables.read_items(config)
  rest = [name for name in chosen if name != column]
  if not rest:
    raise InputError(
      f'{config.items}: column "{shown(column)}" is all the text that items have: nothing is left '
      'to tell it from'
    )
  items, _ = tables.read_items(dataclasses.replace(config, text_columns=','.join(rest)))
  raw = table_files.collect(table, list(dict.fromkeys([config.item_column, column])))
  labels = columns.several(raw[column], config.items).alias('labels')
  item_ids = ids.read(raw[config.item_column], config.items).alias('item_id')
  return items.join(pl.DataFrame([item_ids, labels]), on='item_id')
