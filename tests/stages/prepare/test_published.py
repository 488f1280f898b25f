"""The stage on each published data set, from files of its form to what later stages read."""

import json

import numpy as np
import polars as pl
import pytest

from configs import amazon_reviews, mind, movielens_1m, movielens_25m, yambda
from rec_jax.data.formats.registry import FORMATS
from rec_jax.runs import artefacts
from rec_jax.stages.prepare import stage as prepare


def _movielens_1m(folder, events):
  rows = ['::'.join(map(str, row)) for row in events]
  (folder / 'ratings.dat').write_text('\n'.join(rows))
  (folder / 'movies.dat').write_text('\n'.join(f'{i}::Film {i} (1990)::Drama' for i in range(20)))


def _movielens_25m(folder, events):
  rows = [','.join(map(str, row)) for row in events]
  (folder / 'ratings.csv').write_text('\n'.join(['userId,movieId,rating,timestamp', *rows]))
  films = [f'{i},Film {i} (1990),Drama' for i in range(20)]
  (folder / 'movies.csv').write_text('\n'.join(['movieId,title,genres', *films]))


def _amazon_reviews(folder, events):
  names = ('user_id', 'parent_asin', 'rating', 'timestamp')
  rows = [(f'A{user}', f'B{item}', stars, 1000 * time) for user, item, stars, time in events]
  lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
  (folder / 'Software.jsonl').write_text('\n'.join(lines))
  meta = [json.dumps({'parent_asin': f'B{i}', 'title': f'Film {i}'}) for i in range(20)]
  (folder / 'meta_Software.jsonl').write_text('\n'.join(meta))


def _yambda(folder, events):
  names = ('uid', 'item_id', 'played_ratio_pct', 'timestamp')
  frame = pl.DataFrame(events, schema=names, orient='row')
  frame.with_columns(pl.col('played_ratio_pct') * 20).write_parquet(folder / 'listens.parquet')
  artists = {'item_id': range(20), 'artist_id': [i // 2 for i in range(20)]}
  pl.DataFrame(artists).write_parquet(folder / 'artist_item_mapping.parquet')


def _mind(folder, events):
  rows = [
    f'{i}\tU{user}\t11/{9 + time // 60}/2019 9:{time % 60:02d}:58 AM\t\tN{item}-1 N99-0'
    for i, (user, item, _, time) in enumerate(events)
  ]
  (folder / 'behaviors.tsv').write_text('\n'.join(rows))
  news = [f'N{i}\tnews\tworld\tFilm {i}\tAn abstract\t\t[]\t[]' for i in range(20)]
  (folder / 'news.tsv').write_text('\n'.join(news))


CASES = {
  'movielens_1m': (movielens_1m, _movielens_1m, '{}', 'Film {} (1990). Drama'),
  'movielens_25m': (movielens_25m, _movielens_25m, '{}', 'Film {} (1990). Drama'),
  'amazon_reviews': (amazon_reviews, _amazon_reviews, 'B{}', 'Film {}'),
  'yambda': (yambda, _yambda, '{}', 'artist {}'),
  'mind': (mind, _mind, 'N{}', 'Film {}. news, world. An abstract'),
}


@pytest.mark.parametrize('source', FORMATS)
def test_prepare_reads_a_published_data_set(source, tmp_path):
  rng = np.random.default_rng(0)
  pairs = rng.permutation(8 * 20)[:100]
  columns = (pairs // 20, pairs % 20, rng.integers(1, 6, 100), rng.permutation(100))
  events = list(zip(*(column.tolist() for column in columns), strict=True))
  module, write, item_id, text = CASES[source]
  write(tmp_path, events)
  config = module.get_config()
  config.data.folder, config.data.text_length = str(tmp_path), 16
  prepare.run(config, tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  found = dataset.interactions
  in_time = sorted(events, key=lambda event: event[3])
  items = dataset.items.ids[found.item].tolist()
  assert items == [item_id.format(item) for _, item, _, _ in in_time]
  numbers = [int(name.strip('AU')) for name in found.user_ids[found.user]]
  assert numbers == [user for user, *_ in in_time]
  if source == 'mind':
    assert found.rating is None
  else:
    # What counts as a reward: four stars, or half of a track.
    least = 3 if source == 'yambda' else 4
    liked = found.reward(config.data.positive_rating) > 0
    assert liked.tolist() == [stars >= least for _, _, stars, _ in in_time]
  texts = dict(zip(dataset.items.ids, dataset.items.text, strict=True))
  number = 10 // 2 if source == 'yambda' else 10
  assert texts[item_id.format(10)] == text.format(number)
  assert dataset.input_ids.shape == (len(texts), 16)
