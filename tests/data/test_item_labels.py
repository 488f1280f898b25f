"""Labels of items, and that the text beside them does not tell them."""

import polars as pl
import pytest

from rec_jax.data import item_labels
from rec_jax.data.config import DataConfig
from rec_jax.types import InputError


def config(directory, items, name='items.parquet', **fields):
  path = directory / name
  items.write_csv(path) if path.suffix == '.csv' else items.write_parquet(path)
  return DataConfig(source='tables', items=str(path), **fields)


TABLE = pl.DataFrame(
  {
    'item_id': ['a', 'b', 'c', 'd'],
    'title': ['One', 'Two', 'Three', 'Four'],
    'section': ['sport', 'world | sport', None, 'world'],
    'body': ['x', 'y', 'z', 'w'],
  }
)


@pytest.mark.parametrize('name', ['items.parquet', 'items.csv'])
def test_a_cell_holds_one_label_or_several(tmp_path, name):
  found = item_labels.read(config(tmp_path, TABLE, name), 'section', ['d', 'a', 'b', 'c'])
  assert found.labels == [('world',), ('sport',), ('world', 'sport'), ()]
  assert found.text == ['Four. w', 'One. x', 'Two. y', 'Three. z']


def test_lists_are_labels_and_numbers_too(tmp_path):
  table = TABLE.with_columns(
    section=pl.Series([['x, y', ' z '], [], None, ['z', 'z']]), year=pl.Series([1, 2, 1, 2])
  )
  data = config(tmp_path, table)
  assert item_labels.read(data, 'section', ['a', 'b', 'c', 'd']).labels == [
    ('x, y', 'z'),
    (),
    (),
    ('z',),
  ]
  by_year = item_labels.read(data, 'year', ['a', 'b'])
  assert by_year.labels == [('1',), ('2',)]
  # Of columns that make no text nothing has to be left out.
  assert by_year.text[0] == 'One. x, y, z. x'


def test_named_columns_of_text_stay_the_ones(tmp_path):
  data = config(tmp_path, TABLE, text_columns='body,section')
  assert item_labels.read(data, 'section', ['b']).text == ['y']


@pytest.mark.parametrize(
  ('column', 'fields', 'item', 'message'),
  [
    ('genre', {}, 'a', 'no column "genre" among item_id, title, section, body; .* --column=COLUMN'),
    ('title', {'text_columns': 'title'}, 'a', 'column "title" is all the text that items have'),
    ('section', {}, 'e', 'has no item "e" any more'),
  ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, column, fields, item, message):
  with pytest.raises(InputError, match=message) as error:
    item_labels.read(config(tmp_path, TABLE, **fields), column, [item])
  assert '\n' not in str(error.value)


def test_genres_of_films_stand_beside_a_text_without_them():
  found = item_labels.read(DataConfig(), 'genre', ['50', '1', '267'])
  assert found.labels[0] == ('Action', 'Adventure', 'Romance', 'Sci-Fi', 'War')
  assert found.text[0].startswith('Star Wars (1977). George Lucas. Unit')
  assert found.labels[1] == ('Animation', "Children's", 'Comedy')
  assert found.labels[2] == ()
  with pytest.raises(InputError, match='--column is "year"; of MovieLens there is genre'):
    item_labels.read(DataConfig(), 'year', ['50'])


def test_an_attribute_needs_no_other_text(tmp_path):
  data = config(tmp_path, TABLE.select('item_id', 'section').with_columns(year=pl.Series(range(4))))
  found = item_labels.attribute(data, 'section', ['d', 'b', 'gone', 'c'])
  assert found == [('world',), ('world', 'sport'), (), ()]
  assert item_labels.attribute(data, 'year', ['c']) == [('2',)]
  assert item_labels.attributes(data) == ['section', 'year']
  with pytest.raises(InputError, match=r'no attribute "genre" of items: .*section.*year'):
    item_labels.attribute(data, 'genre', ['a'])


def test_of_films_there_are_those_of_the_description(monkeypatch):
  films = {'7': {'genre': ['Drama', 'War'], 'year': []}}
  monkeypatch.setattr(item_labels.sources, 'movielens_attributes', lambda: films)
  data = DataConfig(source='movielens')
  assert item_labels.attribute(data, 'genre', ['7']) == [('Drama', 'War')]
  assert item_labels.attributes(data) == ['genre', 'year']
  with pytest.raises(InputError, match=r'no attribute "colour" of items: there are genre, year'):
    item_labels.attribute(data, 'colour', ['7'])


def test_published_data_sets_have_no_text_beside_their_labels():
  with pytest.raises(InputError, match='items of data.source=mind have no text beside'):
    item_labels.read(DataConfig(source='mind'), 'category', ['N1'])
