"""Yambda: listens and likes of a music service, in the flat layout of its Parquet files.

A. Ploshkin et al., "Yambda-5B: A Large-Scale Multi-modal Dataset for Ranking And Retrieval",
arXiv 2505.22238 (2025); the columns are those of https://huggingface.co/datasets/yandex/yambda.
Times are in seconds from a day that is not told, in steps of five, and are taken as since 1970.

Tracks have no text. In its place stand the numbers of their artists and albums, where
`artist_item_mapping.parquet` and `album_item_mapping.parquet` are below the folder: a text encoder
finds tracks of the same artist alike by them and knows nothing else.
"""

import dataclasses
import logging

import polars as pl

from rec_jax.data.config import DataConfig
from rec_jax.data.formats import assembled, published_files
from rec_jax.data.formats.assembled import Part
from rec_jax.data.formats.published_files import Published
from rec_jax.data.tables import Tables
from rec_jax.types import InputError

logger = logging.getLogger(__name__)


def read(config: DataConfig) -> Tables:
  """`listens.parquet`, or `likes.parquet` where `config.interactions` says so.

  The rating of a listen is the share of the track that was played, in percent (more than 100 where
  parts were played again); the paper counts a track as listened to from 50 on (Listen+), which is
  `config.positive_rating` in configs/yambda.py. The first listen of a user to a track counts,
  or all with `config.repeats`. Likes are implicit feedback.

  Raises:
    InputError: a file is missing, not as published, of the sequential layout, or of another event.
  """
  config = config if config.interactions else dataclasses.replace(config, interactions=_LISTENS)
  path = published_files.find_event_file(config, _PUBLISHED, list(_RATING), _LISTENS)
  rating = _RATING[path.name]
  rows = published_files.scan_parquet(path, _PUBLISHED, [*_EVENT, *rating.values()])
  if rows.collect_schema()['item_id'].is_nested():
    raise InputError(
      f'{path}: a row holds the history of a user (the sequential layout); give that of the folder '
      f'flat of {_PUBLISHED.name}'
    )
  parsed = rows.select(
    'source_row',
    pl.col('uid').alias('user_id'),
    'item_id',
    pl.col('timestamp').cast(pl.Int64).mul(1_000_000).alias('time'),
    **{name: pl.col(column).cast(pl.Float32) for name, column in rating.items()},
  )
  interactions, notes = assembled.events(_PUBLISHED, [Part(path, parsed)], config)
  read = published_files.of_part(_PUBLISHED, path.resolve().parent.name, path.stem)
  return assembled.tables(read, interactions, _described(config), config, notes)


_PUBLISHED = Published(
  'Yambda', 'https://huggingface.co/datasets/yandex/yambda', 'Apache-2.0', 'Unknown track'
)
_LISTENS = 'listens.parquet'
_EVENT = ('uid', 'item_id', 'timestamp')
# Files of positive events, and what the rating of an event is. Dislikes and what takes a like back
# are not to be recommended by; multi_event.parquet holds these as well.
_RATING: dict[str, dict[str, str]] = {
  _LISTENS: {'rating': 'played_ratio_pct'},
  'likes.parquet': {},
}


def _described(config: DataConfig) -> pl.LazyFrame:
  """item_id and text: `artist 3, 17. album 5`."""
  texts = []
  for kind in ('artist', 'album'):
    found = published_files.find_all(config, _PUBLISHED, [f'{kind}_item_mapping.parquet'])
    if not found:
      logger.warning(
        '%s: no %s_item_mapping.parquet: no text tells the %ss of tracks',
        *(config.folder, kind, kind),
      )
      continue
    path = published_files.opened(found[0])
    rows = published_files.scan_parquet(path, _PUBLISHED, ['item_id', f'{kind}_id'])
    numbers = pl.col(f'{kind}_id').unique().sort().cast(pl.String).str.join(', ')
    with published_files.reading(path, _PUBLISHED):
      told = rows.group_by('item_id').agg(numbers).collect(engine='streaming')
    texts.append(
      told.select(pl.col('item_id').cast(pl.String), text=f'{kind} ' + pl.col(f'{kind}_id'))
    )
  if not texts:
    return pl.LazyFrame(schema={'item_id': pl.String, 'text': pl.String})
  # Artists come first, by the order of the rows.
  return (
    pl.concat(texts)
    .group_by('item_id', maintain_order=True)
    .agg(pl.col('text').str.join('. '))
    .lazy()
  )
