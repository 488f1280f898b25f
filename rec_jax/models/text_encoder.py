"""The text encoder, bidirectional or causal, how it pools, and the language-modelling heads."""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.transformer import Transformer, norm
from rec_jax.types import InputError


class TextEncoder(nnx.Module):
  """Token ids to contextual vectors: BERT, RoBERTa, GPT-2, Llama and their like, by the config."""

  def __init__(self, config: TextEncoderConfig, *, rngs: nnx.Rngs):
    blocks = config.transformer
    dim = blocks.hidden_dim
    self.max_length = config.max_length
    self.pooling = config.pooling
    self.causal = blocks.causal
    self.num_reserved = config.position_offset or 0

    def table(size: int) -> nnx.Embed:
      return nnx.Embed(size, dim, embedding_init=nnx.initializers.normal(0.02), rngs=rngs)

    self.token = table(config.vocab_size)
    offset = config.position_offset
    self.position = None if offset is None else table(offset + config.max_length)
    self.type = table(config.num_types) if config.num_types else None
    self.norm = norm(blocks, dim, rngs=rngs) if config.embedding_norm else None
    self.dropout = nnx.Dropout(blocks.dropout_rate)
    self.transformer = Transformer(blocks, rngs=rngs)
    self.final_norm = norm(blocks, dim, rngs=rngs) if config.final_norm else None

  def __call__(
    self,
    token_ids: jax.Array,
    mask: jax.Array,
    rngs: nnx.Rngs | None = None,
    positions: jax.Array | None = None,
  ) -> jax.Array:
    """Encodes texts.

    Args:
      token_ids: [B, L] int32.
      mask: [B, L], 0 where a token is padding, which stands at the end; or [B, L, L], the tokens
        that each token may see.
      rngs: stream `dropout`, needed only in training.
      positions: [B, L] int32 of the tokens in their texts, if a row holds several, see `packing`.

    Returns:
      [B, L, H] float32, one vector a token.

    Raises:
      InputError: L is more than the encoder has positions.
    """
    return self.upper(self.lower(token_ids, mask, 0, rngs, positions), mask, 0, rngs)

  def lower(
    self,
    token_ids: jax.Array,
    mask: jax.Array,
    depth: int,
    rngs: nnx.Rngs | None = None,
    positions: jax.Array | None = None,
  ) -> jax.Array:
    """[B, L, H] after the embeddings and the first `depth` blocks."""
    length = token_ids.shape[1]
    if positions is None and length > self.max_length:
      raise InputError(
        f'texts of {length} tokens, but the encoder has {self.max_length} positions; '
        f'set --config.data.text_length to at most {self.max_length}'
      )
    positions = jnp.arange(length) if positions is None else positions
    x = self.token(token_ids)
    if self.position is not None:
      x = x + self.position(positions + self.num_reserved)
    if self.type is not None:
      x = x + self.type(jnp.zeros_like(positions))
    if self.norm is not None:
      x = self.norm(x)
    return self.transformer(self.dropout(x, rngs=rngs), mask, rngs, end=depth)

  def upper(
    self, hidden: jax.Array, mask: jax.Array, depth: int, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """[B, L, H], what `lower` returned passed through the remaining blocks."""
    hidden = self.transformer(hidden, mask, rngs, first=depth)
    return hidden if self.final_norm is None else self.final_norm(hidden)

  def pool(self, hidden: jax.Array, mask: jax.Array) -> jax.Array:
    """[B, H] unit vectors of texts, from the vectors of their tokens; see `pool`."""
    return pool(hidden, mask, self.pooling)


def pool(hidden: jax.Array, mask: jax.Array, pooling: str) -> jax.Array:
  """One unit vector a text.

  Args:
    hidden: [B, L, H], the vectors of its tokens.
    mask: [B, L], 0 where a token is padding.
    pooling: 'mean' over the tokens, as Sentence-BERT pools (Reimers & Gurevych 2019), or the
      'first' token (BERT's [CLS]) or the 'last', which alone has seen all of a causal encoder.

  Returns:
    [B, H]; zeros for a row of padding.
  """
  chosen = mask.astype(jnp.bool_)
  if pooling != 'mean':
    # Counted from either end, the token wanted is the first.
    order = jnp.cumsum(chosen if pooling == 'first' else chosen[:, ::-1], axis=1)
    order = order if pooling == 'first' else order[:, ::-1]
    chosen = chosen & (order == 1)
  pooled = mean_pool(hidden, chosen)
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
    return _logits(self.dense, x, token_embedding) + self.bias[...]


class CausalLanguageModelHead(nnx.Module):
  """Vectors to logits of the next token; as it starts, those of the published language model.

  A matrix that starts at the identity stands before the output matrix, which stays as it is: the
  token embedding, or the model's own where it has one.
  """

  def __init__(self, vocab_size: int, dim: int, *, rngs: nnx.Rngs):
    identity = lambda key, shape, dtype: jnp.eye(shape[0], dtype=dtype)  # noqa: E731
    self.dense = nnx.Linear(dim, dim, kernel_init=identity, rngs=rngs)
    self.bias = nnx.Param(jnp.zeros(vocab_size))

  def __call__(self, hidden: jax.Array, output_matrix: jax.Array) -> jax.Array:
    """hidden [..., H], output_matrix [V, H] -> logits [..., V]."""
    return _logits(self.dense, self.dense(hidden), output_matrix) + self.bias[...]


def _logits(dense: nnx.Linear, x: jax.Array, matrix: jax.Array) -> jax.Array:
  """[..., V] float32, x [..., H] times matrix [V, H], the product in the type of a layer."""
  x, matrix = (each.astype(dense.dtype or each.dtype) for each in (x, matrix))
  # Not rounded to bfloat16, which would leave three digits of a logit.
  return jnp.matmul(x, matrix.T, preferred_element_type=jnp.float32)
