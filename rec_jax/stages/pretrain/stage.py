"""Stage `pretrain`: the text encoder, continued by masked language modelling.

Reads `prepare`. Two variants start from the same weights and see the same masked batches for the
same number of steps: one trains the language-modelling head on the frozen encoder, the other trains
head and Transformer blocks together. Only held-out texts judge them. Writes the continued encoder
to `model/`.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from rec_jax import checkpoint
from rec_jax.data import sources, tokenizer
from rec_jax.data.pipeline import text_batches
from rec_jax.evaluation import intervals
from rec_jax.losses.language_modelling import mask_tokens, token_cross_entropy
from rec_jax.models import pretrained
from rec_jax.models.text_encoder import MaskedLanguageModelHead, TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config, PretrainConfig
from rec_jax.training import loop, optimizers
from rec_jax.training import state as train_state
from rec_jax.types import InputError

VARIANTS = ('frozen', 'continued')


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/pretrain`, unless it is finished."""
  runs.require(workdir, 'prepare')
  stage_dir = runs.start(config, workdir, 'pretrain')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  texts = _Texts.split(dataset.corpus_ids, dataset.corpus_mask, config)
  losses = {}
  for variant in VARIANTS:
    with runs.timed(stage_dir, variant):
      before, losses[variant], model = _train(variant, texts, config, stage_dir / variant)
  with checkpoint.open(stage_dir / 'model', dataclasses.asdict(config)) as saved:
    saved.save(0, nnx.state(model.encoder), None)
  runs.finish(stage_dir, _rows(config, before, losses))


def load_encoder(config: Config, workdir: str | os.PathLike[str]) -> TextEncoder:
  """The continued encoder of a finished stage."""
  encoder = nnx.eval_shape(lambda: initial_encoder('random', config.seed))
  graphdef, abstract = nnx.split(encoder)
  weights = checkpoint.load_state(runs.require(workdir, 'pretrain') / 'model', abstract)
  return nnx.merge(graphdef, weights)


