"""The data set on disk: a TFDS builder that writes ArrayRecord and needs no TensorFlow.

`users` holds whole time-ordered histories, `items` the catalogue. A record is a block of either, as
columns, so that a million of them are read as a few thousand arrays. Both are written beside their
final place and moved there whole.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from rec_jax import files
from rec_jax.data.features import NOTHING, Features, described
from rec_jax.data.tables import Tables
from rec_jax.types import InputError, Interactions, ItemTable

# Rows of a record: a message of Protocol Buffers must stay below 2 GB, whatever users do.
_BLOCK = 256


def write(tables: Tables, directory: str | os.PathLike) -> None:
  """Writes the data set, replacing what is there; a killed write leaves nothing in `directory`."""
  directory = Path(directory)
  with files.replacing_directory(directory) as partial:
    for config in RecommendationData.BUILDER_CONFIGS:
      generate(
        RecommendationData(
          tables=tables, config=config.name, data_dir=partial, file_format='array_record'
        )
      )


def generate(builder: tfds.core.GeneratorBasedBuilder) -> None:
  """Writes a data set that is made from tables in memory."""
  tfds.disable_progress_bar()  # It takes seconds, and would print a dozen lines.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
      )
    )


def read(directory: str | os.PathLike) -> tuple[Interactions, ItemTable]:
  """Reads what `write` wrote: events in the order of (timestamp, row), users of first appearance.

  Raises:
    InputError: `directory` holds no such data set.
  """
  items = _blocks(directory, 'items')
  table = ItemTable(
    ids=np.array(_strings(items, 'item_id')),
    # Objects, because one long text would widen every row of a fixed-width array.
    text=np.array(_strings(items, 'text'), dtype=object),
  )
  return _interactions(_blocks(directory, 'users')), table


def fingerprint(interactions: Interactions, items: ItemTable, features: Features = NOTHING) -> str:
  """The sha256 of all that a data set says, the same on every machine."""
  digest = hashlib.sha256()
  numbers = [interactions.user, interactions.item, interactions.timestamp]
  numbers += [] if interactions.rating is None else [interactions.rating]
  for array in numbers:
    digest.update(f'{array.dtype.str}{array.shape}'.encode())
    digest.update(np.ascontiguousarray(array).data)
  for strings in (interactions.user_ids, items.ids, items.text):
    digest.update(json.dumps(strings.tolist()).encode())
  for text in described(features):
    digest.update(text.encode())
  return digest.hexdigest()


class RecommendationData(tfds.core.GeneratorBasedBuilder):
  """The TFDS builder; the two configs are the two kinds of record."""

  VERSION = tfds.core.Version('2.0.0')
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name='users', description=f'Histories, {_BLOCK} users a record.'),
    tfds.core.BuilderConfig(name='items', description=f'The catalogue, {_BLOCK} items a record.'),
  ]

  # Nothing is downloaded. Stated here, because TFDS would look for checksums beside this file with
  # a package (importlib_resources) that it does not declare.
  url_infos: ClassVar[dict[str, Any]] = {}

  def __init__(self, *, tables: Tables, **kwargs: Any):
    self._tables = tables
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    if self.builder_config.name == 'items':
      columns: dict[str, Any] = dict.fromkeys(('item_id', 'text'), np.object_)
    else:
      columns = {'user_id': np.object_, _LENGTH: np.int32} | {
        name: dtype
        for name, dtype in _SEQUENCES.items()
        if name != 'rating' or 'rating' in self._tables.interactions.columns
      }
    features = {
      name: tfds.features.Tensor(shape=(None,), dtype=dtype) for name, dtype in columns.items()
    }
    return tfds.core.DatasetInfo(
      builder=self,
      description=self._tables.name,
      license=self._tables.licence,
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    del dl_manager
    return {self.builder_config.name: self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
    if self.builder_config.name == 'items':
      rows = self._tables.items.select('item_id', 'text')
    else:
      rows = _users(self._tables)
    for number, block in enumerate(rows.iter_slices(_BLOCK)):
      yield number, {name: block[name].explode().to_numpy() for name in block.columns}


_SEQUENCES = {'item': np.int32, 'timestamp': np.int64, 'row': np.int64, 'rating': np.float32}
_LENGTH = 'num_events'


def _users(tables: Tables) -> pl.DataFrame:
  """One row a user: user_id, the number of events, and lists of _SEQUENCES in order of time."""
  index = tables.items.select('item_id').with_row_index('item')
  index = index.with_columns(pl.col('item').cast(pl.Int32))
  events = tables.interactions.join(index, on='item_id').sort('timestamp', 'row')
  sequences = [pl.col(name) for name in _SEQUENCES if name in events.columns]
  length = pl.len().cast(pl.Int32).alias(_LENGTH)
  return events.group_by('user_id', maintain_order=True).agg(length, *sequences)


def _blocks(directory: str | os.PathLike, config: str) -> list[dict[str, Any]]:
  version = str(RecommendationData.VERSION)
  path = Path(directory, RecommendationData.name, config, version)
  if not path.is_dir():
    raise InputError(f'{directory}: no prepared data; run the prepare stage')
  source = tfds.builder_from_directory(path).as_data_source(split=config)
  return source.__getitems__(range(len(source)))


def _strings(blocks: list[dict[str, Any]], name: str) -> list[str]:
  return [each.decode() for block in blocks for each in block[name]]


def _interactions(blocks: list[dict[str, Any]]) -> Interactions:
  columns = {
    name: np.concatenate([np.asarray(block[name], dtype) for block in blocks])
    for name, dtype in _SEQUENCES.items()
    if name in blocks[0]
  }
  lengths = np.concatenate([block[_LENGTH] for block in blocks])
  record = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
  order = np.lexsort((columns.pop('row'), columns['timestamp']))
  # Users are numbered by their first event.
  record = record[order]
  seen, first = np.unique(record, return_index=True)
  by_first = np.argsort(first)
  number = np.empty(len(lengths), np.int32)
  number[seen[by_first]] = np.arange(len(seen))
  ordered = {name: values[order] for name, values in columns.items()}
  return Interactions(
    user=number[record],
    item=ordered['item'],
    timestamp=ordered['timestamp'],
    rating=ordered.get('rating'),
    user_ids=np.array(_strings(blocks, 'user_id'))[seen[by_first]],
  )
