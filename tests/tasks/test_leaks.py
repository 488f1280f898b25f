"""Whatever is fitted on training events stops where one of them leaks."""

import pathlib

import pytest

from rec_jax.data import splits
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import compared_models
from rec_jax.tasks import events
from tests.stages.evaluate.test_ranking_comparison import dataset


@pytest.mark.parametrize(
  'fit',
  [
    lambda data: events.training_batches(data, Config().finetune, 4.0, 4, seed=0),
    lambda data: compared_models.baselines(Config(), data),
  ],
  ids=['two-tower models and the student', 'baselines'],
)
def test_no_consumer_takes_a_training_event_after_the_cut(fit):
  data = dataset()
  data.split.train_mask[data.split.num_before] = True
  with pytest.raises(ValueError, match='leaks'):
    fit(data)


def test_the_training_mask_is_read_through_the_check_alone():
  """Nobody reads `train_mask` but who makes it, the module that checks it, and who counts."""
  root = pathlib.Path(splits.__file__).parents[1]
  readers = {
    path.relative_to(root).as_posix()
    for path in root.rglob('*.py')
    if 'train_mask' in path.read_text()
  }
  assert readers == {'data/split_protocols.py', 'data/splits.py', 'stages/prepare/stage.py'}
