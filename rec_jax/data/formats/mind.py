"""MIND, the Microsoft News Dataset: clicks in impressions, and the news that were shown.

F. Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020; the columns are those
of https://github.com/msnews/msnews.github.io/blob/master/assets/doc/introduction.md. Files have no
header and columns set apart by tabs; quotes in titles are text. Times like 11/11/2019 9:05:58 AM
name no zone and are taken as UTC.

Feedback is implicit: the clicks of an impression ("N1-1") are events at its time. What was shown
and not clicked ("N2-0") is none. The clicks of the column History have no time of their own, only
that they came before the impression, so they cannot be placed before or after a cut and are left
out.
"""

from pathlib import Path

import polars as pl

from rec_jax.data.config import DataConfig
from rec_jax.data.formats import assembled, published_files
from rec_jax.data.formats.assembled import Part
from rec_jax.data.formats.published_files import Published
from rec_jax.data.tables import Tables


def read(config: DataConfig) -> Tables:
  """Every `behaviors.tsv` below the folder (train and dev are one log) and the `news.tsv` beside.

  A text is title, category with subcategory, and abstract: first what tells most, because encoders
  cut texts. Impressions without labels, those of the test part, are left out.

  Raises:
    InputError: a file is missing, not as published, or no impression has a click.
  """
  paths = published_files.find_events(config, _PUBLISHED, [_BEHAVIORS], _BEHAVIORS)
  parts, news, num_unlabelled = [], [], 0
  for path in paths:
    rows = published_files.scan_tsv(path, _PUBLISHED, _BEHAVIOR_COLUMNS)
    news.append(_described(published_files.beside(path, 'news.tsv', _PUBLISHED)))
    with published_files.reading(path, _PUBLISHED):
      unlabelled = rows.select(~pl.col('impressions').str.contains(_LABEL)).sum()
      num_unlabelled += int(unlabelled.collect(engine='streaming').item() or 0)
    parts.append(Part(path, _clicks(rows)))
  interactions, notes = assembled.events(_PUBLISHED, parts, config)
  notes |= {'impressions_without_labels_left_out': num_unlabelled}
  read = published_files.of_part(_PUBLISHED, *(path.resolve().parent.name for path in paths))
  return assembled.tables(read, interactions, pl.concat(news), config, notes)


def attributes(config: DataConfig) -> pl.LazyFrame:
  """Of all news: item_id, category and subcategory; errors as of `read`."""
  paths = published_files.find_events(config, _PUBLISHED, [_BEHAVIORS], _BEHAVIORS)
  news = [_scan_news(published_files.beside(path, 'news.tsv', _PUBLISHED)) for path in paths]
  found = pl.concat(news).select('item_id', 'category', 'subcategory')
  return found.unique('item_id', keep='first', maintain_order=True)


_PUBLISHED = Published(
  'MIND, the Microsoft News Dataset',
  'https://msnews.github.io',
  'Microsoft Research License Terms: research use, no redistribution',
  'Unknown news article',
)
_BEHAVIORS = 'behaviors.tsv'
_BEHAVIOR_COLUMNS = ('impression_id', 'user_id', 'time', 'history', 'impressions')
_NEWS_COLUMNS = (
  *('item_id', 'category', 'subcategory', 'title', 'abstract', 'url'),
  *('title_entities', 'abstract_entities'),
)
_TIME = '%m/%d/%Y %I:%M:%S %p'
_LABEL = r'-[01](\s|$)'
_CLICK = r'\S+-1(?:\s|$)'


def _clicks(rows: pl.LazyFrame) -> pl.LazyFrame:
  time = pl.col('time').str.strip_chars().str.to_datetime(_TIME, strict=False, time_unit='us')
  return (
    rows.select(
      'source_row',
      'user_id',
      item_id=pl.col('impressions').str.extract_all(_CLICK),
      time=time.cast(pl.Int64),
    )
    .filter(pl.col('item_id').list.len() > 0)
    .explode('item_id')
    .with_columns(pl.col('item_id').str.replace(r'-1\s*$', ''))
  )


def _scan_news(path: Path) -> pl.LazyFrame:
  return published_files.scan_tsv(path, _PUBLISHED, _NEWS_COLUMNS)


def _described(path: Path) -> pl.LazyFrame:
  news = _scan_news(path)
  topic = pl.concat_str('category', 'subcategory', separator=', ', ignore_nulls=True)
  return news.select('item_id', assembled.joined(pl.col('title'), topic, pl.col('abstract')))
