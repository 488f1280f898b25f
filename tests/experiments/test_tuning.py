"""The study of tuning on random data: its columns are there, and say what the methods cost."""

import pytest

from experiments import studies
from experiments.studies import chain
from rec_jax.runs import artefacts, study
from rec_jax.runs import workdir as workdirs
from rec_jax.tasks import item_to_item, next_item, saved_models, text_encoders
from tests.helpers import small
from tests.models import modules


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


@pytest.mark.soak
def test_a_part_of_the_study_says_what_trains_what_it_takes_and_what_it_finds(untrained, tmp_path):
  declared = studies.load('tuning')
  config = small.config(tmp_path)
  config.finetune.variants = 'text_only'
  config = study.override(config, declared.variants['LoRA, rank 2'])
  found = declared.measure(config, tmp_path / 'study')
  # Of rank 2, in the one block: query and value projections of 8 by 8.
  assert found['parameters of the encoder that train'].value == [2 * 2 * (8 + 8)]
  assert found['peak memory of a step, MB'].value > [0.1]
  assert found['time of a step, ms'].value > [0]
  users = set(found['next item, recall@10'].unit)
  assert users == set(found['next item, ndcg@10'].unit) and len(users) == 20
  assert {'1 to 5 events alone, recall@10', '6 to 20 events in all, ndcg@10'} <= set(found)
