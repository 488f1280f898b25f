"""One two-tower model: trained, made whole, and given what its validation events choose."""

import dataclasses
import os
from typing import Any, NamedTuple

import jax
from flax import nnx

from rec_jax.data.dataset import Dataset
from rec_jax.models.linear_path import Spectrum
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs.config import Config
from rec_jax.stages.finetune import new_items, verdict
from rec_jax.tasks import (
  calibration,
  events,
  item_folds,
  item_to_item,
  next_item,
  trends,
  two_tower_model,
  zero_shot,
)
from rec_jax.tasks.catalogue_text import CatalogueText, text_vectors
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.item_folds import ItemFolds
from rec_jax.training import loop
from rec_jax.training.state import TrainState


class Shared(NamedTuple):
  """What all models of a data set and an encoder start from.

  Attributes:
    dataset: with the events to train on.
    encoder: that models begin with; never changed.
    text: the catalogue as its lower blocks leave it.
    directions: [N, H] of its text vectors, for the verdict on what training brought.
    spectrum: of the training events.
    asked: the queries that validate.
    folds: some of them, whose answers stand for new items; None where there are none.
  """

  dataset: Dataset
  encoder: TextEncoder
  text: CatalogueText
  directions: jax.Array
  spectrum: Spectrum
  asked: Queries
  folds: ItemFolds | None


def shared(config: Config, dataset: Dataset, encoder: TextEncoder, text: CatalogueText) -> Shared:
  """Computes it, which no seed of a model changes."""
  settings, seed = config.finetune, config.seed
  asked = events.validation_queries(dataset, settings, config.data.positive_rating, seed)
  untrained = text_vectors(encoder, text)
  return Shared(
    dataset,
    encoder,
    text,
    zero_shot.directions(untrained, dataset.split.trained_items),
    item_to_item.spectrum(dataset, settings, seed),
    asked,
    item_folds.make(dataset, asked, seed),
  )


class Fitted(NamedTuple):
  """A model as it recommends.

  Attributes:
    model: in evaluation mode, at the best of its validations.
    state: of the training.
    rows: what was chosen on validation events, and what it brought.
  """

  model: two_tower_model.TwoTowerModel
  state: TrainState
  rows: list[dict[str, Any]]


def fit(
  variant: str, common: Shared, config: Config, seed: int, directory: str | os.PathLike[str]
) -> Fitted:
  """Trains a variant under a seed, with its checkpoints below `directory`."""
  settings, dataset = config.finetune, common.dataset
  task = next_item.task(
    variant,
    nnx.clone(common.encoder),
    common.text,
    dataset,
    settings,
    config.data.positive_rating,
    seed,
    common.spectrum,
  )
  state, parts = loop.train(task, directory, jax.random.key(seed), dataclasses.asdict(config))
  best = nnx.view(parts.merge(*state.best), deterministic=True)
  next_item.complete(best, common.text)
  return Fitted(best, state, _chosen(variant, best, common, config, seed))


def _chosen(
  variant: str, best: two_tower_model.TwoTowerModel, common: Shared, config: Config, seed: int
) -> list[dict[str, Any]]:
  """Gives a trained model what validation events choose; the rows of `Fitted`."""
  settings, dataset = config.finetune, common.dataset
  rows: list[dict[str, Any]] = []
  asked, alone = common.asked.spread(dataset.items.num_items), {}
  subject = f'{variant} seed {seed}'
  if rank := item_to_item.rank(variant, settings, dataset.items.num_items):
    path = item_to_item.add(best, common.spectrum, rank, common.asked)
    asked, alone = path.asked, {verdict.LINEAR: path.alone}
    rows += verdict.settings_rows(subject, 'linear path', path.settings, asked)
  trend = trends.add(best, dataset, asked)
  rows += verdict.settings_rows(subject, 'trend', trend.settings, asked)
  alone[verdict.POPULAR] = trend.popular
  sureness = calibration.add(best, asked)
  rows += verdict.settings_rows(subject, 'logits', sureness, asked, 'log-likelihood')
  known = dataset.split.trained_items
  rows += verdict.rows(subject, asked, known, trend.ndcg, alone, common.directions, seed)
  if common.folds and variant == 'teacher':
    rows += new_items.rows(best, common.folds, settings.max_warm_loss, seed)
  return rows
