"""MovieLens as GroupLens gives it out: 1M and 10M (`.dat`), 20M, 25M, 32M and latest (`.csv`).

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015;
the columns are those of the README in each archive. Ratings are explicit, from 0.5 or 1 to 5 stars.
`users.dat` and the other files beside these are not read.
"""

import re
from pathlib import Path

import polars as pl

from rec_jax.data import films
from rec_jax.data.config import DataConfig
from rec_jax.data.formats import assembled, published_files
from rec_jax.data.formats.assembled import Part
from rec_jax.data.formats.published_files import Published
from rec_jax.data.tables import Tables
from rec_jax.types import InputError


def read_1m(config: DataConfig) -> Tables:
  """`ratings.dat` (UserID::MovieID::Rating::Timestamp) and `movies.dat` (MovieID::Title::Genres).

  Raises:
    InputError: a file is missing, or not as published.
  """
  path = published_files.find_event_file(config, _1M, ['ratings.dat'], 'ratings.dat')
  movies = published_files.beside(path, 'movies.dat', _1M)
  fields = pl.col('line').str.strip_chars().str.split('::')
  # No field of a line with another number of them is to be trusted.
  fields = pl.when(fields.list.len() == _NUM_FIELDS).then(fields)
  rows = published_files.scan_lines(path, _1M).select(
    'source_row',
    **{name: fields.list.get(index, null_on_oob=True) for index, name in enumerate(_CSV_RATINGS)},
  )
  interactions, notes = assembled.events(_1M, [Part(path, _events(rows))], config)
  read = _named(_1M, path)
  return assembled.tables(read, interactions, _described(_dat_films(movies)).lazy(), config, notes)


def read_25m(config: DataConfig) -> Tables:
  """`ratings.csv`, `movies.csv` and, if it is there, `tags.csv`.

  Of the tags those before the cut become text: what users write after it is the future.

  Raises:
    InputError: a file is missing, or not as published.
  """
  path = published_files.find_event_file(config, _25M, ['ratings.csv'], 'ratings.csv')
  movies = published_files.beside(path, 'movies.csv', _25M)
  rows = published_files.scan_csv(path, _25M, _CSV_RATINGS)
  interactions, notes = assembled.events(_25M, [Part(path, _events(rows))], config)
  described = _described(_csv_films(movies))
  tags = path.parent / 'tags.csv'
  if tags.exists():
    known = _tags(published_files.opened(tags), _cut_time(interactions, config))
    notes |= {'tags_until_cut': sum(len(each) for each in known['tags'])}
    described = described.join(known, on='item_id', how='left', maintain_order='left').select(
      'item_id', assembled.joined(pl.col('text'), pl.col('tags').list.join(', '))
    )
  return assembled.tables(_named(_25M, path), interactions, described.lazy(), config, notes)


def attributes_1m(config: DataConfig) -> pl.LazyFrame:
  """Of all films: item_id, genre and year; errors as of `read_1m`."""
  path = published_files.find_event_file(config, _1M, ['ratings.dat'], 'ratings.dat')
  return _attributes(_dat_films(published_files.beside(path, 'movies.dat', _1M)))


def attributes_25m(config: DataConfig) -> pl.LazyFrame:
  """Of all films: item_id, genre and year; errors as of `read_25m`."""
  path = published_files.find_event_file(config, _25M, ['ratings.csv'], 'ratings.csv')
  return _attributes(_csv_films(published_files.beside(path, 'movies.csv', _25M)))


_HOME = 'https://grouplens.org/datasets/movielens'
_LICENCE = 'GroupLens: research use, no redistribution'
_1M = Published('MovieLens-1M', _HOME, _LICENCE, 'Unknown film')
_25M = Published('MovieLens-25M', _HOME, _LICENCE, 'Unknown film')
_CSV_RATINGS = ('userId', 'movieId', 'rating', 'timestamp')
_NUM_FIELDS = len(_CSV_RATINGS)
_NO_GENRES = '(no genres listed)'
# Of a film, those of most users.
_NUM_TAGS = 5


