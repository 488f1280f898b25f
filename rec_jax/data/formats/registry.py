"""The formats by the name of their source: a reader takes the folder and gives the tables."""

from collections.abc import Callable

import polars as pl

from rec_jax.data.config import DataConfig
from rec_jax.data.formats import amazon_reviews, mind, movielens, yambda
from rec_jax.data.tables import Tables

# Each raises InputError where the folder does not hold what its owners publish.
FORMATS: dict[str, Callable[[DataConfig], Tables]] = {
  'movielens_1m': movielens.read_1m,
  'movielens_25m': movielens.read_25m,
  'amazon_reviews': amazon_reviews.read,
  'yambda': yambda.read,
  'mind': mind.read,
}
# What items can be chosen by, if anything: item_id, and columns of texts or of lists of them.
ATTRIBUTES: dict[str, Callable[[DataConfig], pl.LazyFrame]] = {
  'movielens_1m': movielens.attributes_1m,
  'movielens_25m': movielens.attributes_25m,
  'amazon_reviews': amazon_reviews.attributes,
  'mind': mind.attributes,
}
