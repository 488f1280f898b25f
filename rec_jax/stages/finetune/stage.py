"""Stage `finetune`: the two-tower softmax model and its id-only counterpart.

Reads `prepare` and `pretrain`. The towers train on cached text vectors throughout; for
`encoder_steps` steps from `encoder_start` on the upper blocks of the text encoder train too, on
items of the batch that are encoded anew. When they are done the whole cache is made anew. Writes
`seed_<s>/<variant>/model/`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from rec_jax import checkpoint
from rec_jax.data.dataset import Dataset
from rec_jax.data.pipeline import Augmentation, history_batches
from rec_jax.data.splits import histories
from rec_jax.losses.retrieval import full_softmax
from rec_jax.models import encoding, peft
from rec_jax.models.text_encoder import TextEncoder, pool
from rec_jax.models.two_tower import Buffer, TwoTower, TwoTowerConfig
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config, FinetuneConfig
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.tasks import full_ranking
from rec_jax.training import loop, optimizers
from rec_jax.training import state as train_state

VARIANTS = ('teacher', 'id_only')


class Model(nnx.Module):
  """A two-tower model and, where it reads text, the encoder that made its text vectors."""

  def __init__(self, towers: TwoTower, encoder: TextEncoder | None):
    self.towers = towers
    self.encoder = encoder


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/finetune`, unless it is finished."""
  runs.require(workdir, 'pretrain')
  stage_dir = runs.start(config, workdir, 'finetune')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  encoder = pretrain.load_encoder(config, workdir)
  with runs.timed(stage_dir, 'encode catalogue'):
    lower = encoding.lower_activations(
      encoder, dataset.input_ids, dataset.attention_mask, _depth(encoder, config.finetune)
    )
  rows = []
  for seed in seeds(config):
    for variant in VARIANTS:
      with runs.timed(stage_dir, f'{variant} {seed}'):
        rows += _train(
          variant, seed, config, dataset, encoder, lower, stage_dir / f'seed_{seed}' / variant
        )
  runs.finish(stage_dir, rows)


def seeds(config: Config) -> range:
  """The seeds of the models of a run."""
  return range(config.seed, config.seed + config.num_seeds)


def load(
  config: Config, workdir: str | os.PathLike[str], variant: str, seed: int, num_items: int
) -> Model:
  """A trained model of a finished stage, in evaluation mode."""
  graphdef, abstract = nnx.split(
    nnx.eval_shape(lambda: new_model(variant, config, seed, num_items))
  )
  directory = runs.require(workdir, 'finetune') / f'seed_{seed}' / variant / 'model'
  model = nnx.merge(graphdef, checkpoint.load_state(directory, abstract))
  return nnx.view(model, deterministic=True)


def new_model(variant: str, config: Config, seed: int, num_items: int) -> Model:
  """An untrained model with the sizes of a trained one."""
  encoder = None if variant == 'id_only' else pretrain.initial_encoder('random', seed)
  return _new_model(encoder, seed, config.finetune, num_items)


def text_encoder(model: Model) -> TextEncoder:
  """The encoder of a model that reads text.

  Raises:
    ValueError: it is an id-only model.
  """
  if model.encoder is None:
    raise ValueError('an id-only model has no text encoder')
  return model.encoder


def _new_model(
  encoder: TextEncoder | None, seed: int, settings: FinetuneConfig, num_items: int
) -> Model:
  """Towers with random weights, beside the encoder with random low-rank terms."""
  rngs = nnx.Rngs(seed)
  text_dim = 0
  if encoder is not None:
    text_dim = encoder.token.features
    peft.adapt(
      encoder, settings.encoder_method, settings.encoder_blocks, settings.encoder_rank, rngs
    )
  tower_config = TwoTowerConfig(
    num_items=num_items,
    text_dim=text_dim,
    dim=settings.dim,
    num_layers=settings.num_layers,
    num_heads=settings.num_heads,
    history_length=settings.history_length,
    dropout_rate=settings.dropout_rate,
    id_dropout_rate=settings.id_dropout_rate if text_dim else 0.0,
  )
  return Model(TwoTower(tower_config, rngs=rngs), encoder)


