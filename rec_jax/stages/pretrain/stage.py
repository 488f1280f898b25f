"""Stage `pretrain`: the text encoder, continued by masked or causal language modelling.

Reads `prepare`. A causal encoder learns the next token, another the hidden ones. Two variants start
from the same weights and see the same batches for the same number of steps: one trains the head on
the frozen encoder, the other trains head and Transformer blocks together. Held-out texts judge the
losses, and the items that users chose next judge the text vectors (`judgement`): writes the encoder
that finds more of them to `model/`.
"""

import dataclasses
import os
from typing import Any

import jax
import numpy as np
from flax import nnx

from rec_jax import checkpoint
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import intervals
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import judgement
from rec_jax.tasks import (
  causal_language_modelling,
  language_modelling,
  masked_language_modelling,
  saved_models,
  text_encoders,
)
from rec_jax.tasks.encoder_sizes import sizes
from rec_jax.tasks.language_modelling import VARIANTS, Objective, Texts
from rec_jax.training import loop
from rec_jax.training.task import Task


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/pretrain`, unless it is finished."""
  runs.require(workdir, 'prepare')
  stage_dir = runs.start(config, workdir, 'pretrain')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  artefacts.check_text_model(config, workdir)
  objective = _objective(config)
  texts = _texts(config, dataset, objective)
  before: dict[str, np.ndarray] = {}
  after: dict[str, np.ndarray] = {}
  for variant in VARIANTS:
    with runs.timed(stage_dir, variant):
      task = _task(variant, texts, objective, config)
      before[variant] = _held_out(task.model, texts, objective, config)
      state, parts = loop.train(
        task, stage_dir / variant, jax.random.key(config.seed), dataclasses.asdict(config)
      )
      model = parts.merge(state.average, state.cache)
      after[variant] = _held_out(model, texts, objective, config)
  initial = _initial(config)
  with runs.timed(stage_dir, 'judge'):
    found = judgement.judge(initial, model.encoder, dataset, config)
  chosen = model.encoder if found.takes_continued else initial
  saved_models.save(stage_dir / 'model', chosen, 0, dataclasses.asdict(config))
  runs.finish(stage_dir, _rows(config, objective, before['frozen'], after) + found.rows)


def evaluate_checkpoints(config: Config, workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """The rows of a finished stage, computed anew from the checkpoints of both variants."""
  dataset = artefacts.load_dataset(workdir)
  objective = _objective(config)
  texts = _texts(config, dataset, objective)
  after = {}
  for variant in VARIANTS:
    task = _task(variant, texts, objective, config)
    before = _held_out(task.model, texts, objective, config)
    state, parts = loop.start(task, jax.random.key(config.seed))
    checkpoints = runs.require(workdir, 'pretrain') / variant / 'checkpoints'
    state = checkpoint.load_state(checkpoints, state)
    model = parts.merge(state.average, state.cache)
    after[variant] = _held_out(model, texts, objective, config)
  found = judgement.judge(_initial(config), model.encoder, dataset, config)
  return _rows(config, objective, before, after) + found.rows


def _initial(config: Config) -> TextEncoder:
  return text_encoders.initial(config.pretrain.init, config.data, config.seed)


def _objective(config: Config) -> Objective:
  if sizes(config.data).transformer.causal:
    matrix = text_encoders.output_matrix(config.pretrain.init, config.data)
    return causal_language_modelling.objective(matrix)
  vocabulary = text_encoders.vocabulary(config.data)
  return masked_language_modelling.objective(vocabulary, config.pretrain.mask_rate)


def _texts(config: Config, dataset: Dataset, objective: Objective) -> Texts:
  ids, mask = dataset.corpus_ids, dataset.corpus_mask
  known = objective.has_target(ids, mask)
  return Texts.split(ids[known], mask[known], config.pretrain.num_held_out, config.seed)


def _task(variant: str, texts: Texts, objective: Objective, config: Config) -> Task:
  encoder = _initial(config)
  return language_modelling.task(variant, encoder, texts, objective, config.pretrain, config.seed)


def _held_out(model: nnx.Module, texts: Texts, objective: Objective, config: Config) -> np.ndarray:
  return language_modelling.held_out_losses(model, texts, objective, config.pretrain, config.seed)


def _rows(
  config: Config, objective: Objective, before: np.ndarray, losses: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
  protocol = (
    f'mean over held-out texts of the loss in nats {objective.target}, '
    f'{config.pretrain.num_steps} steps, 95 % bootstrap over texts'
  )
  subjects = {
    'untrained head': before,
    'head on the frozen encoder': losses['frozen'],
    'head and continued encoder': losses['continued'],
    'continued minus frozen, paired': losses['continued'] - losses['frozen'],
  }
  estimates = intervals.user_means(jax.random.key(config.seed), subjects)
  return [
    runs.estimate_row('pretrain', subject, f'{objective.name}_lm_loss', estimate, protocol)
    for subject, estimate in estimates.items()
  ]
