"""The checkpoints of pre-training, judged by themselves."""

import dataclasses

from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.tasks import text_encoders
from tests.helpers import small
from tests.tasks.test_masked_language_modelling import texts


def test_checkpoints_give_the_losses_that_the_stage_reported(tmp_path, monkeypatch):
  ids, mask = texts()
  dataset = dataclasses.replace(small.dataset(), corpus_ids=ids, corpus_mask=mask)
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  monkeypatch.setattr(text_encoders, 'initial', small.encoder)
  config = small.config(tmp_path)
  runs.finish(runs.start(config, tmp_path / 'run', 'prepare'), [])
  pretrain.run(config, tmp_path / 'run')
  reported = runs.read_metrics(tmp_path / 'run', 'pretrain')
  # Four losses, three of retrieval, two of isotropy for each encoder, and which is handed on.
  assert len(reported) == 12
  assert pretrain.evaluate_checkpoints(config, tmp_path / 'run') == reported
