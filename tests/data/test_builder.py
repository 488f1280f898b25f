"""What is written is what is read, in the order of time, and whole or not at all."""

import numpy as np
import polars as pl
import pytest

from rec_jax.data import builder
from rec_jax.data.tables import Tables
from rec_jax.types import InputError


def _tables(ratings: bool = True, seed: int = 0, num_events: int = 60) -> Tables:
  rng = np.random.default_rng(seed)
  pairs = rng.permutation(12 * 9)[:num_events]
  events = pl.DataFrame(
    {
      'user_id': [f'user {u}' for u in pairs // 9],
      'item_id': [f'item {i}' for i in pairs % 9],
      'timestamp': rng.integers(0, 20, num_events),  # Many ties.
      'row': rng.permutation(num_events),
      'rating': pl.Series(rng.integers(1, 6, num_events), dtype=pl.Float32),
    }
  )
  items = pl.DataFrame(
    {'item_id': [f'item {i}' for i in range(9)], 'text': [f'Thé {i} 茶' for i in range(9)]}
  )
  return Tables('test', events if ratings else events.drop('rating'), items, 'none', {})


# A block of all, and some that the last one does not fill.
@pytest.mark.parametrize('block', [256, 4])
@pytest.mark.parametrize('ratings', [True, False])
def test_round_trip(tmp_path, monkeypatch, ratings, block):
  monkeypatch.setattr(builder, '_BLOCK', block)
  tables = _tables(ratings)
  builder.write(tables, tmp_path / 'data')
  interactions, items = builder.read(tmp_path / 'data')
  expected = tables.interactions.sort('timestamp', 'row')
  assert interactions.user_ids[interactions.user].tolist() == expected['user_id'].to_list()
  assert items.ids[interactions.item].tolist() == expected['item_id'].to_list()
  assert interactions.timestamp.tolist() == expected['timestamp'].to_list()
  assert interactions.user_ids.tolist() == expected['user_id'].unique(maintain_order=True).to_list()
  assert items.ids.tolist() == tables.items['item_id'].to_list()
  assert items.text.tolist() == tables.items['text'].to_list()
  if ratings:
    assert interactions.rating.tolist() == expected['rating'].to_list()
  else:
    assert interactions.rating is None
  dtypes = [interactions.user.dtype, interactions.item.dtype, interactions.timestamp.dtype]
  assert dtypes == [np.int32, np.int32, np.int64]


def test_writing_again_replaces(tmp_path):
  builder.write(_tables(seed=0), tmp_path / 'data')
  builder.write(_tables(seed=1), tmp_path / 'data')
  interactions, _ = builder.read(tmp_path / 'data')
  assert interactions.timestamp.tolist() == sorted(_tables(seed=1).interactions['timestamp'])
  assert [path.name for path in tmp_path.iterdir()] == ['data']


def test_reading_before_writing(tmp_path):
  with pytest.raises(InputError, match='nothing: no prepared data; run the prepare stage'):
    builder.read(tmp_path / 'nothing')


def test_a_failed_write_leaves_nothing_that_passes_as_whole(tmp_path, monkeypatch):
  monkeypatch.setattr(builder, '_BLOCK', 1)
  generate = builder.RecommendationData._generate_examples

  def breaks_at_items(self):
    for number, example in generate(self):
      if self.builder_config.name == 'items' and number == 5:
        raise KeyboardInterrupt
      yield number, example

  monkeypatch.setattr(builder.RecommendationData, '_generate_examples', breaks_at_items)
  with pytest.raises(KeyboardInterrupt):
    builder.write(_tables(), tmp_path / 'data')
  with pytest.raises(InputError):
    builder.read(tmp_path / 'data')
  monkeypatch.undo()
  builder.write(_tables(), tmp_path / 'data')
  assert builder.read(tmp_path / 'data')[0].num_events == 60


def test_fingerprint_tells_any_change(tmp_path):
  def of(tables: Tables) -> str:
    builder.write(tables, tmp_path / 'data')
    return builder.fingerprint(*builder.read(tmp_path / 'data'))

  tables = _tables()
  events, items = tables.interactions, tables.items
  variants = [
    tables,
    _tables(ratings=False),
    Tables('test', events.with_columns(pl.col('rating') + 1), items, 'none', {}),
    Tables('test', events.with_columns(pl.col('timestamp') + 1), items, 'none', {}),
    Tables('test', events, items.with_columns(pl.col('text') + '.'), 'none', {}),
    Tables('test', events.with_columns(pl.col('user_id') + '+'), items, 'none', {}),
  ]
  assert len({of(variant) for variant in variants}) == len(variants)
  # Nor does it depend on the order of the rows in the table, or on the name.
  shuffled = events.sample(fraction=1, shuffle=True, seed=0)
  assert of(tables) == of(Tables('another', shuffled, items, 'none', {}))
