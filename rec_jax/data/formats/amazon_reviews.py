"""Amazon Reviews 2023: the reviews of a category, or its rating-only table, and its products.

Y. Hou et al., "Bridging Language and Items for Retrieval and Recommendation", arXiv 2403.03952
(2024); the fields are those of https://amazon-reviews-2023.github.io. Ratings are explicit, from 1
to 5 stars, times are in milliseconds. An item is a `parent_asin`: a product with all its variants,
which is what `meta_*.jsonl` describes. The text of reviews is not read: it is written after the
event that it would be used to predict.
"""

from pathlib import Path

import polars as pl

from rec_jax.data.config import DataConfig
from rec_jax.data.formats import assembled, published_files
from rec_jax.data.formats.assembled import Part
from rec_jax.data.formats.published_files import Published
from rec_jax.data.tables import Tables


def read(config: DataConfig) -> Tables:
  """`CATEGORY.jsonl[.gz]` or `CATEGORY.csv[.gz]`, and `meta_CATEGORY.jsonl[.gz]`.

  A text is title, store, categories, features and description, as far as they are there. A product
  that the meta file does not have keeps its events.

  Raises:
    InputError: a file is missing, not as published, or one of several categories to be chosen.
  """
  path = published_files.find_event_file(config, _PUBLISHED, _PATTERNS, _REVIEWS)
  category = path.name.partition('.')[0]
  of = published_files.of_part(_PUBLISHED, category)
  meta = _meta(config, category, of)
  if '.csv' in path.suffixes:
    rows = published_files.scan_csv(path, of, list(_REVIEW))
  else:
    rows = published_files.scan_json(path, of, _REVIEW)
  parsed = rows.select(
    'source_row',
    'user_id',
    pl.col('parent_asin').alias('item_id'),
    pl.col('timestamp').cast(pl.Int64, strict=False).mul(1000).alias('time'),
    pl.col('rating').cast(pl.Float32, strict=False),
  )
  interactions, notes = assembled.events(of, [Part(path, parsed)], config)
  products = published_files.scan_json(meta, of, _PRODUCT)
  return assembled.tables(of, interactions, _described(products), config, notes)


def attributes(config: DataConfig) -> pl.LazyFrame:
  """Of all products: item_id, store and category, each on the path to it; errors as of `read`."""
  path = published_files.find_event_file(config, _PUBLISHED, _PATTERNS, _REVIEWS)
  meta = _meta(config, path.name.partition('.')[0], _PUBLISHED)
  return published_files.scan_json(meta, _PUBLISHED, _PRODUCT).select(
    pl.col('parent_asin').alias('item_id'),
    pl.concat_list('store'),
    pl.col('categories').alias('category'),
  )


_PUBLISHED = Published(
  'Amazon Reviews 2023',
  'https://amazon-reviews-2023.github.io',
  'as stated there by its owners; not given out here',
  'Unknown product',
)
# Names of categories are capitalised, meta_CATEGORY is not one.
_PATTERNS = ('[A-Z]*.jsonl', '[A-Z]*.jsonl.gz', '[A-Z]*.csv', '[A-Z]*.csv.gz')
_REVIEWS = 'CATEGORY.jsonl[.gz] or CATEGORY.csv[.gz]'
_REVIEW = {
  'user_id': pl.String,
  'parent_asin': pl.String,
  'rating': pl.Float64,
  'timestamp': pl.Int64,
}
_LISTS = ('categories', 'features', 'description')
_PRODUCT = {'parent_asin': pl.String, 'title': pl.String, 'store': pl.String} | dict.fromkeys(
  _LISTS, pl.List(pl.String)
)


def _meta(config: DataConfig, category: str, of: Published) -> Path:
  names = [f'meta_{category}.jsonl', f'meta_{category}.jsonl.gz']
  found = published_files.find_all(config, of, names)
  if not found:
    raise published_files.missing(Path(config.folder), ' or '.join(names), of)
  # One is the other unpacked.
  return published_files.opened(found[0])


def _described(products: pl.LazyFrame) -> pl.LazyFrame:
  # Categories are a path, features and description are sentences.
  separators = dict(zip(_LISTS, (', ', ' ', ' '), strict=True))
  pieces = [pl.col('title'), pl.col('store')] + [
    pl.col(name).list.join(separator, ignore_nulls=True) for name, separator in separators.items()
  ]
  return products.select(pl.col('parent_asin').alias('item_id'), assembled.joined(*pieces))