def _depth(encoder: TextEncoder, settings: FinetuneConfig) -> int:
  """Blocks of the encoder that stay as they are."""
  return max(0, len(encoder.transformer.blocks) - settings.encoder_blocks)


class _Frozen(NamedTuple):
  """What the loss reads and never changes.

  Attributes:
    weights: of the model, all that is not trained.
    lower: [N, L, H], what the adapted blocks of the encoder read.
    mask: [N, L], of the item texts.
  """

  weights: Any
  lower: jax.Array
  mask: jax.Array


def _train(
  variant: str,
  seed: int,
  config: Config,
  dataset: Dataset,
  encoder: TextEncoder,
  lower: np.ndarray,
  directory: Path,
) -> list[dict[str, Any]]:
  """Trains one model, saves it, and returns the rows of its validation."""
  settings = config.finetune
  has_text = variant == 'teacher'
  model = _new_model(nnx.clone(encoder) if has_text else None, seed, settings, len(lower))
  has_id = jnp.asarray(~dataset.split.cold_items)

  def encode_upper(model: Model) -> np.ndarray:
    encoder = text_encoder(model)
    depth = _depth(encoder, settings)
    return encoding.upper_text_vectors(encoder, lower, dataset.attention_mask, depth)

  text = np.zeros((len(lower), 0), np.float32)
  if has_text:
    text = encode_upper(model)
  model.towers.items.fill(jnp.asarray(text), has_id)
  parts = _Parts.split(model, settings)
  joint = range(settings.encoder_start, settings.encoder_start + settings.encoder_steps)
  joint = joint if has_text else range(0)
  optimizer = _optimizer(settings, joint)
  towers_only, with_encoder = (
    train_state.make_step(_loss_fn(parts, settings, trains_encoder), optimizer, settings.ema_decay)
    for trains_encoder in (False, True)
  )

  def refresh_text(step: int, state: train_state.TrainState) -> train_state.TrainState:
    if step != joint.stop or not joint:
      return state
    text = encode_upper(parts.merge(state.params, state.carry))
    # The encoder is at rest from here on. Its average, which lags behind, would drift away from
    # the text vectors that the towers now learn to read.
    average = state.average | {'encoder': jax.tree.map(jnp.array, state.params['encoder'])}
    return dataclasses.replace(state, carry=jnp.asarray(text), average=average)

  @jax.jit
  def score_average(
    state: train_state.TrainState, history: jax.Array, rewards: jax.Array
  ) -> jax.Array:
    # A copy, for the frozen weights are not of this trace.
    averaged = nnx.clone(parts.merge(state.average, state.carry))
    averaged.towers.items.place_unseen()
    return score(nnx.view(averaged, deterministic=True), history, rewards)

  state = loop.train(
    f'finetune {variant} {seed}',
    directory,
    train_state.init(jax.random.key(seed), parts.params, optimizer, model.towers.items.text[...]),
    lambda step: with_encoder if step in joint else towers_only,
    training_batches(dataset, config, seed, settings.batch_size),
    _Frozen(parts.frozen, jnp.asarray(lower), jnp.asarray(dataset.attention_mask)),
    loop.Schedule(settings.num_steps, settings.validate_every, settings.patience),
    dataclasses.asdict(config),
    validation(score_average, config, dataset),
    refresh_text,
  )
  best = parts.merge(*state.best)
  if has_text:
    best.towers.items.text[...] = jnp.asarray(encode_upper(best))
  best.towers.items.place_unseen()
  with checkpoint.open(directory / 'model', dataclasses.asdict(config)) as saved:
    saved.save(int(state.best_step), nnx.state(best), None)
  return validation_rows(
    'finetune', f'{variant} seed {seed}', 'ndcg@10', state, len(dataset.split.ranked_users)
  )


