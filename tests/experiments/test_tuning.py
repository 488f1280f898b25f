"""The study of tuning on random data: its columns are there, and say what the methods cost."""

import dataclasses
import json

import pytest

from experiments import studies
from experiments.studies import chain
from rec_jax.runs import artefacts, study
from rec_jax.runs import workdir as workdirs
from rec_jax.tasks import item_to_item, next_item, saved_models, text_encoders
from tests.helpers import small
from tests.models import modules

VARIANTS = 'last 2 blocks', 'LoRA, rank 2'


@pytest.fixture
def untrained(monkeypatch):
  """Stages that save what they begin with: the chain itself is trained in other tests."""
  dataset = small.dataset()

  def run(config, stages, root):
    workdir = root / config.finetune.encoder_method
    if not workdirs.is_finished(workdir, 'finetune'):
      directories = {
        name: workdirs.start(config, workdir, name) for name in ('pretrain', 'finetune')
      }
      encoder, num_items = modules.random(small.encoder), dataset.items.num_items
      saved_models.save(directories['pretrain'] / 'model', encoder, 0, {})
      rank = item_to_item.rank(config.finetune.variants, config.finetune, num_items)
      variant, settings = config.finetune.variants, config.finetune
      model = modules.random(
        lambda: next_item.new_model(variant, small.encoder(), settings, num_items, 0, rank)
      )
      place = directories['finetune'] / f'seed_{config.seed}/{config.finetune.variants}'
      artefacts.save_two_tower(config, place, model, 0, encoder)
      for directory in directories.values():
        workdirs.finish(directory, [])
    return workdir, dataset

  monkeypatch.setattr(chain, '_run', run)
  monkeypatch.setattr(text_encoders, 'initial', small.encoder)


def test_the_table_says_what_trains_what_it_takes_and_what_it_finds(untrained, tmp_path):
  declared = studies.load('tuning')
  config = small.config(tmp_path)
  config.finetune.variants = 'text_only'
  own = dataclasses.replace(
    declared,
    config=config,
    variants={name: declared.variants[name] for name in VARIANTS},
    baseline='last 2 blocks',
    seeds=(0,),
  )
  assert study.run('tuning', own, tmp_path / 'study')
  rows = json.loads((tmp_path / 'study/metrics.json').read_text())
  table = {(row['subject'], row['metric']): row['value'] for row in rows}
  metrics = {metric for _, metric in table}
  assert {f'next item, {name}@10' for name in ('recall', 'ndcg')} <= metrics
  assert {
    'next item if it is rare, recall@10',
    'unseen items among themselves, recall@10',
  } <= metrics
  trained = [table[name, 'parameters of the encoder that train'] for name in VARIANTS]
  # One block of width 8: four square projections and two matrices of 8 x 16 with their biases, two
  # norms; rank 2 of two projections.
  assert trained == [4 * 72 + 8 * 16 * 2 + 24 + 4 * 8, 2 * 2 * (8 + 8)]
  more, less = (table[name, 'peak memory of a step, MB'] for name in VARIANTS)
  assert more > less > 0
  assert all(table[name, 'time of a step, ms'] > 0 for name in VARIANTS)
