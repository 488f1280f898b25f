"""Small files in the form in which each data set is published, with the traps of the real ones."""

import gzip
import json
import pathlib

import polars as pl


def movielens_1m(folder: pathlib.Path) -> None:
  """Two users, three films with events, one without; titles in latin-1, one with "::" in it."""
  ratings = ['2::3::4::978300761', '1::1193::5::978300760', '1::661::3::978302109']
  ratings += ['2::1193::2::978300760', '1::3::1::978302109']
  (folder / 'ratings.dat').write_text('\n'.join(ratings) + '\n')
  movies = [
    '3::Grumpier::Old Men (1995)::Comedy|Romance',
    '661::Misérables, Les (1995)::Drama|Musical',
    '1193::Up \x85 Down::Drama',
    '4000::Nobody (2000)::Drama',
  ]
  (folder / 'movies.dat').write_bytes(('\r\n'.join(movies) + '\r\n').encode('latin-1'))
  (folder / 'users.dat').write_text('1::F::1::10::48067\n2::M::56::16::70072\n')


def movielens_25m(folder: pathlib.Path) -> None:
  """Ten events, of which the cut of 70% lies at second 108; a film is missing from movies.csv."""
  events = [(1, 1, 5.0), (2, 1, 0.5), (1, 2, 3.5), (2, 2, 4.0), (3, 1, 4.5)]
  events += [(3, 2, 2.0), (3, 9, 3.0), (1, 9, 1.0), (4, 1, 4.0), (4, 2, 3.0)]
  rows = [f'{user},{film},{stars},{101 + i}' for i, (user, film, stars) in enumerate(events)]
  (folder / 'ratings.csv').write_text('\n'.join(['userId,movieId,rating,timestamp', *rows]) + '\n')
  (folder / 'movies.csv').write_text(
    'movieId,title,genres\n'
    '1,"American President, The (1995)",Comedy|Drama\n'
    '2,"He said ""Ça va"" ",(no genres listed)\n'
    '3,Unseen (1995),Drama\n',
    encoding='utf-8',
  )
  (folder / 'tags.csv').write_text(
    'userId,movieId,tag,timestamp\n'
    '1,1,politics,101\n'
    '1,1,Romance,101\n'
    '2,1,romance,107\n'
    # The first event after the cut is at 108.
    '3,1,late,108\n'
    '3,2,late,109\n'
  )


REVIEWS = [
  ('AE2', 'B01', 5.0, 1_588_687_728_923),
  ('AE1', 'B01', 4.0, 1_588_687_728_100),
  ('AE1', 'B02', 1.0, 1_588_615_855_070),
  # The same product again, another variant of it.
  ('AE1', 'B01', 2.0, 1_588_700_000_000),
  # No row of meta has this one.
  ('AE2', 'B03', 3.0, 1_589_665_266_052),
  ('AE2', 'B04', 3.0, 1_589_665_266_053),
]


def _write_json(path: pathlib.Path, rows: list[dict]) -> None:
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  path.write_bytes(gzip.compress(text.encode()) if path.suffix == '.gz' else text.encode())


def amazon_meta(folder: pathlib.Path, name: str = 'meta_All_Beauty.jsonl.gz') -> None:
  """Of mixed types, as they are: prices as numbers, texts and nothing, details as objects."""
  rest = {'main_category': 'All Beauty', 'images': [{'thumb': 'x'}], 'videos': []}
  products = [
    {
      **{'parent_asin': 'B02', 'title': 'Hair  spray', 'store': None, 'price': 'from 3'},
      **{'categories': [], 'features': [], 'description': []},
      'details': {},
    },
    {
      **{'parent_asin': 'B01', 'title': 'Crème "N"', 'store': 'Yes To', 'price': 9.5},
      **{'categories': ['Beauty', 'Skin'], 'features': ['Soft', 'Mild']},
      'description': ['First.', 'Second.'],
      'details': {'Size': {'a': 1}},
    },
    {'parent_asin': 'B04', 'title': None, 'store': '', 'price': None, 'features': None},
    {'parent_asin': 'B99', 'title': 'Without reviews', 'store': None},
  ]
  _write_json(folder / name, [rest | product for product in products])


