"""The stage from a user's tables to what later stages read.

The tokenizer of the installed MiniLM package is used but where a folder is given. One test reads
MovieLens from its package, because only that source has a film corpus.
"""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import polars as pl
import pytest

from rec_jax.data import sources, splits, tokenizer
from rec_jax.data.config import DataConfig
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config, DistilConfig
from rec_jax.stages.prepare import stage as prepare
from rec_jax.types import InputError


@pytest.fixture
def config(tmp_path) -> Config:
  return _on_tables(tmp_path)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """(config, workdir) of a finished stage, which tests leave as it is."""
  directory = tmp_path_factory.mktemp('prepared')
  config = _on_tables(directory)
  prepare.run(config, directory / 'run')
  return config, directory / 'run'


@pytest.fixture
def copied(prepared, tmp_path):
  """(config, workdir) of a copy, which a test may change."""
  config, workdir = prepared
  return config, shutil.copytree(workdir, tmp_path / 'run')


def _on_tables(directory) -> Config:
  rng = np.random.default_rng(0)
  pairs = rng.permutation(8 * 20)[:100]
  events = {'user_id': pairs // 20, 'item_id': pairs % 20, 'timestamp': rng.permutation(100)}
  pl.DataFrame(events).write_csv(directory / 'events.csv')
  items = {'item_id': range(20), 'title': [f'Item number {i}' for i in range(20)]}
  pl.DataFrame(items).write_parquet(directory / 'items.parquet')
  data = DataConfig(
    source='tables',
    interactions=str(directory / 'events.csv'),
    items=str(directory / 'items.parquet'),
    text_length=8,
    cut=0.3,
  )
  return Config(data=data, distil=DistilConfig(token_dim=8))


def _changed(config: Config, **fields) -> Config:
  return dataclasses.replace(config, data=dataclasses.replace(config.data, **fields))


def test_later_stages_read_what_was_given(prepared):
  config, workdir = prepared
  dataset = artefacts.load_dataset(workdir)
  events = pl.read_csv(config.data.interactions).sort('timestamp')
  users = dataset.interactions.user_ids[dataset.interactions.user]
  assert users.tolist() == events['user_id'].cast(pl.String).to_list()
  assert dataset.interactions.rating is None
  assert dataset.split.num_before == 30
  path = sources.minilm_files().tokenizer
  expected = tokenizer.encode(path, [f'Item number {i}' for i in range(20)], 8)
  np.testing.assert_array_equal(dataset.input_ids, expected[0])
  np.testing.assert_array_equal(dataset.attention_mask, expected[1])
  # The corpus is the text of items that were there before the cut, and of no other.
  warm = ~dataset.split.cold_items
  assert 0 < warm.sum() < 20
  np.testing.assert_array_equal(dataset.corpus_ids, expected[0][warm])
  np.testing.assert_array_equal(dataset.corpus_mask, expected[1][warm])


def test_baskets_sorted_by_item_do_not_ask_for_the_last_item(config, tmp_path, caplog):
  events = pl.read_csv(config.data.interactions)
  events.select('user_id', 'item_id', timestamp=pl.lit(5) + pl.col('user_id')).sort(
    'user_id', 'item_id'
  ).write_csv(config.data.interactions)
  prepare.run(_changed(config, cut=0.9), tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  interactions = dataset.interactions
  highest = [
    max(interactions.item[interactions.user == user])
    for user in interactions.user[dataset.split.test_event]
  ]
  assert (interactions.item[dataset.split.test_event] != highest).sum() >= 4
  assert 'put in random order' in caplog.text
  assert 'drawn' in dataset.notes['order_within_a_moment']


def test_features_are_kept_as_they_were_given(prepared, config, tmp_path):
  items = pl.read_parquet(config.data.items)
  kinds = ['red', 'blue', ''] * 6 + ['red'] * 2
  items.with_columns(kind=pl.Series(kinds), one=pl.lit('a')).write_parquet(config.data.items)
  named = _changed(config, item_categories='kind', moment='weekday')
  prepare.run(named, tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  row = dataset.items.ids.astype(int)
  assert dataset.features.items['kind'].to_list() == [[kinds[i]] * bool(kinds[i]) for i in row]
  # Two kinds, what is unknown, and seven days.
  assert dataset.encoded.encoders.widths == (3, 7)
  plain = artefacts.load_dataset(prepared[1])
  assert plain.fingerprint != dataset.fingerprint and not plain.features.frames
  for changes, message in (
    ({'item_categories': 'one'}, 'column "one" of items is "a" alone'),
    ({'source': 'movielens', 'item_categories': 'kind', 'items': ''}, 'data.source=movielens does'),
  ):
    with pytest.raises(InputError, match=message):
      prepare.run(_changed(config, **changes), tmp_path / 'refused')
    assert not (tmp_path / 'refused').exists()


def test_metrics_hold_the_counts_of_the_split(prepared):
  _, workdir = prepared
  split = artefacts.load_dataset(workdir).split
  rows = json.loads((workdir / 'metrics.json').read_text())
  values = {row['metric']: row['value'] for row in rows}
  assert values['events'] == 100
  assert values['ranked_users'] == len(split.test_event)
  assert values['validation_users'] == len(split.validation_event)
  assert values['younger_training_share'] == pytest.approx(splits.younger_share(split))
  assert values['cold_items'] == split.cold_items.sum()
  assert all('cut at 30%' in row['protocol'] for row in rows)


def test_the_split_that_is_asked_for_is_the_one_that_is_read(config, tmp_path):
  config.data.split, config.data.cut, config.data.min_events = 'global_time', 0.6, 3
  prepare.run(config, tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  expected = splits.split(dataset.interactions, 20, 0.6, 3, 'global_time')
  assert dataset.split.protocol == 'global_time'
  np.testing.assert_array_equal(dataset.split.test_event, expected.test_event)
  assert dataset.split.test_event.min() >= dataset.split.num_before
  rows = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
  assert all('global_time' in row['protocol'] for row in rows)


ENCODERS = pathlib.Path(__file__).parents[2] / 'data/encoders'


@pytest.mark.parametrize('name', ['roberta', 'gpt2'])
def test_a_folder_of_an_encoder_decides_the_tokens(config, tmp_path, name):
  folder = ENCODERS / name
  prepare.run(_changed(config, text_model=str(folder), text_length=5), tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  texts = [f'Item number {i}' for i in range(20)]
  expected = tokenizer.encode(folder / 'tokenizer.json', texts, 5)
  np.testing.assert_array_equal(dataset.input_ids, expected.input_ids)
  np.testing.assert_array_equal(dataset.attention_mask, expected.attention_mask)
  longer = tokenizer.encode(folder / 'tokenizer.json', texts, 24).attention_mask.sum(1) > 5
  rows = json.loads((tmp_path / 'run/metrics.json').read_text())
  values = {row['metric']: row['value'] for row in rows}
  assert values['item_texts_cut'] == longer.sum() > 0
  assert values['corpus_texts_cut'] == longer[~dataset.split.cold_items].sum()


def _broken(tmp_path, name, change):
  folder = tmp_path / name
  shutil.copytree(ENCODERS / name, folder)
  change(folder)
  return folder


def _smaller_vocabulary(folder):
  file = folder / 'tokenizer.json'
  fields = json.loads(file.read_text())
  fields['model']['vocab'] |= {'one': 203}
  file.write_text(json.dumps(fields))


def _no_mask(folder):
  for name in ('tokenizer.json', 'tokenizer_config.json'):
    (folder / name).write_text((folder / name).read_text().replace('[MASK]', '[HIDE]'))
  file = folder / 'tokenizer_config.json'
  fields = json.loads(file.read_text())
  file.write_text(json.dumps({k: v for k, v in fields.items() if k != 'mask_token'}))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (shutil.rmtree, 'config.json: no such file; a model is a folder with config.json'),
    (lambda folder: (folder / 'tokenizer.json').unlink(), 'tokenizer.json: no such file'),
    (lambda folder: (folder / 'model.safetensors').unlink(), 'model.safetensors: not a readable'),
    (lambda folder: (folder / 'config.json').write_text('{}'), 'model_type is None; those known'),
    (_smaller_vocabulary, 'tokenizer.json has 204 ids, but the encoder has vectors for 203'),
    (_no_mask, 'the tokenizer has no token that hides another'),
  ],
)
def test_a_folder_that_does_not_hold_together_is_one_line(config, tmp_path, change, message):
  folder = _broken(tmp_path, 'bert', change)
  with pytest.raises(InputError, match=message) as error:
    prepare.run(_changed(config, text_model=str(folder)), tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_an_encoder_that_changes_in_the_middle_of_a_run_is_noticed(config, tmp_path):
  folder = _broken(tmp_path, 'bert', lambda folder: None)
  config = _changed(config, text_model=str(folder))
  prepare.run(config, tmp_path / 'run')
  artefacts.check_text_model(config, tmp_path / 'run')
  for name in ('config.json', 'tokenizer_config.json', '1_Pooling/config.json'):
    file = folder / name
    before = file.read_text() if file.is_file() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'{before or ""} ')
    for ask in (artefacts.check_text_model, artefacts.load_encoder):
      with pytest.raises(InputError, match=f'^{folder} has changed since .*give another --workdir'):
        ask(config, tmp_path / 'run')
    file.unlink() if before is None else file.write_text(before)
  artefacts.check_text_model(config, tmp_path / 'run')


def test_a_finished_stage_is_not_run_again(prepared):
  config, workdir = prepared
  first = {path: path.stat().st_mtime_ns for path in (workdir / 'prepare').rglob('*')}
  prepare.run(config, workdir)
  assert first == {path: path.stat().st_mtime_ns for path in first}


def test_a_run_that_was_killed_starts_the_stage_anew(prepared, config, tmp_path, monkeypatch):
  def killed(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(tokenizer, 'encode', killed)
    with pytest.raises(KeyboardInterrupt):
      prepare.run(config, tmp_path / 'run')
  with pytest.raises(InputError, match='no finished stage prepare'):
    artefacts.load_dataset(tmp_path / 'run')
  prepare.run(config, tmp_path / 'run')
  fingerprints = [
    artefacts.load_dataset(workdir).fingerprint for workdir in (tmp_path / 'run', prepared[1])
  ]
  assert fingerprints[0] == fingerprints[1]


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'source': 'netflix'}, 'data.source is "netflix"; set --config.data.source'),
    ({'folder': 'ml-1m'}, 'which data.source=tables does not read; set .* movielens_1m or movie'),
    ({'source': 'mind', 'folder': 'MIND'}, 'data.items is given, but data.source=mind finds'),
    ({'items': 'missing.csv'}, 'missing.csv: no such file'),
    ({'min_events': 50}, 'no user has 50 events'),
    ({'text_length': 1}, 'text_length is 1'),
  ],
)
def test_bad_input_leaves_the_workdir_as_it_was(config, tmp_path, fields, message):
  with pytest.raises(InputError, match=message):
    prepare.run(_changed(config, **fields), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_another_config_in_the_same_workdir(copied):
  config, workdir = copied
  with pytest.raises(InputError, match=r'config.data.cut=0.3, not 0.5'):
    prepare.run(_changed(config, cut=0.5), workdir)
  artefacts.load_dataset(workdir)


@pytest.mark.parametrize('pattern', ['dataset.json', 'items.npz', '*users.array_record*'])
@pytest.mark.parametrize('kept', [0.0, 0.5])
def test_a_damaged_file_is_named(copied, pattern, kept):
  _, workdir = copied
  path = next((workdir / 'prepare').rglob(pattern))
  content = path.read_bytes()
  path.write_bytes(content[: int(kept * len(content))])
  with pytest.raises(InputError, match=f'{path.name} is damaged; delete .*prepare and run'):
    artefacts.load_dataset(workdir)


def test_data_of_another_run_are_noticed(copied, tmp_path):
  config, workdir = copied
  prepare.run(_changed(config, cut=0.5), tmp_path / 'other')
  corpus = (tmp_path / 'other' / 'prepare' / 'corpus.npz').read_bytes()
  (workdir / 'prepare' / 'corpus.npz').write_bytes(corpus)
  with pytest.raises(InputError, match=r'corpus.npz is damaged'):
    artefacts.load_dataset(workdir)


@pytest.mark.soak
def test_movielens_keeps_cold_films_out_of_the_corpus(tmp_path):
  prepare.run(Config(), tmp_path / 'run')
  dataset = artefacts.load_dataset(tmp_path / 'run')
  assert dataset.name == 'MovieLens-100k'
  assert dataset.input_ids.shape == (1682, 32)
  assert len(dataset.split.test_event) == 672
  cold = dataset.items.ids[dataset.split.cold_items].tolist()
  assert len(cold) == 109
  expected = sources.film_corpus(1997, cold)
  assert len(dataset.corpus_ids) == len(expected) < len(sources.film_corpus(1997))


def _rated(config: Config, early: float, late: float, **fields) -> Config:
  """The same events with one rating before the cut and one after it."""
  events = pl.read_csv(config.data.interactions).sort('timestamp')
  ratings = [early] * 30 + [late] * 70
  events.with_columns(rating=pl.Series(ratings)).write_csv(config.data.interactions)
  return _changed(config, **fields)


def test_a_reward_that_no_rating_reaches_is_refused(config, tmp_path):
  rated = _rated(config, 3.0, 3.5)
  message = r'^no rating reaches data.positive_rating=4: the highest is 3.5; set --config.data.pos'
  with pytest.raises(InputError, match=message):
    prepare.run(rated, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('ratings', 'expected'),
  [
    ((3.0, 5.0), ['none of the 30 ratings before', 'all of the 70 ratings after']),
    ((4.0, 1.0), ['all of the 30 ratings before', 'none of the 70 ratings after']),
  ],
)
def test_rewards_that_tell_nothing_apart_are_counted(config, tmp_path, caplog, ratings, expected):
  prepare.run(_rated(config, *ratings), tmp_path / 'run')
  warnings = [each.message for each in caplog.records if each.name == prepare.__name__]
  assert [' '.join(line.split()[:6]) for line in warnings] == expected
