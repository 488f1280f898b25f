"""Published data sets: what is read of files of their form, against expectations made by hand."""

import datetime
import gzip
import re
import shutil

import polars as pl
import pytest

from rec_jax.data import item_labels
from rec_jax.data.config import PUBLISHED, DataConfig
from rec_jax.data.formats.registry import FORMATS
from rec_jax.types import InputError
from tests.data.formats import examples


def _read(source, folder, **fields):
  return FORMATS[source](DataConfig(source=source, folder=str(folder), **fields))


def _events(tables, *more):
  return tables.interactions.select('user_id', 'item_id', 'timestamp', *more).rows()


WRITERS = {
  'movielens_1m': examples.movielens_1m,
  'movielens_25m': examples.movielens_25m,
  'amazon_reviews': examples.amazon_reviews,
  'yambda': examples.yambda,
  'mind': examples.mind,
}


# What was read, as reports call it; MovieLens by the name of its folder.
NAMES = {
  'movielens_1m': 'MovieLens ({})',
  'movielens_25m': 'MovieLens ({})',
  'amazon_reviews': 'Amazon Reviews 2023 (All_Beauty)',
  'yambda': 'Yambda (50m, listens)',
  'mind': 'MIND, the Microsoft News Dataset (MINDsmall_dev, MINDsmall_train)',
}


def test_every_source_has_its_reader():
  assert tuple(FORMATS) == PUBLISHED


# Attributes of two items each.
ATTRIBUTES_OF = {
  'movielens_1m': {'genre': [('3', ('Comedy', 'Romance')), ('1193', ('Drama',))]}
  | {'year': [('3', ('1995',)), ('1193', ())]},
  'movielens_25m': {'genre': [('1', ('Comedy', 'Drama')), ('2', ())]}
  | {'year': [('1', ('1995',)), ('9', ())]},
  'amazon_reviews': {'store': [('B01', ('Yes To',)), ('B02', ()), ('B04', ())]}
  | {'category': [('B01', ('Beauty', 'Skin')), ('B03', ())]},
  'yambda': {},
  'mind': {'category': [('N2', ('news',)), ('N3', ())]}
  | {'subcategory': [('N10', ('football_nfl',))]},
}


@pytest.mark.parametrize('source', FORMATS)
def test_items_have_the_attributes_that_are_published(source, tmp_path):
  WRITERS[source](tmp_path)
  config = DataConfig(source=source, folder=str(tmp_path))
  assert item_labels.attributes(config) == list(ATTRIBUTES_OF[source])
  for name, known in ATTRIBUTES_OF[source].items():
    items, values = zip(*known, strict=True)
    assert item_labels.attribute(config, name, items) == list(values)
  with pytest.raises(InputError, match='no attribute "colour" of items') as error:
    item_labels.attribute(config, 'colour', [])
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('source', FORMATS)
def test_every_format_keeps_the_contract_of_tables(source, tmp_path):
  WRITERS[source](tmp_path)
  tables = _read(source, tmp_path)
  types = {'user_id': pl.String, 'item_id': pl.String, 'timestamp': pl.Int64, 'row': pl.Int64}
  types |= {} if source == 'mind' else {'rating': pl.Float32}
  assert dict(tables.interactions.schema) == types
  assert dict(tables.items.schema) == {'item_id': pl.String, 'text': pl.String}
  assert not tables.interactions.select('user_id', 'item_id').is_duplicated().any()
  assert set(tables.items['item_id']) == set(tables.interactions['item_id'])
  assert tables.items['item_id'].is_unique().all()
  assert (tables.items['text'].str.len_chars() > 0).all()
  assert tables.interactions.sort('timestamp', 'row').equals(tables.interactions)
  assert tables.name == NAMES[source].format(tmp_path.name)
  assert tables.licence


def test_movielens_1m(tmp_path):
  examples.movielens_1m(tmp_path)
  tables = _read('movielens_1m', tmp_path)
  # Of the same second the order of the file decides.
  assert _events(tables, 'rating') == [
    ('1', '1193', 978300760, 5.0),
    ('2', '1193', 978300760, 2.0),
    ('2', '3', 978300761, 4.0),
    ('1', '661', 978302109, 3.0),
    ('1', '3', 978302109, 1.0),
  ]
  assert tables.items.rows() == [
    ('1193', 'Up Down. Drama'),
    ('3', 'Grumpier::Old Men (1995). Comedy, Romance'),
    ('661', 'Les Misérables (1995). Drama, Musical'),
  ]
  assert tables.notes == {'events_read': 5, 'repeats_left_out': 0, 'items_without_text': 0}