def evaluate_checkpoints(config: Config, workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """The rows of a finished stage, computed anew from the checkpoints of both variants."""
  dataset = artefacts.load_dataset(workdir)
  texts = _Texts.split(dataset.corpus_ids, dataset.corpus_mask, config)
  losses = {}
  for variant in VARIANTS:
    graphdef, frozen, _, state = _start(variant, config)
    held_out = _held_out_loss(graphdef, frozen, texts.held_out, config)
    before = held_out(state.average)
    checkpoints = runs.require(workdir, 'pretrain') / variant / 'checkpoints'
    losses[variant] = held_out(checkpoint.load_state(checkpoints, state).average)
  return _rows(config, before, losses)


def published_encoder() -> TextEncoder:
  """all-MiniLM-L6-v2 as it was published."""
  files = sources.minilm_files()
  return pretrained.load_bert(files.weights, files.config)


class _LanguageModel(nnx.Module):
  """The encoder and its head."""

  def __init__(self, encoder: TextEncoder, *, rngs: nnx.Rngs):
    self.encoder = encoder
    embedding = encoder.token
    self.head = MaskedLanguageModelHead(embedding.num_embeddings, embedding.features, rngs=rngs)

  def __call__(
    self, token_ids: jax.Array, mask: jax.Array, positions: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """Logits [B, P, V] of the tokens at positions [B, P] of texts [B, L]."""
    hidden = self.encoder(token_ids, mask, rngs)
    hidden = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    return self.head(hidden, self.encoder.token.embedding[...])


def initial_encoder(init: str, seed: int) -> TextEncoder:
  """The encoder that pre-training starts from: published weights or random ones."""
  if init == 'minilm':
    return published_encoder()
  if init == 'random':
    return TextEncoder(pretrained.read_config(sources.minilm_files().config), rngs=nnx.Rngs(seed))
  raise InputError(f'unknown init "{init}"; set --config.pretrain.init to minilm or random')


def _trainable(variant: str) -> nnx.filterlib.Filter:
  """Head, and for the continued variant the blocks; the embeddings, tied to the output, stay."""
  places = ('head',) if variant == 'frozen' else ('head', 'transformer')
  return nnx.All(nnx.Param, lambda path, value: any(place in path for place in places))


def _train(
  variant: str, texts: '_Texts', config: Config, directory: Path
) -> tuple[np.ndarray, np.ndarray, _LanguageModel]:
  """Trains one variant; returns the held-out losses [n] before and after, and the model."""
  settings = config.pretrain
  graphdef, frozen, optimizer, state = _start(variant, config)
  step = train_state.make_step(_loss_fn(graphdef, settings), optimizer, ema_decay=0.9)
  held_out = _held_out_loss(graphdef, frozen, texts.held_out, config)
  before = held_out(state.average)
  last: list[np.ndarray] = []

  def validate(state: train_state.TrainState) -> dict[str, float]:
    last[:] = [held_out(state.average)]
    return {'negative_loss': -float(last[0].mean())}

  state = loop.train(
    f'pretrain {variant}',
    directory,
    state,
    lambda _: step,
    text_batches(len(texts.train[0]), settings.batch_size, config.seed),
    (frozen, *texts.train),
    loop.Schedule(settings.num_steps, settings.validate_every),
    dataclasses.asdict(config),
    validate,
  )
  # A run that resumes after its last step has not validated.
  after = last[0] if last else held_out(state.average)
  return before, after, nnx.merge(graphdef, state.average, frozen)


def _start(
  variant: str, config: Config
) -> tuple[nnx.GraphDef, Any, optax.GradientTransformation, train_state.TrainState]:
  """What one variant starts from: structure, weights that stay as they are, optimizer, state."""
  settings = config.pretrain
  encoder = initial_encoder(settings.init, config.seed)
  model = _LanguageModel(encoder, rngs=nnx.Rngs(config.seed))
  graphdef, *states = nnx.split(model, _trainable(variant), ...)
  params, frozen = states
  optimizer = optimizers.adamw(
    settings.learning_rate, settings.num_steps, weight_decay=settings.weight_decay
  )
  state = train_state.init(jax.random.key(config.seed), params, optimizer)
  return graphdef, frozen, optimizer, state


def _loss_fn(graphdef: nnx.GraphDef, settings: PretrainConfig) -> train_state.LossFn:
  def loss_fn(
    params: Any, carry: Any, key: jax.Array, batch: jax.Array, constants: Any
  ) -> tuple[jax.Array, tuple[Any, train_state.Metrics]]:
    frozen, input_ids, mask = constants
    mask_key, dropout_key = jax.random.split(key)
    losses, weights = _token_losses(
      nnx.merge(graphdef, params, frozen),
      mask_key,
      input_ids[batch],
      mask[batch],
      settings.mask_rate,
      nnx.Rngs(dropout=dropout_key),
    )
    return (losses * weights).sum() / weights.sum(), (carry, {})

  return loss_fn


def _held_out_loss(
  graphdef: nnx.GraphDef, frozen: Any, texts: tuple[np.ndarray, np.ndarray], config: Config
) -> Callable[[Any], np.ndarray]:
  """params -> mean loss over the hidden tokens of each text, always with the same tokens hidden."""

  @jax.jit
  def text_losses(
    params: Any, frozen: Any, key: jax.Array, input_ids: jax.Array, mask: jax.Array
  ) -> jax.Array:
    model = nnx.view(nnx.merge(graphdef, params, frozen), deterministic=True)
    rate = config.pretrain.mask_rate
    losses, weights = _token_losses(model, key, input_ids, mask, rate, None)
    return (losses * weights).sum(1) / jnp.maximum(weights.sum(1), 1)

  def evaluate(params: Any) -> np.ndarray:
    keys = jax.random.split(jax.random.key(config.seed), len(texts[0]))
    size = config.pretrain.batch_size
    chunks = range(0, len(texts[0]), size)
    return np.concatenate(
      [
        text_losses(params, frozen, keys[i], texts[0][i : i + size], texts[1][i : i + size])
        for i in chunks
      ]
    )

  return evaluate


def _token_losses(
  model: _LanguageModel,
  key: jax.Array,
  input_ids: jax.Array,
  mask: jax.Array,
  rate: float,
  rngs: nnx.Rngs | None,
) -> tuple[jax.Array, jax.Array]:
  """Losses and weights [B, P] of the hidden tokens of a batch of texts [B, L]."""
  special = jnp.array([tokenizer.PAD_ID, tokenizer.CLS_ID, tokenizer.SEP_ID])
  masked = mask_tokens(
    key,
    input_ids,
    ~jnp.isin(input_ids, special),
    rate=rate,
    mask_id=tokenizer.MASK_ID,
    vocab_size=model.encoder.token.num_embeddings,
  )
  logits = model(masked.token_ids, mask, masked.positions, rngs)
  return token_cross_entropy(logits, masked.targets), masked.weights


@dataclasses.dataclass(frozen=True)
class _Texts:
  """Token ids and masks [n, L] of the texts to train on and of those held out."""

  train: tuple[np.ndarray, np.ndarray]
  held_out: tuple[np.ndarray, np.ndarray]

  @classmethod
  def split(cls, input_ids: np.ndarray, mask: np.ndarray, config: Config) -> '_Texts':
    """Holds out a random part, at most half."""
    num_held_out = min(config.pretrain.num_held_out, len(input_ids) // 2)
    if not num_held_out:
      raise InputError(f'{len(input_ids)} texts before the cut are too few to pre-train on')
    order = np.random.default_rng((config.seed, 1)).permutation(len(input_ids))
    held_out, train = order[:num_held_out], order[num_held_out:]
    return cls((input_ids[train], mask[train]), (input_ids[held_out], mask[held_out]))


def _rows(
  config: Config, before: np.ndarray, losses: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
  protocol = (
    f'mean over held-out texts of the loss in nats a hidden token, {config.pretrain.mask_rate:.0%} '
    f'of the tokens hidden, {config.pretrain.num_steps} steps, 95 % bootstrap over texts'
  )
  subjects = {
    'untrained head': before,
    'head on the frozen encoder': losses['frozen'],
    'head and continued encoder': losses['continued'],
    'continued minus frozen, paired': losses['continued'] - losses['frozen'],
  }
  estimates = intervals.user_means(jax.random.key(config.seed), subjects)
  return [
    runs.estimate_row('pretrain', subject, 'masked_lm_loss', estimate, protocol)
    for subject, estimate in estimates.items()
  ]
