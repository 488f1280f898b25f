"""Masked language modelling on unlabelled text (Devlin et al. 2019, section 3.1).

Two variants start from the same weights and see the same masked batches: 'frozen' trains the head
on the encoder as it is, 'continued' trains the Transformer blocks as well, at a rate of their own
and only from half of the steps on: through a head that is still random they would learn noise.
"""

import dataclasses
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data import tokenizer
from rec_jax.data.pipeline import text_batches
from rec_jax.losses.language_modelling import mask_tokens, token_cross_entropy
from rec_jax.models.text_encoder import MaskedLanguageModelHead, TextEncoder
from rec_jax.tasks.config import PretrainConfig
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task
from rec_jax.types import InputError

VARIANTS = ('frozen', 'continued')
_EMA_DECAY = 0.9


class LanguageModel(nnx.Module):
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


@dataclasses.dataclass(frozen=True)
class Texts:
  """Token ids and masks [n, L] of the texts to train on and of those held out."""

  train: tuple[np.ndarray, np.ndarray]
  held_out: tuple[np.ndarray, np.ndarray]

  @classmethod
  def split(cls, input_ids: np.ndarray, mask: np.ndarray, num_held_out: int, seed: int) -> 'Texts':
    """Holds out a random part, at most half."""
    num_held_out = min(num_held_out, len(input_ids) // 2)
    if not num_held_out:
      raise InputError(f'{len(input_ids)} texts before the cut are too few to pre-train on')
    order = np.random.default_rng((seed, 1)).permutation(len(input_ids))
    held_out, train = order[:num_held_out], order[num_held_out:]
    return cls((input_ids[train], mask[train]), (input_ids[held_out], mask[held_out]))


def task(
  variant: str, encoder: TextEncoder, texts: Texts, config: PretrainConfig, seed: int
) -> Task:
  """The task of one variant; the encoder is changed in place."""
  # The embeddings, tied to the output, stay.
  places = ('head',) if variant == 'frozen' else ('head', 'transformer')

  def losses(
    model: LanguageModel, key: jax.Array, batch: jax.Array, data: Any, phase: Hashable
  ) -> tuple[jax.Array, jax.Array, Metrics]:
    del phase
    input_ids, mask = data
    mask_key, dropout_key = jax.random.split(key)
    rngs = nnx.Rngs(dropout=dropout_key)
    values, weights = _token_losses(
      model, mask_key, input_ids[batch], mask[batch], config.mask_rate, rngs
    )
    return values, weights, {}

  return Task(
    name=f'pretrain {variant}',
    model=LanguageModel(encoder, rngs=nnx.Rngs(seed)),
    trainable=nnx.All(nnx.Param, lambda path, _: any(place in path for place in places)),
    losses=losses,
    batches=text_batches(len(texts.train[0]), config.batch_size, seed),
    optimizer=_optimizer(config),
    schedule=Schedule(config.num_steps, config.validate_every),
    validate=lambda model: {
      'negative_loss': -float(held_out_losses(model, texts, config, seed).mean())
    },
    ema_decay=_EMA_DECAY,
    data=jax.tree.map(jnp.asarray, texts.train),
  )


def _optimizer(config: PretrainConfig) -> optax.GradientTransformation:
  """AdamW for the head, and another for the blocks, which join at half of the steps."""
  head, blocks = (
    optimizers.adamw(rate, config.num_steps, weight_decay=config.weight_decay, start=start)
    for rate, start in (
      (config.learning_rate, 0),
      (config.encoder_learning_rate, config.num_steps // 2),
    )
  )

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)

  return optax.multi_transform({'head': head, 'encoder': blocks}, groups)


def held_out_losses(
  model: LanguageModel, texts: Texts, config: PretrainConfig, seed: int
) -> np.ndarray:
  """[n] mean loss in nats over the hidden tokens of each held-out text.

  The same tokens are hidden for every model.
  """
  model = nnx.view(model, deterministic=True)
  keys = jax.random.split(jax.random.key(seed), len(texts.held_out[0]))
  (ids, mask), size = texts.held_out, config.batch_size
  parts = [
    _text_losses(model, keys[i], ids[i : i + size], mask[i : i + size], rate=config.mask_rate)
    for i in range(0, len(keys), size)
  ]
  return np.concatenate(parts)


@nnx.jit(static_argnames='rate')
def _text_losses(
  model: LanguageModel, key: jax.Array, input_ids: ArrayLike, mask: ArrayLike, rate: float
) -> jax.Array:
  texts = jnp.asarray(input_ids), jnp.asarray(mask)
  losses, weights = _token_losses(model, key, *texts, rate, None)
  return (losses * weights).sum(1) / jnp.maximum(weights.sum(1), 1)


def _token_losses(
  model: LanguageModel,
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
