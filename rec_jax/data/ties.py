"""The order of events of one user at one time, which a file may give by item and not by time.

A basket whose rows are sorted by product has the highest id as its last event, in every basket: a
protocol that holds out the last event would ask for that one alone.
"""

import dataclasses
import logging

import numpy as np
import polars as pl

from rec_jax.data.tables import Tables

logger = logging.getLogger(__name__)

# How alike the places of an item in two moments are: 0 on average where the order is of time or of
# chance, and a third or more where it is a fixed order of items (a third of moments of two events,
# 1 of long ones). Beyond this it is more than what people do first of several things.
_LIKENESS, _ERRORS = 0.1, 5.0


def drawn(tables: Tables) -> Tables:
  """Tables whose events of one moment are in random order, if their rows follow the items.

  The order is drawn by a fixed generator from the events themselves, so that it is the same
  whatever the order of the rows. Where rows do not follow items, nothing is changed.
  """
  likeness, errors = likeness_of_places(tables.interactions)
  if likeness < _LIKENESS or errors < _ERRORS:
    return tables
  events = tables.interactions.sort('timestamp', 'user_id', 'item_id')
  row = np.random.default_rng(0).permutation(len(events))
  logger.warning(
    '%s: the rows of one user at one time are in an order of items (their places agree by %.2f '
    'between two times), which says nothing of what came last: they are put in random order',
    *(tables.name, likeness),
  )
  return dataclasses.replace(
    tables,
    interactions=events.with_columns(row=pl.Series(row, dtype=pl.Int64)),
    notes=tables.notes | {'order_within_a_moment': 'drawn, because rows followed the items'},
  )


def likeness_of_places(events: pl.DataFrame) -> tuple[float, float]:
  """The correlation between the places of an item in two moments, and in its standard errors.

  A moment is a user at a time with m > 1 events; their places are (j + 1/2) / m - 1/2. The
  numerator is the sum of products over all pairs of moments of an item, of mean 0 if each order
  has the same chance (then places vary by (m² - 1) / 12m²), so that it needs no permutations.

  Args:
    events: user_id, item_id, timestamp and row.

  Returns:
    0, 0 where no item is in two such moments.
  """
  moment = ['user_id', 'timestamp']
  size, place = pl.len().over(moment), pl.int_range(pl.len()).over(moment)
  items = (
    events.sort('timestamp', 'row')
    .select('item_id', size=size.cast(pl.Float64), place=place)
    .filter(pl.col('size') > 1)
    .with_columns(
      place=(pl.col('place') + 0.5) / pl.col('size') - 0.5,
      variance=(1 - pl.col('size') ** -2) / 12,
    )
    .group_by('item_id', maintain_order=True)
    .agg(
      total=pl.col('place').sum(),
      squares=(pl.col('place') ** 2).sum(),
      others=pl.len() - 1.0,
      variance=pl.col('variance').sum(),
      variance_squares=(pl.col('variance') ** 2).sum(),
    )
    .filter(pl.col('others') > 0)
  )
  if items.is_empty():
    return 0.0, 0.0
  products = float((items['total'] ** 2 - items['squares']).sum())
  alike = float((items['others'] * items['squares']).sum())
  variance = 2 * float((items['variance'] ** 2 - items['variance_squares']).sum())
  return products / alike, products / np.sqrt(variance)
