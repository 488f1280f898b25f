"""The two-tower softmax model learns the next item, P(i|u) = exp(u·M̂(i)) / Σ_j exp(u·M̂(j)).

The towers train on cached text vectors throughout; for some steps the upper blocks of the encoder
train too, on items of the batch that are encoded anew, and then the whole cache is made anew.
"""

import dataclasses
import functools
from collections.abc import Hashable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.dataset import Dataset
from rec_jax.data.feature_encoding import NO_FEATURES, Widths
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.linear_path import Spectrum
from rec_jax.models.peft import methods as peft
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.two_tower import ItemTower, TwoTower
from rec_jax.tasks import events, negatives, objectives, remedies
from rec_jax.tasks import two_tower_optimizer as optimizers
from rec_jax.tasks.catalogue_text import (
  CatalogueText,
  choose_items,
  encode_again,
  make,
  text_vectors,
)
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.negatives import Catalogue, Vectors
from rec_jax.tasks.two_tower_model import TwoTowerModel, answers, text_encoder
from rec_jax.training.state import ModelParts, TrainState
from rec_jax.training.task import Metrics, Schedule, Task

# How often each training event is predicted, unless the config says how many steps are done.
_PASSES = 15.0


def catalogue_text(encoder: TextEncoder, dataset: Dataset, config: FinetuneConfig) -> CatalogueText:
  """What the blocks that stay as they are make of the whole catalogue, which never changes."""
  texts, is_tuned = (dataset.input_ids, dataset.attention_mask), config.encoder_method != 'frozen'
  return make(encoder, *texts, _depth(encoder, config), is_tuned)


def new_model(
  variant: str,
  encoder: TextEncoder,
  config: FinetuneConfig,
  num_items: int,
  seed: int,
  linear_rank: int = 0,
  widths: Widths = NO_FEATURES,
) -> TwoTowerModel:
  """Towers with random weights, beside the encoder, which is adapted in place.

  Features of items are read with the text: an id-only model knows items by their ids alone.
  """
  rngs = nnx.Rngs(seed)
  has_text, has_id = variant != 'id_only', variant != 'text_only'
  if has_text:
    # Keys of its own, so that the towers start alike under every method.
    own = nnx.Rngs(jax.random.fold_in(jax.random.key(seed), 1))
    peft.adapt(encoder, config.encoder_method, config.encoder_blocks, config.encoder_rank, own)
  towers = TwoTower(
    TwoTowerConfig(
      num_items=num_items,
      text_dim=encoder.token.features if has_text else 0,
      has_ids=has_id,
      dim=config.dim,
      user_tower=config.user_tower,
      num_layers=config.num_layers,
      num_heads=config.num_heads,
      history_length=config.history_length,
      dropout_rate=config.dropout_rate,
      id_dropout_rate=config.id_dropout_rate if has_text and has_id else 0.0,
      linear_rank=linear_rank,
      temperature=config.temperature,
      feature_dim=widths.items if has_text else 0,
      context_dim=widths.context,
    ),
    rngs=rngs,
  )
  memory_size = config.memory_size if config.negatives == 'memory' else 0
  return TwoTowerModel(towers, encoder if has_text else None, memory_size)


def frozen(encoder: TextEncoder, config: FinetuneConfig) -> nnx.filterlib.Filter:
  """The filter of what tuning leaves of the encoder of a model as it was."""
  return nnx.All(_ENCODER, nnx.Not(peft.trainable(config.encoder_method, _depth(encoder, config))))


def task(
  variant: str,
  encoder: TextEncoder,
  text: CatalogueText,
  dataset: Dataset,
  config: FinetuneConfig,
  positive_rating: float,
  seed: int,
  spectrum: Spectrum,
) -> Task:
  """The task of one variant; the encoder is changed in place.

  Where there are ids they start from the `spectrum` of the training events, on which the task then
  improves: from random vectors a large catalogue takes many times as many steps.

  Raises:
    ValueError: the text has passed blocks that are to be adapted.
  """
  if text.depth > _depth(encoder, config):
    raise ValueError(f'{config.encoder_method} adapts blocks that the text has passed')
  # A loaded encoder is in evaluation mode, without dropout.
  encoder = nnx.view(encoder, deterministic=False)
  sizes = dataset.items.num_items, seed, 0, dataset.encoded.encoders.widths
  model = new_model(variant, encoder, config, *sizes)
  cache = encode_catalogue(model, text) if model.encoder else np.zeros((len(text.mask), 0))
  events.fill(model.towers.items, dataset, cache)
  if model.towers.items.id is not None:
    model.towers.items.id.embedding[...] = spectrum.start(config.dim, seed)
  joint = range(config.encoder_start, config.encoder_start + config.encoder_steps)
  joint = joint if model.encoder and config.encoder_method != 'frozen' else range(0)
  # Text vectors that never change are not copied into each state.
  cached = nnx.Any(_TEXT, _RECENT) if joint else _RECENT
  asked = events.validation_queries(dataset, config, positive_rating, seed)
  num_steps = config.num_steps or events.num_steps(dataset, config, _PASSES)

  def validate(model: TwoTowerModel) -> Mapping[str, float]:
    model = nnx.view(model, deterministic=True)
    _place_cold(model.towers.items)
    return events.ranking_metrics(answers(model), asked, dataset.items.num_items)

  def refresh_text(step: int, state: TrainState, parts: ModelParts) -> TrainState:
    if step != joint.stop or not joint:
      return state
    current = parts.merge(state.params, state.cache)
    current.towers.items.text[...] = jnp.asarray(encode_catalogue(current, text))
    # The encoder is at rest from here on. Its average, which lags behind, would drift away from
    # the text vectors that the towers now learn to read.
    settled = nnx.filter_state(state.params, _ENCODER)
    average = nnx.merge_state(state.average, jax.tree.map(jnp.array, settled))
    cache = nnx.state(current, cached)
    return dataclasses.replace(state, cache=cache, average=average)

  return Task(
    name=f'finetune {variant} {seed}',
    model=model,
    trainable=_trainable(model, config),
    losses=functools.partial(_losses, config=config),
    batches=events.training_batches(dataset, config, positive_rating, config.batch_size, seed),
    optimizer=optimizers.make(config, joint, num_steps, len(encoder.transformer.blocks)),
    schedule=Schedule(num_steps, config.validate_every, config.patience),
    validate=validate,
    ema_decay=config.ema_decay,
    data=(text, events.catalogue(dataset, config)),
    cached=cached,
    phase=lambda step: 'joint' if step in joint else 'towers',
    after_step=refresh_text,
  )


