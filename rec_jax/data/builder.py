"""The data set on disk: a TFDS builder that writes ArrayRecord and needs no TensorFlow.

`interactions` holds one record a user with the whole time-ordered history, `items` one record an
item. Both are written beside their final place and moved there whole.
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
  items = sorted(_records(directory, 'items'), key=lambda record: record['index'])
  table = ItemTable(
    ids=np.array([record['item_id'].decode() for record in items]),
    # Objects, because one long text would widen every row of a fixed-width array.
    text=np.array([record['text'].decode() for record in items], dtype=object),
  )
  return _interactions(_records(directory, 'users')), table


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

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name='users', description='The history of each user.'),
    tfds.core.BuilderConfig(name='items', description='The catalogue.'),
  ]

  # Nothing is downloaded. Stated here, because TFDS would look for checksums beside this file with
  # a package (importlib_resources) that it does not declare.
  url_infos: ClassVar[dict[str, Any]] = {}

  def __init__(self, *, tables: Tables, **kwargs: Any):
    self._tables = tables
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    if self.builder_config.name == 'items':
      features = {
        'index': np.int32,
        'item_id': tfds.features.Text(),
        'text': tfds.features.Text(),
      }
    else:
      features = {'user_id': tfds.features.Text()} | {
        name: tfds.features.Tensor(shape=(None,), dtype=dtype)
        for name, dtype in _SEQUENCES.items()
        if name != 'rating' or 'rating' in self._tables.interactions.columns
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
      records = self._tables.items.select('item_id', 'text').with_row_index('index')
    else:
      records = _users(self._tables)
    yield from enumerate(records.iter_rows(named=True))


_SEQUENCES = {'item': np.int32, 'timestamp': np.int64, 'row': np.int64, 'rating': np.float32}


def _users(tables: Tables) -> pl.DataFrame:
  """One row a user: user_id and a list for each of _SEQUENCES, in order of time."""
  index = tables.items.select('item_id').with_row_index('item')
  events = tables.interactions.join(index, on='item_id').sort('timestamp', 'row')
  sequences = [name for name in _SEQUENCES if name in events.columns]
  return events.group_by('user_id', maintain_order=True).agg(sequences)


def _records(directory: str | os.PathLike, config: str) -> list[dict[str, Any]]:
  version = str(RecommendationData.VERSION)
  path = Path(directory, RecommendationData.name, config, version)
  if not path.is_dir():
    raise InputError(f'{directory}: no prepared data; run the prepare stage')
  source = tfds.builder_from_directory(path).as_data_source(split=config)
  return source.__getitems__(range(len(source)))


def _interactions(users: list[dict[str, Any]]) -> Interactions:
  columns = {
    name: np.concatenate([np.asarray(user[name], dtype) for user in users])
    for name, dtype in _SEQUENCES.items()
    if name in users[0]
  }
  record = np.repeat(np.arange(len(users)), [len(user['item']) for user in users])
  order = np.lexsort((columns.pop('row'), columns['timestamp']))
  # Users are numbered by their first event.
  seen, first, user = np.unique(record[order], return_index=True, return_inverse=True)
  by_first = np.argsort(first)
  number = np.empty(len(seen), np.int32)
  number[by_first] = np.arange(len(seen))
  ordered = {name: values[order] for name, values in columns.items()}
  return Interactions(
    user=number[user],
    item=ordered['item'],
    timestamp=ordered['timestamp'],
    rating=ordered.get('rating'),
    user_ids=np.array([users[index]['user_id'].decode() for index in seen[by_first]]),
  )
