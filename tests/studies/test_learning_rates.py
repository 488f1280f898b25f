"""The range test of a run: what it needs, what it writes, and that it leaves the run alone."""

import pathlib

import numpy as np
import pytest

from rec_jax.models.hugging_face import folder
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.studies import learning_rates
from rec_jax.tasks import saved_models
from rec_jax.training.optimizers import OPTIMIZERS
from rec_jax.types import InputError
from tests.helpers import small

QWEN = pathlib.Path(__file__).parents[1] / 'data/encoders/qwen3'


@pytest.fixture
def workdir(tmp_path, monkeypatch):
  """A run that has come to its text encoder."""
  config, directory = small.config(tmp_path, text_model=str(QWEN)), tmp_path / 'run'
  config.finetune.variants = 'id_only'
  dataset = small.dataset()
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  for stage in ('prepare', 'pretrain'):
    directory_of_stage = runs.start(config, directory, stage)
    runs.finish(directory_of_stage, [])
  saved_models.save(directory / 'pretrain' / 'model', folder.load(QWEN), 0, {})
  return directory


@pytest.mark.soak
def test_a_page_shows_where_the_loss_falls_fastest(workdir):
  before = (workdir / 'manifest.json').read_text()
  found, path = learning_rates.find(workdir, 'finetune', '', 1.0, 40)
  np.testing.assert_allclose(found.rate[:40], np.geomspace(1e-6, 1, 40)[: len(found.rate)], 1e-4)
  assert 1e-6 < found.steepest <= found.least <= 1
  page = path.read_text()
  assert f'--config.finetune.learning_rate={found.steepest:.2g}' in page
  assert page.count('<img') == 1 and 'adamw' in page
  assert (workdir / 'manifest.json').read_text() == before
  assert not (workdir / 'finetune').exists()


def test_a_stage_that_is_not_there_is_one_line(workdir):
  with pytest.raises(InputError, match='no finished stage finetune') as error:
    learning_rates.find(workdir, 'distil', '', 1.0, 40)
  assert '\n' not in str(error.value)


def test_the_flags_name_every_optimizer_and_stage():
  script = (pathlib.Path(__file__).parents[2] / 'experiments/learning_rates.py').read_text()
  for name in (*OPTIMIZERS, *learning_rates.STAGES):
    assert f"'{name}'" in script