class _Parts(NamedTuple):
  """A model taken apart for training.

  Attributes:
    graphdef: its structure.
    params: {'towers': ..., 'encoder': ...}, what is trained.
    frozen: everything else except the cached text vectors.
  """

  graphdef: Any
  params: dict[str, Any]
  frozen: Any

  @classmethod
  def split(cls, model: Model, settings: FinetuneConfig) -> '_Parts':
    encoder_filter: Any = nnx.Nothing
    if model.encoder is not None:
      depth = _depth(model.encoder, settings)
      encoder_filter = nnx.All(
        nnx.PathContains('encoder'), peft.trainable(settings.encoder_method, depth)
      )
    graphdef, *states = nnx.split(
      model,
      nnx.All(nnx.PathContains('towers'), nnx.Param),
      encoder_filter,
      nnx.All(nnx.PathContains('items'), nnx.PathContains('text')),
      ...,
    )
    towers, encoder, _, frozen = states
    return cls(graphdef, {'towers': towers, 'encoder': encoder}, frozen)

  def merge(self, params: dict[str, Any], text: jax.Array, frozen: Any = None) -> Model:
    """The model with these weights and text vectors; a traced `frozen` replaces the own one."""
    cache: nnx.State = nnx.State({'towers': {'items': {'text': Buffer(text)}}})
    frozen = self.frozen if frozen is None else frozen
    return nnx.merge(self.graphdef, params['towers'], params['encoder'], cache, frozen)


def _optimizer(settings: FinetuneConfig, joint: range) -> optax.GradientTransformation:
  """AdamW for the towers; for the encoder another whose rate is zero outside of its steps."""
  towers = optimizers.adamw(
    settings.learning_rate, settings.num_steps, weight_decay=settings.weight_decay
  )
  rate = optimizers.warmup_cosine(settings.encoder_learning_rate, joint.start, joint.stop)
  rate = optax.join_schedules([rate, optax.constant_schedule(0.0)], [joint.stop])
  encoder = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.0))
  return optax.multi_transform(
    {'towers': towers, 'encoder': encoder}, {'towers': 'towers', 'encoder': 'encoder'}
  )


def training_batches(
  dataset: Dataset, config: Config, seed: int, batch_size: int
) -> grain.IterDataset:
  """Augmented training histories, see `history_batches`."""
  settings = config.finetune
  return history_batches(
    histories(dataset.interactions, dataset.split.train_mask),
    dataset.interactions.timestamp,
    dataset.interactions.reward(config.data.positive_rating),
    settings.history_length + 1,
    batch_size,
    seed,
    Augmentation(
      max_drop_rate=settings.max_drop_rate, recent_window_rate=settings.recent_window_rate
    ),
  )


def _loss_fn(parts: _Parts, settings: FinetuneConfig, trains_encoder: bool) -> train_state.LossFn:
  """-log P(next item | user), over a random part of the events of a batch."""

  def loss_fn(
    params: Any, text: jax.Array, key: jax.Array, batch: Mapping[str, jax.Array], frozen: _Frozen
  ) -> tuple[jax.Array, tuple[jax.Array, train_state.Metrics]]:
    model = parts.merge(params, text, frozen.weights)
    dropout, choose, pick = jax.random.split(key, 3)
    rngs = nnx.Rngs(dropout=dropout)
    items, rewards = batch['items'], batch['rewards']
    if trains_encoder:
      text = _encode_again(text_encoder(model), text, items, choose, frozen, settings, rngs)
    item_vectors = model.towers.items(text, rngs)
    # Position t of the user tower has seen t events and predicts event t, the last one included.
    users = model.towers.users(item_vectors, items[:, :-1], rewards[:, :-1], rngs)
    rows = choose_positions(pick, items, settings.num_predictions)
    target = items.reshape(-1)[rows]
    losses = full_softmax(
      users.reshape(-1, users.shape[-1])[rows],
      item_vectors,
      jnp.maximum(target - 1, 0),
      model.towers.items.has_id[...],
    )
    weight = (target > 0).astype(losses.dtype)
    loss = (losses * weight).sum() / weight.sum()
    return loss, (jax.lax.stop_gradient(text), {})

  return loss_fn