def test_movielens_10m_is_in_utf_8_and_rates_by_halves(tmp_path):
  (tmp_path / 'ratings.dat').write_text('1::122::4.5::838985046\n2::122::3::868245777\n')
  (tmp_path / 'movies.dat').write_text('122::Ça va (1992)::Comedy\n', encoding='utf-8')
  tables = _read('movielens_1m', tmp_path)
  assert tables.interactions['rating'].to_list() == [4.5, 3.0]
  assert tables.items.rows() == [('122', 'Ça va (1992). Comedy')]


def test_movielens_25m_with_tags_before_the_cut(tmp_path):
  examples.movielens_25m(tmp_path)
  tables = _read('movielens_25m', tmp_path)
  assert _events(tables, 'rating')[:3] == [
    ('1', '1', 101, 5.0),
    ('2', '1', 102, 0.5),
    ('1', '2', 103, 3.5),
  ]
  assert len(tables.interactions) == 10
  assert tables.items.rows() == [
    ('1', 'The American President (1995). Comedy, Drama. romance, politics'),
    ('2', 'He said "Ça va"'),
    ('9', 'Unknown film'),
  ]
  assert tables.notes['tags_until_cut'] == 2
  assert tables.notes['items_without_text'] == 1
  # Later cuts see later tags; of half of the events the cut is at the fourth.
  texts = dict(_read('movielens_25m', tmp_path, cut=0.9).items.iter_rows())
  assert texts['1'].endswith('romance, late, politics')
  assert texts['2'].endswith('. late')
  texts = dict(_read('movielens_25m', tmp_path, used_fraction=0.5).items.iter_rows())
  assert texts['1'].endswith('Drama. politics, romance')
  (tmp_path / 'tags.csv').unlink()
  assert _read('movielens_25m', tmp_path).items['text'][0].endswith('Comedy, Drama')


AMAZON_EVENTS = [
  ('AE1', 'B02', 1_588_615_855, 1.0),
  # Within a second, by milliseconds.
  ('AE1', 'B01', 1_588_687_728, 4.0),
  ('AE2', 'B01', 1_588_687_728, 5.0),
  ('AE2', 'B03', 1_589_665_266, 3.0),
  ('AE2', 'B04', 1_589_665_266, 3.0),
]


@pytest.mark.parametrize(
  ('write', 'name'),
  [
    (examples.amazon_reviews, 'All_Beauty.jsonl.gz'),
    (examples.amazon_reviews, 'All_Beauty.jsonl'),
    (examples.amazon_rating_only, 'All_Beauty.csv'),
    (examples.amazon_rating_only, 'All_Beauty.csv.gz'),
  ],
)
def test_amazon_reviews(tmp_path, write, name):
  write(tmp_path, name)
  tables = _read('amazon_reviews', tmp_path)
  assert _events(tables, 'rating') == AMAZON_EVENTS
  assert tables.items.rows() == [
    ('B01', 'Crème "N". Yes To. Beauty, Skin. Soft Mild. First. Second.'),
    ('B02', 'Hair spray'),
    ('B03', 'Unknown product'),
    ('B04', 'Unknown product'),
  ]
  assert tables.notes == {'events_read': 6, 'repeats_left_out': 1, 'items_without_text': 2}


def test_long_texts_are_cut_far_behind_what_an_encoder_reads(tmp_path):
  examples.amazon_reviews(tmp_path)
  text = _read('amazon_reviews', tmp_path, text_length=3).items['text'][0]
  assert text == 'Crème "N". Yes To. Beauty, Skin. Soft Mild. First. Second.'[:48]


def test_one_of_several_categories_is_named(tmp_path):
  examples.amazon_reviews(tmp_path)
  shutil.copy(tmp_path / 'All_Beauty.jsonl.gz', tmp_path / 'Software.jsonl.gz')
  with pytest.raises(InputError, match=r'several files of events: All_Beauty.jsonl.gz, Software'):
    _read('amazon_reviews', tmp_path)
  with pytest.raises(InputError, match=r'no meta_Software.jsonl or meta_Software.jsonl.gz; give'):
    _read('amazon_reviews', tmp_path, interactions='Software.jsonl.gz')
  tables = _read('amazon_reviews', tmp_path, interactions='All_Beauty.jsonl.gz')
  assert _events(tables, 'rating') == AMAZON_EVENTS


def test_yambda_listens(tmp_path):
  examples.yambda(tmp_path)
  tables = _read('yambda', tmp_path)
  # These times would be dates like 19970920 in a table of a user's own; here they are seconds.
  assert _events(tables, 'rating') == [
    ('10', '9', 20, 50.0),
    ('10', '7', 19_970_920, 30.0),
    ('20', '7', 19_970_920, 100.0),
    ('20', '8', 19_970_925, 120.0),
  ]
  assert tables.items.rows() == [
    ('7', 'artist 12, 40. album 5'),
    ('8', 'artist 3'),
    ('9', 'Unknown track'),
  ]
  assert tables.notes == {'events_read': 5, 'repeats_left_out': 1, 'items_without_text': 1}


