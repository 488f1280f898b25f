"""Transformer blocks shared by the text encoder (BERT-like) and the user encoder (GPT-like)."""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TransformerConfig


class Attention(nnx.Module):
  """Multi-head self-attention (Vaswani et al. 2017, section 3.2)."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    dim = config.hidden_dim
    self.num_heads = config.num_heads
    self.causal = config.causal
    self.query = nnx.Linear(dim, dim, rngs=rngs)
    self.key = nnx.Linear(dim, dim, rngs=rngs)
    self.value = nnx.Linear(dim, dim, rngs=rngs)
    self.out = nnx.Linear(dim, dim, rngs=rngs)
    # ALiBi's geometric series, from 1/2 for the first head to 1/256 for the last.
    exponents = jnp.linspace(1.0, 8.0, config.num_heads)
    self.log2_slopes = nnx.Param(-exponents) if config.causal else None

  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Attends; x [B, L, D], mask [B, L] with False where a key is padding. Returns [B, L, D]."""
    heads = (*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)
    attended = jax.nn.dot_product_attention(
      self.query(x).reshape(heads),
      self.key(x).reshape(heads),
      self.value(x).reshape(heads),
      bias=self._recency_bias(x.shape[1]),
      mask=mask[:, None, None, :],
      is_causal=self.causal,
    )
    return self.out(attended.reshape(x.shape))

  def _recency_bias(self, length: int) -> jax.Array | None:
    """[1, heads, L, L], -slope * (query position - key position); None without causality."""
    if self.log2_slopes is None:
      return None
    position = jnp.arange(length)
    distance = position[:, None] - position[None, :]
    return -(2.0 ** self.log2_slopes[...])[None, :, None, None] * distance


class Block(nnx.Module):
  """One Transformer block; where the layer norms stand depends on `norm_first`."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    dim = config.hidden_dim
    self.norm_first = config.norm_first
    self.attention = Attention(config, rngs=rngs)
    self.attention_norm = nnx.LayerNorm(dim, epsilon=config.norm_epsilon, rngs=rngs)
    self.mlp_in = nnx.Linear(dim, config.mlp_dim, rngs=rngs)
    self.mlp_out = nnx.Linear(config.mlp_dim, dim, rngs=rngs)
    self.mlp_norm = nnx.LayerNorm(dim, epsilon=config.norm_epsilon, rngs=rngs)
    self.dropout = nnx.Dropout(config.dropout_rate)

  def __call__(self, x: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
    """x [B, L, D], mask [B, L] -> [B, L, D]; `rngs` is needed only for dropout in training."""
    if self.norm_first:
      x = x + self.dropout(self.attention(self.attention_norm(x), mask), rngs=rngs)
      return x + self.dropout(self._mlp(self.mlp_norm(x)), rngs=rngs)
    x = self.attention_norm(x + self.dropout(self.attention(x, mask), rngs=rngs))
    return self.mlp_norm(x + self.dropout(self._mlp(x), rngs=rngs))

  def _mlp(self, x: jax.Array) -> jax.Array:
    # The exact GELU: BERT's weights were trained with erf, not with the tanh approximation.
    return self.mlp_out(jax.nn.gelu(self.mlp_in(x), approximate=False))


class Transformer(nnx.Module):
  """A stack of blocks."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.num_layers)])

  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array,
    rngs: nnx.Rngs | None = None,
    *,
    first: int = 0,
    end: int | None = None,
  ) -> jax.Array:
    """Applies blocks [first, end) of the stack: x [B, L, D], mask [B, L] -> [B, L, D]."""
    mask = mask.astype(jnp.bool_)
    for block in self.blocks[first:end]:
      x = block(x, mask, rngs)
    return x
