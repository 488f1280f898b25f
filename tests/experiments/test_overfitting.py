"""The study of remedies on a small world: what is memorised, and that a remedy lowers it."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from experiments.studies import chain, overfitting
from rec_jax.runs import study as studies
from rec_jax.tasks import next_item
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import loop
from rec_jax.types import InputError
from tests.helpers import small

SIZES = {
  'dim': 16,
  'learning_rate': 0.05,
  'num_steps': 100,
  'num_heads': 2,
  'history_length': 10,
  'batch_size': 16,
  'num_predictions': 100,
  'encoder_blocks': 1,
}


@pytest.fixture
def declared(monkeypatch, tmp_path):
  """The study with two of its remedies, on random events that nothing can be learnt from."""
  dataset, encoder = small.dataset(num_users=60, num_items=30, num_events=900), small.encoder()
  text = next_item.catalogue_text(encoder, dataset, FinetuneConfig(**SIZES))
  monkeypatch.setattr(chain, 'pretrained', lambda config, root: tmp_path)
  monkeypatch.setattr(overfitting, '_catalogue', lambda workdir: (dataset, encoder, text))
  whole = overfitting.get_study()
  fields = {f'chain.finetune.{name}': value for name, value in SIZES.items()}
  config = studies.override(whole.config, {'shares': '0.2', **fields})
  kept = {name: whole.variants[name] for name in ('early stopping', 'none')}
  # Both train alike and differ in which weights they take: one run serves them.
  train, states = loop.train, []

  def once(*arguments):
    if not states:
      states.append(train(*arguments))
    return states[0]

  monkeypatch.setattr(loop, 'train', once)
  return dataclasses.replace(whole, config=config, variants=kept, seeds=range(1))


@pytest.mark.soak
def test_without_a_remedy_a_model_memorises_and_stopping_early_makes_it_memorise_less(
  declared, tmp_path
):
  assert studies.run('overfitting', declared, tmp_path / 'study')
  values = pl.read_parquet(tmp_path / 'study' / 'per_unit.parquet')
  mean = {
    key: group['value'].mean()
    for key, group in values.group_by('variant', 'metric', maintain_order=True)
  }
  gap = {name: mean[name, '20% of the events, gap'] for name in declared.variants}
  tested = {name: mean[name, '20% of the events, NDCG@10'] for name in declared.variants}
  # What was trained on is ranked far above what was not, of which nothing can be known.
  assert gap['none'] > 0.25
  assert gap['early stopping'] < gap['none'] - 0.02
  assert 0 < tested['none'] < 0.4
  assert values['metric'].n_unique() == 3


@pytest.mark.parametrize('shares', ['a', '0', '0.1,2', ''])
def test_wrong_shares_are_one_line(declared, tmp_path, shares):
  config = dataclasses.replace(declared.config, shares=shares)
  with pytest.raises(InputError, match=r'set --config.shares to shares, as 0.01,0.1,1$'):
    overfitting.measure(config, tmp_path)


def test_each_remedy_differs_from_none_and_undoes_nothing_of_it():
  """Only the defaults of a run turn on what `none` turns off."""
  none = overfitting.get_study().config.chain.finetune
  for name, fields in overfitting.REMEDIES.items():
    changed = {field for field, value in fields.items() if getattr(none, field) != value}
    assert changed == set(fields), name
  assert np.isclose(none.dropout_rate + none.weight_decay + none.ema_decay + none.patience, 0)
