"""A BERT-like text encoder (Devlin et al. 2019) and its masked-language-modelling head."""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.transformer import Transformer
from rec_jax.types import InputError


class TextEncoder(nnx.Module):
  """Token ids to contextual vectors."""

  def __init__(self, config: TextEncoderConfig, *, rngs: nnx.Rngs):
    dim = config.transformer.hidden_dim
    init = nnx.initializers.normal(0.02)
    self.token = nnx.Embed(config.vocab_size, dim, embedding_init=init, rngs=rngs)
    self.position = nnx.Embed(config.max_length, dim, embedding_init=init, rngs=rngs)
    self.type = nnx.Embed(config.num_types, dim, embedding_init=init, rngs=rngs)
    self.norm = nnx.LayerNorm(dim, epsilon=config.transformer.norm_epsilon, rngs=rngs)
    self.dropout = nnx.Dropout(config.transformer.dropout_rate)
    self.transformer = Transformer(config.transformer, rngs=rngs)

  def __call__(
    self, token_ids: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """Encodes texts.

    Args:
      token_ids: [B, L] int32.
      mask: [B, L], 0 where a token is padding.
      rngs: stream `dropout`, needed only in training.

    Returns:
      [B, L, H] float32, one vector a token.

    Raises:
      InputError: L is more than the encoder has positions.
    """
    return self.upper(self.lower(token_ids, mask, 0, rngs), mask, 0, rngs)

  def lower(
    self, token_ids: jax.Array, mask: jax.Array, depth: int, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """[B, L, H] after the embeddings and the first `depth` blocks."""
    length, longest = token_ids.shape[1], self.position.num_embeddings
    if length > longest:
      raise InputError(
        f'texts of {length} tokens, but the encoder has {longest} positions; '
        f'set --config.data.text_length to at most {longest}'
      )
    positions = jnp.arange(length)
    x = self.token(token_ids) + self.position(positions) + self.type(jnp.zeros_like(positions))
    x = self.dropout(self.norm(x), rngs=rngs)
    return self.transformer(x, mask, rngs, end=depth)

  def upper(
    self, hidden: jax.Array, mask: jax.Array, depth: int, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """[B, L, H], what `lower` returned passed through the remaining blocks."""
    return self.transformer(hidden, mask, rngs, first=depth)


def pool(hidden: jax.Array, mask: jax.Array) -> jax.Array:
  """[B, H] unit vectors: the mean over tokens, as Sentence-BERT pools (Reimers & Gurevych 2019)."""
  pooled = mean_pool(hidden, mask)
  # Bounded before the root: the norm itself has no gradient at the zero vector of an empty row.
  squared_norm = jnp.sum(pooled**2, axis=-1, keepdims=True)
  return pooled * jax.lax.rsqrt(jnp.maximum(squared_norm, 1e-24))


def mean_pool(hidden: jax.Array, mask: jax.Array) -> jax.Array:
  """Mean of hidden [B, L, H] over the tokens that mask [B, L] marks; returns [B, H]."""
  weights = mask.astype(hidden.dtype)[..., None]
  return (hidden * weights).sum(1) / jnp.maximum(weights.sum(1), 1e-9)


class MaskedLanguageModelHead(nnx.Module):
  """Vectors to token logits, the output matrix tied to the encoder's token embedding."""

  def __init__(self, vocab_size: int, dim: int, *, rngs: nnx.Rngs):
    self.dense = nnx.Linear(dim, dim, rngs=rngs)
    self.norm = nnx.LayerNorm(dim, rngs=rngs)
    self.bias = nnx.Param(jnp.zeros(vocab_size))

  def __call__(self, hidden: jax.Array, token_embedding: jax.Array) -> jax.Array:
    """hidden [..., H], token_embedding [V, H] -> logits [..., V]."""
    x = self.norm(jax.nn.gelu(self.dense(hidden), approximate=False))
    return x @ token_embedding.T + self.bias[...]