def amazon_reviews(folder: pathlib.Path, name: str = 'All_Beauty.jsonl.gz') -> None:
  """Two users; a product is reviewed twice, one has no meta row and one no title there."""
  rest = {'title': 'Good', 'text': 'Line\nbreak', 'images': [], 'verified_purchase': True}
  names = ('user_id', 'parent_asin', 'rating', 'timestamp')
  rows = [rest | dict(zip(names, row, strict=True)) | {'asin': 'V1'} for row in REVIEWS]
  _write_json(folder / name, rows)
  amazon_meta(folder)


def amazon_rating_only(folder: pathlib.Path, name: str = 'All_Beauty.csv') -> None:
  """The same events as a table."""
  rows = [','.join(map(str, row)) for row in REVIEWS]
  text = '\n'.join(['user_id,parent_asin,rating,timestamp', *rows]) + '\n'
  (folder / name).write_bytes(
    gzip.compress(text.encode()) if name.endswith('gz') else text.encode()
  )
  amazon_meta(folder)


def yambda(folder: pathlib.Path) -> None:
  """Listens and likes in flat/50m, artists and albums beside; times that look like dates."""
  flat = folder / 'flat/50m'
  flat.mkdir(parents=True)
  listens = {
    'uid': [10, 20, 20, 10, 10],
    'timestamp': [19_970_920, 19_970_920, 19_970_925, 19_970_930, 20],
    'item_id': [7, 7, 8, 7, 9],
    'is_organic': [1, 0, 1, 1, 1],
    'played_ratio_pct': [30, 100, 120, 100, 50],
    'track_length_seconds': [180, 180, 240, 180, 200],
  }
  types = {'is_organic': pl.UInt8, 'played_ratio_pct': pl.UInt16}
  frame = pl.DataFrame(listens).cast(pl.UInt32).cast(types)
  frame.write_parquet(flat / 'listens.parquet')
  frame.drop('played_ratio_pct', 'track_length_seconds').write_parquet(flat / 'likes.parquet')
  frame.write_parquet(flat / 'dislikes.parquet')
  artists = {'artist_id': [40, 12, 3], 'item_id': [7, 7, 8]}
  pl.DataFrame(artists).cast(pl.UInt32).write_parquet(folder / 'artist_item_mapping.parquet')
  albums = {'album_id': [5, 6], 'item_id': [7, 1000]}
  pl.DataFrame(albums).cast(pl.UInt32).write_parquet(folder / 'album_item_mapping.parquet')


def mind(folder: pathlib.Path) -> None:
  """Train and dev, an empty history, two clicks at once, none, and an impression of the test."""
  parts = {
    'MINDsmall_train': (
      '1\tU13740\t11/11/2019 9:05:58 AM\tN1 N9\tN2-1 N10-0\n'
      '2\tU91836\t11/12/2019 12:11:30 PM\t\tN2-0 N10-1 N3-1\n'
      '3\tU91836\t11/12/2019 12:00:00 AM\t\tN1-0 N11-0\n',
      'N2\tnews\tnewsworld\tOf train\tAn abstract\thttps://x\t[]\t[]\n'
      'N10\tsports\tfootball_nfl\tGame over?\t\thttps://y\t[]\t[]\n'
      'N11\tsports\tgolf\tNobody\tclicked\thttps://y\t[]\t[]\n',
    ),
    'MINDsmall_dev': (
      '1\tU13740\t11/15/2019 12:00:01 AM\tN1 N9\tN3-1 N2-1\n'
      '2\tU5\t11/15/2019 1:00:00 PM\tN1\tN3 N2\n',
      # As in train but for the title: of the parts by the alphabet, the first one counts.
      'N2\tnews\tnewsworld\tThe "Ice\tAn abstract\thttps://x\t[]\t[]\n'
      'N10\tsports\tfootball_nfl\tGame over?\t\thttps://y\t[]\t[]\n',
    ),
  }
  for name, (behaviors, news) in parts.items():
    (folder / name).mkdir()
    (folder / name / 'behaviors.tsv').write_text(behaviors)
    (folder / name / 'news.tsv').write_text(news)