def complete(model: TwoTowerModel, text: CatalogueText) -> None:
  """Makes a trained model whole: text vectors of its own encoder, and cold items in their place."""
  if model.encoder is not None:
    model.towers.items.text[...] = jnp.asarray(encode_catalogue(model, text))
  model.towers.items.place_unseen()


def encode_catalogue(model: TwoTowerModel, text: CatalogueText) -> np.ndarray:
  """[N, H] text vectors of all items by the encoder of the model."""
  return text_vectors(text_encoder(model), text)


_ENCODER = nnx.PathContains('encoder')
# Text vectors, which the steps that train the encoder rewrite, and the items of earlier steps.
_TEXT = nnx.All(nnx.PathContains('items'), nnx.PathContains('text'))
_RECENT = nnx.PathContains('recent')


@nnx.jit
def _place_cold(items: ItemTower) -> None:
  items.place_unseen()


def _depth(encoder: TextEncoder, config: FinetuneConfig) -> int:
  """Blocks of the encoder that stay as they are."""
  return peft.depth(encoder, config.encoder_method, config.encoder_blocks)


def _trainable(model: TwoTowerModel, config: FinetuneConfig) -> nnx.filterlib.Filter:
  """The towers, and what is adapted of the encoder."""
  towers = nnx.All(nnx.PathContains('towers'), nnx.Param)
  if model.encoder is None:
    return towers
  return nnx.Any(towers, nnx.All(_ENCODER, nnx.Not(frozen(model.encoder, config))))


def _losses(
  model: TwoTowerModel,
  key: jax.Array,
  batch: Mapping[str, jax.Array],
  data: tuple[CatalogueText, Catalogue],
  phase: Hashable,
  *,
  config: FinetuneConfig,
) -> tuple[jax.Array, jax.Array, Metrics]:
  """Of the next item [P], over a random part of the events of a batch."""
  dropout, choose, pick, of_negatives = jax.random.split(key, 4)
  items, tower, (text, catalogue) = batch['items'], model.towers.items, data
  if phase == 'joint':
    dropout, of_encoder = jax.random.split(dropout)
    chosen = choose_items(choose, items, len(text.mask), config.encoder_items)
    again = encode_again(text_encoder(model), text, chosen, nnx.Rngs(dropout=of_encoder))
    tower.text[...] = tower.text[...].at[chosen].set(again)
  positions = events.choose_positions(pick, items, config.num_predictions)
  # Position t has seen t events and predicts event t, the last one included.
  history, rewards, times = (batch[name][:, :-1] for name in ('history', 'rewards', 'times'))
  context = batch.get('context')

  is_event = (sought := items.reshape(-1)[positions]) > 0
  # Padding is given a known item, for the loss of another one is infinite, even at a weight of 0.
  target = jnp.where(is_event, sought - 1, jnp.argmax(tower.has_id[...]))
  recent = None if model.recent is None else model.recent[...]
  objective = objectives.make(config, of_negatives, target, is_event, catalogue, recent)
  if model.recent is not None:
    model.recent[...] = negatives.remember(model.recent[...], target, is_event)
  rows, row = _rows_that_are_read(items, objective.items, len(text.mask))
  if row is not None:
    history = jnp.where(history > 0, row[jnp.maximum(history - 1, 0)] + 1, 0)
  text_vectors = tower.text[...]
  if len(text.shifts) and model.encoder is not None:
    dropout, draw = jax.random.split(dropout)
    text_vectors = remedies.varied_text(draw, text_vectors, text.shifts)

  def forward(key: jax.Array, shift: jax.Array) -> Vectors:
    rngs = nnx.Rngs(dropout=key)
    item_vectors = tower.learnt(text_vectors, rows, rngs) + shift
    users = model.towers.users(item_vectors, history, rewards, times, rngs, context)
    return Vectors(events.rows_of(users, positions), item_vectors, row)

  weights, shape = (
    is_event.astype(jnp.float32),
    (len(text.mask) if rows is None else len(rows), tower.dim),
  )
  return remedies.losses(dropout, forward, objective, weights, shape, config), weights, {}


def _rows_that_are_read(
  items: jax.Array, compared: jax.Array | None, num_items: int
) -> tuple[jax.Array | None, jax.Array | None]:
  """The items [M] that a step reads, and where among them each of the catalogue stands, [N].

  Args:
    items: [B, L + 1] of the batch, 0 for padding.
    compared: [C] that the objective reads; None for all.
    num_items: N; where M is no less than it, there are no rows, but the whole catalogue.
  """
  if compared is None or items.size + compared.size >= num_items:
    return None, None
  rows = jnp.concatenate([jnp.maximum(items - 1, 0).reshape(-1), compared])
  # Of an item that is there several times one place counts, the same on every machine.
  return rows, jnp.zeros(num_items, jnp.int32).at[rows].max(jnp.arange(len(rows)))
