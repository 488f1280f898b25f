"""Stage `pretrain`: the text encoder, continued on text or on what users chose.

Reads `prepare`, and the files of `pretrain.corpus`, once, into `corpus/`. In language modelling a
causal encoder learns the next token, another the hidden ones, and two variants start from the same
weights and see the same batches for the same number of steps: one trains the head on the frozen
encoder, the other trains head and encoder together. Contrastive objectives have no head and one
variant. Held-out texts judge the losses, by which the best validation is taken, and the items that
users chose next judge the text vectors (`judgement`): writes the encoder that finds more of them to
`model/`.
"""

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from rec_jax import checkpoint
from rec_jax.data import corpus, token_records
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import intervals
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import judgement
from rec_jax.tasks import (
  causal_language_modelling,
  contrastive,
  item_pairs,
  masked_language_modelling,
  pretraining,
  saved_models,
  text_encoders,
)
from rec_jax.tasks.encoder_sizes import sizes
from rec_jax.tasks.pretraining import Objective, Texts
from rec_jax.training import loop
from rec_jax.training.task import Task

logger = logging.getLogger(__name__)


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/pretrain`, unless it is finished."""
  runs.require(workdir, 'prepare')
  stage_dir = runs.start(config, workdir, 'pretrain')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  artefacts.check_text_model(config, workdir)
  objective = _objective(config)
  with runs.timed(stage_dir, 'texts'):
    texts, counts = _texts(config, dataset, objective, stage_dir)
  _log_reading(texts, config)
  before: dict[str, np.ndarray] = {}
  after: dict[str, np.ndarray] = {}
  for variant in objective.variants:
    with runs.timed(stage_dir, variant):
      task = _task(variant, texts, objective, config)
      before[variant] = _held_out(task.model, texts, objective, config)
      state, parts = loop.train(
        task, stage_dir / variant, jax.random.key(config.seed), dataclasses.asdict(config)
      )
      model = parts.merge(*state.best)
      after[variant] = _held_out(model, texts, objective, config)
  initial = _initial(config)
  with runs.timed(stage_dir, 'judge'):
    found = judgement.judge(initial, model.encoder, dataset, config)
  chosen = model.encoder if found.takes_continued else initial
  saved_models.save(stage_dir / 'model', chosen, 0, dataclasses.asdict(config))
  rows = _rows(config, texts, objective, before['continued'], after)
  runs.finish(stage_dir, rows + counts + found.rows)


def evaluate_checkpoints(config: Config, workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """The rows of a finished stage, computed anew from the checkpoints of both variants."""
  dataset = artefacts.load_dataset(workdir)
  objective = _objective(config)
  stage_dir = runs.require(workdir, 'pretrain')
  texts, counts = _texts(config, dataset, objective, stage_dir)
  after = {}
  for variant in objective.variants:
    task = _task(variant, texts, objective, config)
    before = _held_out(task.model, texts, objective, config)
    state, parts = loop.start(task, jax.random.key(config.seed))
    state = checkpoint.load_state(stage_dir / variant / 'checkpoints', state)
    model = parts.merge(*state.best)
    after[variant] = _held_out(model, texts, objective, config)
  found = judgement.judge(_initial(config), model.encoder, dataset, config)
  return _rows(config, texts, objective, before, after) + counts + found.rows


def _initial(config: Config) -> TextEncoder:
  return text_encoders.initial(config.pretrain.init, config.data, config.seed)


def _objective(config: Config) -> Objective:
  settings = config.pretrain
  if settings.objective == 'contrastive':
    return contrastive.of_texts(settings.temperature or contrastive.OF_TEXTS)
  if settings.objective in item_pairs.KINDS:
    return contrastive.of_pairs(
      settings.temperature or contrastive.OF_ITEMS, item_pairs.KINDS[settings.objective]
    )
  if sizes(config.data).transformer.causal:
    matrix = text_encoders.output_matrix(settings.init, config.data)
    return causal_language_modelling.objective(matrix)
  vocabulary = text_encoders.vocabulary(config.data)
  return masked_language_modelling.objective(vocabulary, settings.mask_rate)


def _texts(
  config: Config, dataset: Dataset, objective: Objective, stage_dir: Path
) -> tuple[Texts, list[dict[str, Any]]]:
  """What is trained on and held out, and rows of what a corpus holds, if one is given."""
  settings = config.pretrain
  if settings.corpus:
    return _corpus(config, objective, stage_dir)
  if settings.objective in item_pairs.KINDS:
    mask_id = text_encoders.vocabulary(config.data).mask
    return item_pairs.texts(dataset, settings, mask_id, config.seed), []
  ids, mask = dataset.corpus_ids, dataset.corpus_mask
  known = objective.has_target(ids, mask)
  return Texts.split(ids[known], mask[known], settings.num_held_out, config.seed), []


def _corpus(
  config: Config, objective: Objective, stage_dir: Path
) -> tuple[Texts, list[dict[str, Any]]]:
  """The texts of a user's files, which are read where that has not been done."""
  settings, directory, length = config.pretrain, stage_dir / 'corpus', config.data.text_length
  if not token_records.is_written(directory):
    token_records.write(
      directory,
      corpus.paths(settings.corpus),
      text_encoders.pieces(config.data),
      objective.has_target,
      settings.num_held_out,
      config.seed,
    )
  found = token_records.read(directory, length, text_encoders.vocabulary(config.data).pad)
  logger.info(
    'corpus: %d of %d texts have more than data.text_length=%d tokens and are read in pieces of '
    'that length',
    *(found.counts['texts_in_pieces'], found.counts['texts'], length),
  )
  protocol = f'texts of pretrain.corpus with a token to predict, in pieces of {length} tokens'
  rows = [
    runs.count_row('pretrain', 'corpus', name, count, found.counts['texts'], protocol)
    for name, count in found.counts.items()
  ]
  return Texts(found.train, found.held_out), rows


def _log_reading(texts: Texts, config: Config) -> None:
  settings, number = config.pretrain, texts.train.size
  steps = pretraining.num_steps(texts, settings)
  read = steps * settings.batch_size
  what = 'pairs' if settings.objective in item_pairs.KINDS else 'texts'
  logger.info(
    'pretrain.num_steps=%d, %d %s a step: %d of %d %s read, %.2g passes',
    *(steps, settings.batch_size, what, min(read, number), number, what, read / number),
  )


def _task(variant: str, texts: Texts, objective: Objective, config: Config) -> Task:
  encoder = _initial(config)
  return pretraining.task(variant, encoder, texts, objective, config.pretrain, config.seed)


def _held_out(model: nnx.Module, texts: Texts, objective: Objective, config: Config) -> np.ndarray:
  return pretraining.held_out_losses(model, texts, objective, config.pretrain, config.seed)


def _rows(
  config: Config,
  texts: Texts,
  objective: Objective,
  before: np.ndarray,
  losses: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
  protocol = (
    f'mean over held-out texts of the loss in nats {objective.target}, '
    f'{pretraining.num_steps(texts, config.pretrain)} steps, 95 % bootstrap over texts'
  )
  if objective.has_head:
    subjects = {
      'untrained head': before,
      'head on the frozen encoder': losses['frozen'],
      'head and continued encoder': losses['continued'],
      'continued minus frozen, paired': losses['continued'] - losses['frozen'],
    }
  else:
    subjects = {
      judgement.BEFORE: before,
      judgement.CONTINUED: losses['continued'],
      judgement.DIFFERENCE: losses['continued'] - before,
    }
  estimates = intervals.user_means(jax.random.key(config.seed), subjects)
  return [
    runs.estimate_row('pretrain', subject, objective.metric, estimate, protocol)
    for subject, estimate in estimates.items()
  ]
