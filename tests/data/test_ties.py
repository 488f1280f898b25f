"""Rows of one moment that follow the items are put in random order; others stay as they are."""

import itertools

import numpy as np
import polars as pl
import pytest

from rec_jax.data import ties
from rec_jax.data.tables import Tables


def _baskets(seed: int, num_baskets: int = 200, num_items: int = 30, alone: bool = False):
  """Events of baskets, each of a user at a time, in random order within it."""
  rng = np.random.default_rng(seed)
  rows = []
  for basket in range(num_baskets):
    size = 1 if alone else rng.integers(2, 8)
    rows += [
      (f'u{basket % 20}', f'i{item:02}', 1000 * basket)
      for item in rng.choice(num_items, size, replace=False)
    ]
  return pl.DataFrame(rows, schema=['user_id', 'item_id', 'timestamp'], orient='row')


def _tables(events: pl.DataFrame) -> Tables:
  items = events.select('item_id', text='item_id').unique(maintain_order=True)
  return Tables('baskets', events.with_row_index('row').cast({'row': pl.Int64}), items, '', {})


def _in_order(tables: Tables) -> pl.DataFrame:
  return tables.interactions.sort('timestamp', 'row').drop('row')


@pytest.mark.parametrize('by', ['item_id', 'rank'])
@pytest.mark.parametrize('descending', [False, True])
def test_rows_that_follow_items_are_put_in_random_order(by, descending, caplog):
  events = _baskets(0).with_columns(rank=pl.col('item_id').hash(seed=5))
  ordered = events.sort('timestamp', by, descending=[False, descending]).drop('rank')
  tables = ties.drawn(_tables(ordered))
  likeness, errors = ties.likeness_of_places(_tables(ordered).interactions)
  assert likeness > 0.5 and errors > 20
  likeness, errors = ties.likeness_of_places(tables.interactions)
  assert abs(likeness) < 0.05 and abs(errors) < 5
  assert 'random order' in caplog.text and 'order_within_a_moment' in tables.notes
  # Nothing but the order within moments has changed.
  assert (
    _in_order(tables)
    .sort('timestamp', 'item_id')
    .equals(events.drop('rank').sort('timestamp', 'item_id'))
  )
  assert _in_order(tables)['timestamp'].is_sorted()


def test_the_drawn_order_hangs_on_the_events_and_not_on_their_rows():
  ascending = _baskets(0).sort('timestamp', 'item_id')
  descending = _baskets(0).sort('timestamp', 'item_id', descending=[False, True])
  drawn = [_in_order(ties.drawn(_tables(events))) for events in (ascending, descending)]
  assert drawn[0].equals(drawn[1])


def test_rows_in_random_order_stay_in_all_of_a_hundred_tables():
  for seed in range(100):
    tables = _tables(_baskets(seed))
    assert ties.drawn(tables) is tables


def test_an_order_in_which_some_items_tend_to_come_first_stays():
  rng = np.random.default_rng(0)
  events = _baskets(0, 2000)
  # The first three of thirty come first in two of three baskets that have them.
  first = (events['item_id'] < 'i03').to_numpy() & (rng.random(len(events)) < 2 / 3)
  tables = _tables(
    events.with_columns(first=~first).sort('timestamp', 'first', maintain_order=True)
  )
  assert ties.likeness_of_places(tables.interactions)[1] > 5
  assert ties.drawn(tables) is tables


@pytest.mark.parametrize('events', [_baskets(0, alone=True), _baskets(0, 1), _baskets(0).head(0)])
def test_where_no_item_is_in_two_moments_nothing_can_be_said(events):
  tables = _tables(events)
  assert ties.likeness_of_places(tables.interactions) == (0, 0)
  assert ties.drawn(tables) is tables


def test_the_likeness_is_what_all_pairs_of_moments_say():
  events = _tables(_baskets(1, 12, 8)).interactions
  places = {}
  for _, group in events.group_by(['user_id', 'timestamp']):
    m = len(group)
    for j, item in enumerate(group.sort('row')['item_id']):
      places.setdefault(item, []).append(((j + 0.5) / m - 0.5, (1 - 1 / m**2) / 12))
  pairs = [pair for each in places.values() for pair in itertools.permutations(each, 2)]
  products = sum(one[0] * other[0] for one, other in pairs)
  alike = sum((len(each) - 1) * place**2 for each in places.values() for place, _ in each)
  error = np.sqrt(2 * sum(one[1] * other[1] for one, other in pairs))
  np.testing.assert_allclose(
    ties.likeness_of_places(events), [products / alike, products / error], rtol=1e-12
  )