def test_repeated_listens_stay_where_they_are_asked_for(tmp_path):
  examples.yambda(tmp_path)
  path = tmp_path / 'flat/50m/listens.parquet'
  frame = pl.read_parquet(path)
  pl.concat([frame, frame.tail(1)]).write_parquet(path)
  tables = _read('yambda', tmp_path, repeats=True)
  assert [row[3] for row in _events(tables, 'rating')] == [50.0, 30.0, 100.0, 120.0, 100.0]
  # The last row is there twice: one listen, not two.
  assert tables.notes['repeats_left_out'] == 1


def test_yambda_likes_are_implicit(tmp_path):
  examples.yambda(tmp_path)
  tables = _read('yambda', tmp_path, interactions='likes.parquet')
  assert 'rating' not in tables.interactions.columns
  assert len(tables.interactions) == 4
  with pytest.raises(InputError, match=r'no dislikes.parquet; give'):
    _read('yambda', tmp_path, interactions='dislikes.parquet')


def test_one_of_several_sizes_of_yambda_is_named_by_its_path(tmp_path):
  examples.yambda(tmp_path)
  shutil.copytree(tmp_path / 'flat/50m', tmp_path / 'flat/500m')
  names = 'flat/500m/listens.parquet, flat/50m/listens.parquet'
  with pytest.raises(InputError, match=f'several files of events: {names}; name one by --config'):
    _read('yambda', tmp_path)
  tables = _read('yambda', tmp_path, interactions='flat/50m/listens.parquet')
  assert len(tables.interactions) == 4


def test_yambda_without_artists_and_albums_warns(tmp_path, caplog):
  examples.yambda(tmp_path)
  (tmp_path / 'artist_item_mapping.parquet').unlink()
  (tmp_path / 'album_item_mapping.parquet').unlink()
  tables = _read('yambda', tmp_path)
  assert set(tables.items['text']) == {'Unknown track'}
  assert 'no artist_item_mapping.parquet' in caplog.text
  assert 'no album_item_mapping.parquet' in caplog.text


def _utc(*fields):
  return int(datetime.datetime(*fields, tzinfo=datetime.UTC).timestamp())


def test_mind_clicks_of_all_parts(tmp_path):
  examples.mind(tmp_path)
  tables = _read('mind', tmp_path)
  noon = _utc(2019, 11, 12, 12, 11, 30)
  assert _events(tables) == [
    ('U13740', 'N2', _utc(2019, 11, 11, 9, 5, 58)),
    ('U91836', 'N10', noon),
    ('U91836', 'N3', noon),
    ('U13740', 'N3', _utc(2019, 11, 15, 0, 0, 1)),
  ]
  assert tables.items.rows() == [
    ('N10', 'Game over?. sports, football_nfl'),
    ('N2', 'The "Ice. news, newsworld. An abstract'),
    ('N3', 'Unknown news article'),
  ]
  assert tables.notes['impressions_without_labels_left_out'] == 1
  assert tables.notes['repeats_left_out'] == 1
  train = _read('mind', tmp_path / 'MINDsmall_train')
  assert len(train.interactions) == 3
  chosen = _read('mind', tmp_path, interactions='MINDsmall_train/behaviors.tsv')
  assert chosen.interactions.equals(train.interactions)


def _replace(name, old, new):
  def change(folder):
    path = next(folder.rglob(name))
    path.write_bytes(path.read_bytes().replace(old, new))

  return change


def _unlink(name):
  return lambda folder: [path.unlink() for path in folder.rglob(name)]


def _write(name, content):
  return lambda folder: next(folder.rglob(name)).write_bytes(content)


def _sequential(folder):
  frame = pl.read_parquet(folder / 'flat/50m/listens.parquet')
  frame.group_by('uid').agg(pl.all()).write_parquet(folder / 'flat/50m/listens.parquet')


def _drop(name, column):
  def change(folder):
    path = next(folder.rglob(name))
    pl.read_parquet(path).drop(column).write_parquet(path)

  return change


_GROUPLENS = 'MovieLens-1M, from https://grouplens.org/datasets/movielens'