def _named(of: Published, path: Path) -> Published:
  """Called by its folder, for several sizes come in the same files: "MovieLens (ml-32m)"."""
  return published_files.of_part(of._replace(name='MovieLens'), path.resolve().parent.name)


def _events(rows: pl.LazyFrame) -> pl.LazyFrame:
  return rows.select(
    'source_row',
    pl.col('userId').cast(pl.UInt32, strict=False).alias('user_id'),
    pl.col('movieId').cast(pl.UInt32, strict=False).alias('item_id'),
    pl.col('timestamp').cast(pl.Int64, strict=False).mul(1_000_000).alias('time'),
    pl.col('rating').cast(pl.Float32, strict=False),
  )


def _csv_films(path: Path) -> list[tuple[str, str, str]]:
  """Id, title with its year, and genres separated by bars."""
  columns = ['movieId', 'title', 'genres']
  with published_files.reading(path, _25M):
    rows = published_files.scan_csv(path, _25M, columns).select(columns).fill_null('').collect()
  return list(rows.iter_rows())


def _dat_films(path: Path) -> list[tuple[str, str, str]]:
  """The same. A title may hold "::", an id or a list of genres cannot."""
  content = path.read_bytes()
  try:
    text = content.decode('utf-8')  # As in 10M, and in 1M where somebody wrote it again.
  except UnicodeDecodeError:
    text = content.decode('latin-1')
  rows = []
  # Not by splitlines, which ends lines at characters that latin-1 has within titles.
  for number, line in enumerate(text.split('\n'), start=1):
    item, _, rest = line.strip().partition('::')
    title, mark, genres = rest.rpartition('::')
    if mark:
      rows.append((item, title, genres))
    elif line.strip():
      raise InputError(
        f'{path}: row {number} is not MovieID::Title::Genres; give that of {_1M.name}, from '
        f'{_1M.home}'
      )
  return rows


def _described(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
  """item_id and text."""
  described = [(item, films.describe(_film(title, genres))) for item, title, genres in rows]
  return pl.DataFrame(described, schema={'item_id': pl.String, 'text': pl.String}, orient='row')


def _attributes(rows: list[tuple[str, str, str]]) -> pl.LazyFrame:
  known = [(item, films.attributes(_film(title, genres))) for item, title, genres in rows]
  several = {name: [values[name] for _, values in known] for name in ('genre', 'year')}
  found = pl.LazyFrame({'item_id': [item for item, _ in known], **several})
  return found.cast({'item_id': pl.String, 'genre': pl.List(pl.String), 'year': pl.List(pl.String)})


def _film(title: str, genres: str) -> films.Film:
  dated = re.fullmatch(r'(.*?)\s*\((\d{4})\)\s*', title)
  title, year = (dated[1], int(dated[2])) if dated else (title.strip(), 0)
  known = tuple(genre for genre in genres.strip().split('|') if genre not in ('', _NO_GENRES))
  return films.Film(title, year, known)


def _cut_time(interactions: pl.DataFrame, config: DataConfig) -> int:
  """Seconds since 1970 of the first event after the cut; see `splits.split`."""
  num_used = int(config.used_fraction * len(interactions))
  return int(interactions['timestamp'][min(int(config.cut * num_used), len(interactions) - 1)])


def _tags(path: Path, before: int) -> pl.DataFrame:
  """item_id and tags: those of most users first, then by the alphabet, without regard to case."""
  rows = published_files.scan_csv(path, _25M, ['userId', 'movieId', 'tag', 'timestamp'])
  tag = pl.col('tag').str.to_lowercase().str.strip_chars()
  with published_files.reading(path, _25M):
    used = (
      rows.filter(pl.col('timestamp').cast(pl.Int64, strict=False) < before)
      .select('userId', pl.col('movieId').alias('item_id'), tag)
      .filter(pl.col('tag') != '')
      .group_by('item_id', 'tag')
      .agg(pl.col('userId').n_unique().alias('users'))
      .collect(engine='streaming')
    )
  ranked = used.sort('users', 'tag', descending=[True, False])
  return ranked.group_by('item_id', maintain_order=True).agg(tags=pl.col('tag').head(_NUM_TAGS))
