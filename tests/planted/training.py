"""Small models of a planted world, trained as the stages train them, and what they rank first."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.dataset import Dataset
from rec_jax.models.baselines import popularity
from rec_jax.models.student import Student
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks import distillation, full_ranking, item_to_item, next_item, two_tower_model
from rec_jax.tasks.config import DistilConfig, FinetuneConfig
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.tasks.two_tower_model import TwoTowerModel
from rec_jax.training import loop

POSITIVE_RATING = 4.0
FINETUNE = FinetuneConfig(
  dim=16,
  num_heads=2,
  history_length=24,
  # What is learnt is judged, so nothing is put beside it.
  linear_rank=0,
  dropout_rate=0.1,
  num_steps=400,
  batch_size=32,
  num_predictions=320,
  learning_rate=1e-2,
  ema_decay=0.97,
  validate_every=50,
  # After the last step: the encoder stays as it is, which saves half of the compilation.
  encoder_start=1000,
)
DISTIL = DistilConfig(
  dim=16,
  token_dim=32,
  text_dim=16,
  num_heads=2,
  num_steps=300,
  batch_size=32,
  num_predictions=320,
  num_texts=32,
  learning_rate=1e-2,
  ema_decay=0.97,
  validate_every=100,
)


def two_tower(
  dataset: Dataset,
  encoder: TextEncoder,
  variant: str,
  directory: Path,
  config: FinetuneConfig = FINETUNE,
) -> TwoTowerModel:
  """The best model of a variant, as it has been trained."""
  text = next_item.catalogue_text(encoder, dataset, config)
  spectrum = item_to_item.spectrum(dataset, config, 0)
  task = next_item.task(
    variant, nnx.clone(encoder), text, dataset, config, POSITIVE_RATING, 0, spectrum
  )
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  return _completed(parts.merge(*state.best), dataset)


def untrained(dataset: Dataset, encoder: TextEncoder, variant: str) -> TwoTowerModel:
  """A variant with random weights."""
  text = next_item.catalogue_text(encoder, dataset, FINETUNE)
  encoder = nnx.clone(encoder)
  spectrum = item_to_item.spectrum(dataset, FINETUNE, 0)
  task = next_item.task(variant, encoder, text, dataset, FINETUNE, POSITIVE_RATING, 0, spectrum)
  return _completed(task.model, dataset)


def collapsed(model: TwoTowerModel, dataset: Dataset) -> TwoTowerModel:
  """The same model, to whose encoder all words are one: texts differ in length alone."""
  model = nnx.clone(model)
  words = two_tower_model.text_encoder(model).token.embedding
  words[...] = jnp.broadcast_to(words[...].mean(0), words[...].shape)
  return _completed(model, dataset)


def without_ids(model: TwoTowerModel) -> TwoTowerModel:
  """The same model, whose known items are their texts alone."""
  model = nnx.clone(model)
  vectors = model.towers.items.id.embedding
  vectors[...] = jnp.zeros_like(vectors[...])
  return nnx.view(model, deterministic=True)


def student(dataset: Dataset, teacher: TwoTowerModel, directory: Path) -> tuple[Student, Student]:
  """The best student, as the stage `distil` saves it, and one before its first step."""
  task = distillation.task(teacher, dataset, DISTIL, FINETUNE, POSITIVE_RATING, 0)
  before = nnx.clone(task.model)
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  after = parts.merge(*state.best)
  return nnx.view(after, deterministic=True), nnx.view(before, deterministic=True)


def by_model(model: TwoTowerModel) -> Score:
  return lambda asked: two_tower_model.compiled_score(
    model, asked.history, asked.rewards, times=asked.times, context=asked.context
  )


def by_student(model: Student) -> Score:
  return lambda asked: _student_scores(model, asked.history, asked.rewards, context=asked.context)


def by_popularity(dataset: Dataset) -> Score:
  """The counts of the training events."""
  item = dataset.interactions.item[dataset.split.train_mask]
  sizes = dataset.interactions.num_users, dataset.items.num_items
  counts = popularity.fit(item, np.ones(len(item)), *sizes)
  return lambda asked: popularity.scores(counts, asked.history)


def queries(dataset: Dataset, events: np.ndarray) -> Queries:
  return full_ranking.queries(dataset, events, FINETUNE.history_length, POSITIVE_RATING)


def shuffled(asked: Queries) -> Queries:
  """The same queries, the events of each history in a random order."""
  rng = np.random.default_rng(0)
  order = np.argsort(np.where(asked.history > 0, rng.random(asked.history.shape), 2.0), axis=1)
  return dataclasses.replace(asked, history=np.take_along_axis(asked.history, order, axis=1))


# Compiled once for all models of a kind.
_student_scores = nnx.jit(distillation.score)


def _completed(model: TwoTowerModel, dataset: Dataset) -> TwoTowerModel:
  if model.encoder is not None:
    text = next_item.catalogue_text(model.encoder, dataset, FINETUNE)
    next_item.complete(model, text)
  return nnx.view(model, deterministic=True)