@pytest.mark.parametrize(
  ('source', 'change', 'message'),
  [
    ('movielens_1m', _unlink('ratings.dat'), f'no ratings.dat; give .* {_GROUPLENS}'),
    ('movielens_1m', _unlink('movies.dat'), f'no movies.dat; give .* {_GROUPLENS}'),
    ('movielens_1m', _write('ratings.dat', b''), 'ratings.dat is empty'),
    ('movielens_1m', _write('ratings.dat', b'1::2::3::4\n'), 'of the one user "1"; give'),
    (
      'movielens_1m',
      _replace('ratings.dat', b'2::978300760', b'x::9'),
      'row 4 has no valid rating',
    ),
    ('movielens_1m', _replace('ratings.dat', b'::978302109', b''), 'row 3 has no valid user_id'),
    ('movielens_1m', _replace('movies.dat', b'::', b','), 'row 1 is not MovieID::Title::Genres'),
    ('movielens_25m', _unlink('ratings.csv'), 'no ratings.csv; give .* MovieLens-25M, from'),
    ('movielens_25m', _replace('ratings.csv', b'movieId', b'item'), 'no column "movieId" among'),
    ('movielens_25m', _write('movies.csv', b'movieId,title\n1,A\n'), 'no column "genres" among'),
    ('movielens_25m', _replace('tags.csv', b'tag,', b'word,'), 'tags.csv: no column "tag" among'),
    ('movielens_25m', _replace('ratings.csv', b',4.0', b',nan'), 'row 4 has no valid rating'),
    (
      'movielens_25m',
      _write('ratings.csv', b'userId,movieId,rating,timestamp\n'),
      'ratings.csv: no events; give that of MovieLens-25M',
    ),
    ('amazon_reviews', _unlink('A*'), r'no CATEGORY.jsonl\[.gz\] or .* Amazon Reviews 2023, from'),
    (
      'amazon_reviews',
      _write('A*', gzip.compress(b'{"reviewerID": "A", "asin": "B"}\n')),
      'row 1 has no valid user_id',
    ),
    (
      'amazon_reviews',
      _write('A*', gzip.compress(b'none\n')),
      r'cannot be read \(.*\); get it anew',
    ),
    ('amazon_reviews', _write('A*', gzip.compress(b'{}\n')[:12]), r'cannot be read \(.*\); get it'),
    (
      'amazon_reviews',
      _write('meta*', gzip.compress(b'{"parent_asin": "B01", "features": 3}\n')),
      r'cannot be read \(.*\); get it anew from https://amazon',
    ),
    ('yambda', _unlink('listens.parquet'), 'no listens.parquet; give .* of Yambda, from https'),
    ('yambda', _write('listens.parquet', b'uid,item_id\n'), r'cannot be read \(.*\); get it anew'),
    ('yambda', _drop('listens.parquet', 'uid'), 'no column "uid" among timestamp, item_id'),
    ('yambda', _drop('artist*', 'artist_id'), 'artist_item_mapping.parquet: no column "artist_id"'),
    ('yambda', _sequential, r'the sequential layout\); give that of the folder flat'),
    (
      'mind',
      _unlink('behaviors.tsv'),
      'no behaviors.tsv; give .* MIND, the Microsoft News Dataset, from https://msnews',
    ),
    ('mind', _unlink('news.tsv'), 'no news.tsv; give'),
    ('mind', _replace('news.tsv', b'\t[]', b''), '6 columns set apart by tabs, not 8'),
    ('mind', _replace('behaviors.tsv', b'/2019 1', b'.2019 1'), 'row 2 has no valid time'),
  ],
)
def test_what_is_not_as_published_is_one_line(tmp_path, source, change, message):
  WRITERS[source](tmp_path)
  change(tmp_path)
  with pytest.raises(InputError, match=message) as error:
    _read(source, tmp_path)
  assert '\n' not in str(error.value)


def test_impressions_without_any_click_are_refused(tmp_path):
  examples.mind(tmp_path)
  for path in tmp_path.rglob('behaviors.tsv'):
    path.write_text(path.read_text().replace('-1', ''))
  with pytest.raises(InputError, match=r'behaviors.tsv: no events; give that of MIND'):
    _read('mind', tmp_path)


@pytest.mark.parametrize('source', FORMATS)
def test_the_folder_is_asked_for_by_the_official_name(source, tmp_path):
  name = re.escape(_official(source))
  with pytest.raises(InputError, match=f'^no folder given; .*--config.data.folder=DIR .*{name}'):
    _read(source, '')
  with pytest.raises(InputError, match=f'none: no such folder; .*{name}'):
    _read(source, tmp_path / 'none')


def _official(source):
  names = {'movielens_1m': 'MovieLens-1M', 'movielens_25m': 'MovieLens-25M', 'mind': 'MIND'}
  return (names | {'amazon_reviews': 'Amazon Reviews 2023', 'yambda': 'Yambda'})[source]


def test_copies_that_a_mac_packs_beside_files_are_no_files(tmp_path):
  examples.amazon_reviews(tmp_path)
  (tmp_path / '__MACOSX').mkdir()
  (tmp_path / '__MACOSX/._All_Beauty.jsonl.gz').write_bytes(b'\0\5\x16')
  assert _events(_read('amazon_reviews', tmp_path), 'rating') == AMAZON_EVENTS
