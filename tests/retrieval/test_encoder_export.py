"""The encoder of a run as a folder: with its low-rank terms merged, or as pre-training left it."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models.hugging_face import folder
from rec_jax.retrieval import encoder_export
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.tasks import item_to_item, next_item, saved_models
from rec_jax.types import InputError
from tests.helpers import small
from tests.models import modules

QWEN = pathlib.Path(__file__).parents[1] / 'data/encoders/qwen3'


def finished(config, workdir, stage):
  directory = runs.start(config, workdir, stage)
  runs.finish(directory, [])
  return directory


@pytest.fixture
def workdir(tmp_path, monkeypatch):
  """A run whose stages hold models that nothing has trained, but for the low-rank terms."""
  config, directory = small.config(tmp_path, text_model=str(QWEN)), tmp_path / 'run'
  dataset = small.dataset()
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  finished(config, directory, 'prepare')
  saved_models.save(finished(config, directory, 'pretrain') / 'model', folder.load(QWEN), 0, {})
  num_items = dataset.items.num_items
  rank = item_to_item.rank('teacher', config.finetune, num_items)
  model = next_item.new_model(
    'teacher', folder.load(QWEN), config.finetune, num_items, 0, linear_rank=rank
  )
  adapted = model.encoder.transformer.blocks[1].attention.value
  adapted.lora_b[...] = jnp.ones(adapted.lora_b.shape)
  place = finished(config, directory, 'finetune') / 'seed_0/teacher'
  artefacts.save_two_tower(config, place, model, 0, folder.load(QWEN))
  change = np.asarray(adapted.lora_a[...] @ adapted.lora_b[...])
  return directory, change


def test_the_encoder_of_the_teacher_has_its_low_rank_terms_in_its_weights(workdir, tmp_path):
  directory, change = workdir
  encoder_export.export(directory, tmp_path / 'out')
  before, after = (modules.flat(folder.load(path)) for path in (QWEN, tmp_path / 'out'))
  assert set(before) == set(after)
  place = ('transformer', 'blocks', 1, 'attention', 'value', 'kernel')
  np.testing.assert_allclose(after.pop(place), before.pop(place) + change, atol=1e-6)
  for path, value in before.items():
    np.testing.assert_array_equal(value, after[path], str(path))


def test_that_of_pretraining_is_as_it_was_saved(workdir, tmp_path):
  encoder_export.export(workdir[0], tmp_path / 'out', 'pretrain')
  before, after = (modules.flat(folder.load(path)) for path in (QWEN, tmp_path / 'out'))
  for path, value in before.items():
    np.testing.assert_array_equal(value, after[path], str(path))


def test_a_workdir_without_a_run_is_refused(tmp_path):
  with pytest.raises(InputError, match='has no manifest.json'):
    encoder_export.export(tmp_path / 'run', tmp_path / 'out')
  assert not list(tmp_path.iterdir())
