"""Columns of a user's tables beside text: what is read, kept on disk, and refused by its row."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rec_jax.data import builder, features
from rec_jax.data.config import DataConfig
from rec_jax.data.tables import read_tables
from rec_jax.types import InputError

USERS = 'user_id,age,town\n2,30,Rome\n1,,Oslo|Rome\n'
EVENTS = 'user_id,item_id,timestamp,budget\n1,a,30,5\n2,b,10,\n2,a,20,7.5\n'
ITEMS = 'item_id,title,kind,price\na,first,old,1.5\nb,second,,\nc,third,new | old,3\n'
NAMED = {
  'item_categories': 'kind',
  'item_numbers': 'price',
  'user_categories': 'town',
  'user_numbers': 'age',
  'event_numbers': 'budget',
}


def config(directory, events=EVENTS, items=ITEMS, users=USERS, **changes):
  paths = {}
  for name, text in {'interactions': events, 'items': items, 'users': users}.items():
    if not text:
      continue
    (directory / f'{name}.csv').write_text(text)
    paths[name] = str(directory / f'{name}.csv')
  return DataConfig(**({'source': 'tables', **paths, **NAMED} | changes))


def read(settings):
  tables = read_tables(settings)
  return features.read(
    settings, tables.interactions, np.array(['2', '1', '7']), tables.items['item_id'].to_numpy()
  )


def test_columns_are_in_the_order_of_the_indices_and_no_text(tmp_path):
  settings = config(tmp_path)
  told = read(settings)
  assert told.items.to_dict(as_series=False) == {
    'kind': [['old'], [], ['new', 'old']],
    'price': [1.5, None, 3.0],
  }
  # The last user is not in the file.
  assert told.users.to_dict(as_series=False) == {
    'town': [['Rome'], ['Oslo', 'Rome'], []],
    'age': [30.0, None, None],
  }
  assert told.events.to_dict(as_series=False) == {'budget': [None, 7.5, 5.0]}
  assert read_tables(settings).items['text'].to_list() == ['first', 'second', 'third']
  features.write(told, tmp_path)
  again = features.load(tmp_path, '')
  assert features.described(again) == features.described(told) != []
  for one, other in zip(again.frames.values(), told.frames.values(), strict=True):
    assert one.equals(other)


def test_a_fingerprint_tells_features(tmp_path):
  settings = config(tmp_path)
  told = read(settings)
  builder.write(read_tables(settings), tmp_path / 'data')
  data = builder.read(tmp_path / 'data')
  changed = dataclasses.replace(told, items=told.items.with_columns(pl.col('price') + 1))
  found = {builder.fingerprint(*data, each) for each in (told, changed, features.NOTHING)}
  assert len(found) == 3
  assert builder.fingerprint(*data) in found


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'item_categories': 'kidn'}, 'no column "kidn" among .*--config.data.item_categories=COLUMN'),
    ({'user_numbers': 'weight'}, 'no column "weight" among .*--config.data.user_numbers=COLUMN'),
    ({'event_numbers': 'x'}, 'no column "x" among .*--config.data.event_numbers=COLUMN'),
    ({'users': ''}, 'no users file given; set --config.data.users=FILE'),
    ({'item_numbers': 'kind'}, '"kind" is among data.item_categories and data.item_numbers'),
    ({'user_categories': '', 'user_numbers': ''}, 'users.csv is given, and none of its columns'),
  ],
)
def test_what_is_named_must_be_there(tmp_path, changes, message):
  with pytest.raises(InputError, match=message) as error:
    read(config(tmp_path, **changes))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('table', 'before', 'after', 'message'),
  [
    (
      'items',
      '1.5',
      'dear',
      'items.csv: column "price", row 1: "dear" is not a finite number',
    ),
    ('items', ',3\n', ',NaN\n', 'column "price", row 3: "NaN" is not a finite number'),
    ('users', '30', '1e999', 'users.csv: column "age", row 1: "1e999" is not a finite number'),
    ('events', '7.5', 'much', 'column "budget", row 3: "much" is not a finite number'),
    ('users', '\n1,', '\n2,', 'column "user_id", row 2: user "2" is there already'),
  ],
)
def test_cells_that_cannot_be_are_named_by_their_row(tmp_path, table, before, after, message):
  texts = {'events': EVENTS, 'items': ITEMS, 'users': USERS}
  assert before in texts[table]
  texts[table] = texts[table].replace(before, after)
  with pytest.raises(InputError, match=message) as error:
    read(config(tmp_path, **texts))
  assert '\n' not in str(error.value)
