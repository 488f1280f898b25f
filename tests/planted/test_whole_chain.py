"""The scripts, from planted tables to metrics.json: the teacher stands above popularity."""

import dataclasses
import json

import pytest

from rec_jax.stages.evaluate import compared_models, ranking_comparison
from tests import test_end_to_end
from tests.helpers import small
from tests.planted import training, world


@pytest.mark.soak
def test_the_teacher_ends_above_popularity(tmp_path):
  data = world.write_tables(world.make(0), tmp_path)
  config = small.config(tmp_path)
  config = dataclasses.replace(
    config,
    data=data,
    finetune=dataclasses.replace(training.FINETUNE, encoder_start=20, encoder_steps=20),
    # As many directions as the token vectors of the small encoder have.
    distil=training.DISTIL,
  )
  test_end_to_end.run('pipeline', config, tmp_path / 'run')
  lead = ranking_comparison.difference_name(compared_models.TEACHER, compared_models.POPULARITY)
  rows = [
    row
    for row in json.loads((tmp_path / 'run/metrics.json').read_text())
    if row['subject'] == lead and row['protocol'].startswith(ranking_comparison.NEXT_ITEM)
  ]
  low = {row['metric']: row['low'] for row in rows}
  assert low['recall@10'] > 0, rows
  assert low['ndcg@10'] > 0, rows