def choose_positions(key: jax.Array, items: jax.Array, count: int) -> jax.Array:
  """Flat positions [count] of events in a batch [B, L + 1], at random, padding only if need be."""
  order = jax.random.uniform(key, (items.size,)) + (items.reshape(-1) > 0)
  return jax.lax.top_k(order, min(count, items.size))[1]


def _encode_again(
  encoder: TextEncoder,
  text: jax.Array,
  items: jax.Array,
  key: jax.Array,
  frozen: _Frozen,
  settings: FinetuneConfig,
  rngs: nnx.Rngs,
) -> jax.Array:
  """The cache [N, H] with the rows of some items of the batch encoded by the current weights."""
  in_batch = jnp.zeros(len(text)).at[jnp.maximum(items - 1, 0)].max((items > 0).astype(jnp.float32))
  order = in_batch + jax.random.uniform(key, (len(text),))
  chosen = jax.lax.top_k(order, min(settings.encoder_items, len(text)))[1]
  depth = _depth(encoder, settings)
  mask = frozen.mask[chosen]
  hidden = encoder.upper(frozen.lower[chosen], mask, depth, rngs)
  return text.at[chosen].set(pool(hidden, mask))


def validation_queries(config: Config, dataset: Dataset) -> full_ranking.Queries:
  """The validation events of the ranked users, or of a sample where they are many."""
  events = dataset.split.validation_event
  if len(events) > config.finetune.num_validation_users:
    rng = np.random.default_rng(config.seed)
    events = np.sort(rng.choice(events, config.finetune.num_validation_users, replace=False))
  length, threshold = config.finetune.history_length, config.data.positive_rating
  return full_ranking.queries(dataset, events, length, threshold)


def validation(
  score: Callable[[train_state.TrainState, ArrayLike, ArrayLike], jax.Array],
  config: Config,
  dataset: Dataset,
) -> Callable[[train_state.TrainState], dict[str, float]]:
  """NDCG@10 and recall@10 on the validation events, over the whole catalogue.

  Args:
    score: (state, history [B, L], rewards [B, L]) -> [B, N].
    config: of the run.
    dataset: from the stage `prepare`.
  """
  asked = validation_queries(config, dataset)
  everything = np.ones(dataset.items.num_items, bool)

  def validate(state: train_state.TrainState) -> dict[str, float]:
    ranked = full_ranking.rank_targets(
      lambda part: score(state, part.history, part.rewards), asked, everything
    )
    return {name: float(ranked[name].mean()) for name in ('ndcg@10', 'recall@10')}

  return validate


def score(model: Model, history: jax.Array, rewards: jax.Array) -> jax.Array:
  """Logits [B, N] of the whole catalogue after histories [B, L]."""
  item_vectors = model.towers.items()
  return model.towers.encode_users(item_vectors, history, rewards) @ item_vectors.T


def validation_rows(
  stage: str, subject: str, metric: str, state: train_state.TrainState, num_users: int
) -> list[dict[str, Any]]:
  """The step that validation chose, and the value of the metric that chose it."""
  values = {metric: float(state.best_value), 'best_step': int(state.best_step)}
  return [
    {
      'stage': stage,
      'subject': subject,
      'metric': metric,
      'value': value,
      'low': None,
      'high': None,
      'n': num_users,
      'protocol': 'validation event of each ranked user, whole catalogue, seen items excluded',
    }
    for metric, value in values.items()
  ]
