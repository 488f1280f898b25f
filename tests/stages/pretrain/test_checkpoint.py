"""The checkpoints of pre-training, judged by themselves."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import encoder_section, judgement
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.tasks import item_folds, text_encoders
from rec_jax.training import loop
from tests.helpers import made_up, small
from tests.tasks.test_masked_language_modelling import texts


def test_checkpoints_give_the_losses_that_the_stage_reported(tmp_path, monkeypatch):
  ids, mask = texts()
  dataset = dataclasses.replace(small.dataset(), corpus_ids=ids, corpus_mask=mask)
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  monkeypatch.setattr(text_encoders, 'initial', functools.partial(small.encoder, num_layers=1))
  config = small.config(tmp_path)
  runs.finish(runs.start(config, tmp_path / 'run', 'prepare'), [])
  pretrain.run(config, tmp_path / 'run')
  reported = runs.read_metrics(tmp_path / 'run', 'pretrain')
  # Four losses, three of retrieval, two of isotropy for each encoder, and which is handed on.
  assert len(reported) == 12
  assert pretrain.evaluate_checkpoints(config, tmp_path / 'run') == reported


@pytest.mark.soak
def test_an_objective_without_a_head_has_one_variant_and_its_own_words(tmp_path, monkeypatch):
  """Hidden items, in every way of computing that a config can name at once."""
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: small.dataset())
  encoder = functools.partial(small.encoder, max_length=17, num_layers=1)
  monkeypatch.setattr(text_encoders, 'initial', encoder)
  config = small.config(tmp_path)
  config.pretrain = dataclasses.replace(
    config.pretrain,
    objective='masked_item',
    history_items=2,
    layout='packed',
    micro_batches=2,
    dtype='bfloat16',
    rematerialise=True,
  )
  workdir = tmp_path / 'run'
  runs.finish(runs.start(config, workdir, 'prepare'), [])
  pretrain.run(config, workdir)
  reported = runs.read_metrics(workdir, 'pretrain')
  losses = [row['subject'] for row in reported if row['metric'] == 'item_loss']
  assert losses == [judgement.BEFORE, judgement.CONTINUED, judgement.DIFFERENCE]
  assert not (workdir / 'pretrain/frozen').exists()
  section = encoder_section.section(made_up.results(rows=reported))
  assert 'tell what a user chose from other items' in section.text
  assert 'head' not in section.tables[0].note


def test_the_best_of_the_validations_is_handed_on(tmp_path, monkeypatch):
  """What comes after it is lost here."""

  def spoilt(task, directory, key, described):
    del directory, described
    state, parts = loop.start(task, key)
    return state.replace(average=jax.tree.map(np.zeros_like, state.average)), parts

  ids, mask = texts()
  dataset = dataclasses.replace(small.dataset(), corpus_ids=ids, corpus_mask=mask)
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  monkeypatch.setattr(text_encoders, 'initial', functools.partial(small.encoder, num_layers=1))
  monkeypatch.setattr(loop, 'train', spoilt)
  config = small.config(tmp_path)
  runs.finish(runs.start(config, tmp_path / 'run', 'prepare'), [])
  pretrain.run(config, tmp_path / 'run')
  rows = runs.read_metrics(tmp_path / 'run', 'pretrain')
  losses = {row['value'] for row in rows if row['metric'] == 'masked_lm_loss'}
  # The last is that of the difference.
  assert len(losses) == 2 and 0 in losses


@pytest.mark.parametrize(
  ('init', 'take', 'takes'),
  [
    ('published', 'better', False),
    ('published', 'continued', True),
    ('random', 'better', True),
  ],
)
def test_unjudged_a_published_encoder_stays_unless_asked(monkeypatch, caplog, init, take, takes):
  monkeypatch.setattr(item_folds, 'make', lambda *_: None)
  config = Config()
  config.pretrain.init, config.pretrain.take = init, take
  encoder = small.encoder(num_layers=1)
  found = judgement.judge(encoder, encoder, small.dataset(), config)
  assert found.takes_continued == takes
  assert ('set --config.pretrain.take=continued' in caplog.text) == (not takes)
