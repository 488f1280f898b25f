"""Pre-training on a user's own text: what is said of it, and that it is read once."""

import dataclasses
import pathlib

import numpy as np
import pytest

from rec_jax.data import corpus
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.tasks import text_encoders
from rec_jax.training import loop
from rec_jax.types import InputError
from tests.helpers import small

BERT = pathlib.Path(__file__).parents[2] / 'data/encoders/bert'
TEXTS = ['A young wizard goes to a school of magic', 'Two detectives', 'old man', 'the sea'] * 6


@pytest.fixture
def config(tmp_path, monkeypatch):
  """Of a run whose stage `prepare` is finished, on an encoder of 60 words."""
  made = small.dataset()
  dataset = dataclasses.replace(made, input_ids=made.input_ids % 40)
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: dataset)
  config = small.config(tmp_path, text_model=str(BERT))
  config.pretrain.num_steps = 2
  config.pretrain.corpus = str(tmp_path / '*.txt')
  (tmp_path / 'a.txt').write_text('\n'.join([*TEXTS, '', '  ']))
  runs.finish(runs.start(config, tmp_path / 'run', 'prepare'), [])
  return config


def test_a_corpus_is_counted_and_read_once(config, tmp_path, monkeypatch, caplog):
  workdir, read = tmp_path / 'run', []

  def untrained(task, directory, key, described):
    """What a step would read, without the program that learns from it."""
    del directory, described
    read.append(next(iter(task.batches)))
    return loop.start(task, key)

  monkeypatch.setattr(loop, 'train', untrained)
  with caplog.at_level('INFO'):
    pretrain.run(config, workdir)
  reported = runs.read_metrics(workdir, 'pretrain')
  counts = {row['metric']: row['value'] for row in reported if row['subject'] == 'corpus'}
  assert {name: counts[name] for name in ('files', 'texts', 'texts_in_pieces')} == {
    'files': 1,
    'texts': 24,
    'texts_in_pieces': 6,
  }
  # Half of the texts at most is held out: 12 of 16.
  (losses,) = {row['n'] for row in reported if row['metric'] == 'masked_lm_loss'}
  assert losses == 12
  assert 'corpus: 6 of 24 texts have more than data.text_length=8 tokens' in caplog.text
  assert 'pretrain.num_steps=2, 8 texts a step: 16 of' in caplog.text
  # What is on disk serves a run that is resumed.
  (tmp_path / 'a.txt').unlink()
  monkeypatch.setattr(corpus, 'paths', lambda *_: pytest.fail('the corpus was read again'))
  (workdir / 'pretrain/metrics.json').unlink()
  pretrain.run(config, workdir)
  assert runs.read_metrics(workdir, 'pretrain') == reported
  # Both variants read the same in both runs.
  assert len(read) == 4 and read[0].input_ids.any()
  for batch in read[1:]:
    np.testing.assert_array_equal(batch.input_ids, read[0].input_ids)


def test_a_corpus_without_text_is_told_and_leaves_nothing(config, tmp_path):
  (tmp_path / 'b.txt').write_text(' \n\n \u3000')
  with pytest.raises(InputError, match='b.txt: there is no text in it'):
    pretrain.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run/pretrain/corpus').exists()


def test_tokens_are_within_the_vocabulary(config, tmp_path):
  (tmp_path / 'b.txt').write_text('🙂 \u2028 שלום\x00 红茶 \u0301\n' * 4)
  texts, _ = pretrain._texts(
    config, small.dataset(), pretrain._objective(config), tmp_path / 'stage'
  )
  ids = texts.train.read(np.arange(texts.train.size)).input_ids
  assert ids.min() >= 0
  assert ids.max() < text_encoders.vocabulary(config.data).size
