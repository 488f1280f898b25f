"""The study on random events: its variants, data without anything new, and its figures."""

import dataclasses

import numpy as np
import pytest

from experiments.studies import chain, cold_start, cold_start_results
from rec_jax.data import splits
from rec_jax.runs import study as studies
from rec_jax.runs.study import override
from rec_jax.stages.evaluate import by_events, by_history
from rec_jax.stages.explore import item_learning
from rec_jax.types import Interactions, ItemTable
from tests.helpers import small

POLICIES = {'uniform, per user', 'greedy, per user'}


@pytest.fixture
def declared(monkeypatch, tmp_path):
  """The study with two baselines and two policies; models are left out."""
  data = small.dataset(num_users=60, num_items=30, num_events=1200)
  vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
  split = splits.split(data.interactions, 30, 0.3, 5, 'cold_item')
  held_out = dataclasses.replace(data, split=split), vectors
  monkeypatch.setattr(chain, 'pretrained', lambda config, root: root / str(config.seed))
  monkeypatch.setattr(cold_start, '_fitted_without_them', lambda workdir: held_out)
  monkeypatch.setattr(chain, 'prepared', lambda config, root: data)
  monkeypatch.setattr(cold_start, '_NUM_TRIALS', 1)
  monkeypatch.setattr(item_learning, '_NUM_PROBES', 5)
  whole = cold_start.get_study()
  kept = {'popularity', 'EASE'} | POLICIES
  return dataclasses.replace(
    whole,
    config=cold_start.ColdStartConfig(num_runs=2, chain=small.config(tmp_path)),
    variants={name: fields for name, fields in whole.variants.items() if name in kept},
    seeds=range(1),
  )


@pytest.mark.soak
def test_models_and_policies_come_into_one_table(declared, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(item_learning, 'NUM_LOGGED', 6)
  monkeypatch.setattr(item_learning, 'FEWEST_JUDGES', 2)
  assert studies.run('cold_start', declared, tmp_path / 'study')
  printed = capsys.readouterr().out
  assert '0 new items' not in printed
  for metric in (
    'history of 0, recall@10',
    'history of 0 minus the whole history, ndcg@10',
    'new items known after 100% of the rounds, minus uniform',
    'rounds until a new item is known, median',
    'more events in all, recall@10',
  ):
    assert metric in printed
  page = (tmp_path / 'study' / 'report' / 'index.html').read_text()
  assert 'new items known, belief per user' in page and 'belief shared' not in page


def test_without_a_new_item_there_are_rows_of_none_and_a_line(declared, tmp_path, capsys):
  fields = declared.variants['greedy, per user']
  found = cold_start.measure(override(declared.config, {'seed': 0, **fields}), tmp_path)
  assert set(found) == set(cold_start_results.OF_POLICIES)
  assert all(len(values.value) == 0 for values in found.values())
  assert '0 new items that 20 visitors and 10 judges can tell of, of ' in capsys.readouterr().out
  # Of items with more than 20 events and of none there is nobody in a small set.
  of_model = cold_start.measure(override(declared.config, {'model': 'popularity'}), tmp_path)
  sizes = {name: len(values.value) for name, values in of_model.items()}
  assert sizes['no event alone, recall@10'] == 0 < sizes['history of 0, recall@10']
  assert set(by_events.metrics()) < set(of_model)


def test_three_items_are_enough_for_models(monkeypatch, tmp_path):
  # Every user meets all three, in an order of their own.
  item = np.random.default_rng(0).permuted(np.tile(np.arange(3), (30, 1)), axis=1).T.ravel()
  events = Interactions(
    user=np.tile(np.arange(30, dtype=np.int32), 3),
    item=item.astype(np.int32),
    timestamp=np.arange(90),
    rating=None,
    user_ids=np.arange(30).astype(str),
  )
  data = dataclasses.replace(
    small.dataset(),
    interactions=events,
    items=ItemTable(np.arange(3).astype(str), np.full(3, 'text')),
    split=splits.split(events, 3, 0.99, 3),
  )
  monkeypatch.setattr(chain, 'prepared', lambda config, root: data)
  config = cold_start.ColdStartConfig(model='ease', chain=small.config(tmp_path))
  found = cold_start.measure(config, tmp_path)
  np.testing.assert_array_equal(found['history of 0, recall@10'].value, 1)


def test_an_empty_history_is_ordered_by_popularity(declared, tmp_path):
  of = {
    name: cold_start.measure(override(declared.config, {'model': name}), tmp_path)
    for name in ('ease', 'popularity')
  }
  metric = f'{by_history.history(0)}, ndcg@10'
  np.testing.assert_array_equal(of['ease'][metric].value, of['popularity'][metric].value)
  assert (of['ease']['whole history, ndcg@10'].value != of['popularity'][metric].value).any()


def test_every_family_is_a_variant_with_each_belief():
  variants = cold_start.get_study().variants
  pairs = {(fields.get('explorer'), fields.get('belief')) for fields in variants.values()}
  assert pairs - {(None, None)} == {
    (explorer, belief) for explorer in item_learning.EXPLORERS for belief in item_learning.BELIEFS
  }
