"""Transformer blocks of the text encoders and the user encoder; a config says what is in them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.models.config import RotaryScaling, TransformerConfig


def norm(config: TransformerConfig, dim: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm | nnx.RMSNorm:
  """The norm that a config names, over the last of the axes."""
  kind = nnx.RMSNorm if config.norm == 'rms' else nnx.LayerNorm
  return kind(dim, epsilon=config.norm_epsilon, rngs=rngs)


class Prefix(nnx.Module):
  """Keys and values of one block that every query sees before those of the text.

  They are no positions of the text: none of them asks, and no rotation or distance applies to them.
  """

  def __init__(self, key: nnx.Param, value: nnx.Param):
    """Both [P, heads of keys, width of a head]."""
    self.key, self.value = key, value


class Prompt(nnx.Module):
  """Vectors that stand before those of every text, from one block to the end of the stack."""

  def __init__(self, vectors: nnx.Param, block: int):
    """Vectors [P, D], put before the input of a block."""
    self.vectors, self.block = vectors, block


class Attention(nnx.Module):
  """Multi-head self-attention (Vaswani et al. 2017, 3.2), in groups of queries where asked."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    dim, width = config.hidden_dim, config.head_width
    self.head_width = width
    self.causal = config.causal
    self.rotary = (config.rotary_base, config.rotary_scaling)
    self.positions = config.positions
    sizes = {'query': config.num_heads, 'key': config.key_value_heads}
    bias = config.query_bias
    self.query = nnx.Linear(dim, sizes['query'] * width, use_bias=bias, rngs=rngs)
    self.key = nnx.Linear(dim, sizes['key'] * width, use_bias=bias, rngs=rngs)
    self.value = nnx.Linear(dim, sizes['key'] * width, use_bias=bias, rngs=rngs)
    self.out = nnx.Linear(sizes['query'] * width, dim, use_bias=config.out_bias, rngs=rngs)
    # ALiBi's geometric series, from 1/2 for the first head to 1/256 for the last.
    exponents = jnp.linspace(1.0, 8.0, config.num_heads)
    self.log2_slopes = nnx.Param(-exponents) if config.positions == 'alibi' else None
    has_norm = config.query_key_norm
    self.query_norm = norm(config, width, rngs=rngs) if has_norm else None
    self.key_norm = norm(config, width, rngs=rngs) if has_norm else None
    self.prefix: Prefix | None = nnx.data(None)

  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Attends.

    Args:
      x: [B, L, D].
      mask: [B, L], False where a key is padding, or [B, L, L], the keys that each query may see.

    Returns:
      [B, L, D].
    """
    query, key, value = self.project(x)
    bias, causal = self._recency_bias(x.shape[1]), self.causal
    mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    if self.prefix is not None:
      key, value = (
        _before(more[...], of) for more, of in ((self.prefix.key, key), (self.prefix.value, value))
      )
      bias, mask, causal = self._beside_prefix(bias, mask)
    attended = jax.nn.dot_product_attention(
      query, key, value, bias=bias, mask=mask, is_causal=causal
    )
    return self.out(attended.reshape(*x.shape[:-1], -1))

  def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries, keys and values [B, L, heads, W] of x [B, L, D], as attention compares them."""
    query, key, value = (
      project(x).reshape(*x.shape[:-1], -1, self.head_width)
      for project in (self.query, self.key, self.value)
    )
    if self.query_norm is not None and self.key_norm is not None:
      query, key = self.query_norm(query), self.key_norm(key)
    if self.positions == 'rotary':
      query, key = (rotate(each, *self.rotary) for each in (query, key))
    # Norms and angles are of float32 whatever the projections compute in.
    return query.astype(value.dtype), key.astype(value.dtype), value

  def _beside_prefix(
    self, bias: jax.Array | None, mask: jax.Array
  ) -> tuple[jax.Array | None, jax.Array, bool]:
    """Bias, mask [B, 1, 1 or L, L] and causality with the keys of the prefix before the others."""
    num = self.prefix.key.shape[0] if self.prefix is not None else 0
    length = mask.shape[-1]
    if self.causal:
      # Position l sees the prefix and l + 1 keys; JAX's own mask would count the prefix as text.
      mask = mask & jnp.tri(length, dtype=jnp.bool_)
    before = ((0, 0), (0, 0), (0, 0), (num, 0))
    bias = None if bias is None else jnp.pad(bias, before)
    return bias, jnp.pad(mask, before, constant_values=True), False

  def _recency_bias(self, length: int) -> jax.Array | None:
    """[1, heads, L, L], -slope * (query position - key position); None without ALiBi."""
    if self.log2_slopes is None:
      return None
    position = jnp.arange(length)
    distance = position[:, None] - position[None, :]
    return -(2.0 ** self.log2_slopes[...])[None, :, None, None] * distance


def _before(rows: jax.Array, x: jax.Array) -> jax.Array:
  """The same rows [P, ...] before those of every text of x [B, L, ...]: [B, P + L, ...]."""
  return jnp.concatenate([jnp.broadcast_to(rows, (len(x), *rows.shape)), x], axis=1)


def rotate(x: jax.Array, base: float, scaling: RotaryScaling | None) -> jax.Array:
  """Turns the halves of each head by angles that grow with the position (Su et al. 2021, eq. 34).

  Args:
    x: [B, L, heads, W]; numbers i and i + W/2 are a plane.
    base: plane i turns by base^(-2i/W) a token.
    scaling: of the slow planes, if any.

  Returns:
    [B, L, heads, W].
  """
  width = x.shape[-1]
  # A constant of the program, so it can be as precise as NumPy makes it.
  frequency = base ** (-np.arange(0, width, 2) / width)
  if scaling is not None:
    turns = scaling.length * frequency / (2 * np.pi)
    kept = np.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
    frequency = frequency * (kept + (1 - kept) / scaling.factor)
  angle = jnp.arange(x.shape[1])[:, None, None] * frequency
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  first, second = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Block(nnx.Module):
  """One Transformer block; where the norms stand depends on `norm_first`."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    dim, bias = config.hidden_dim, config.mlp_bias
    self.norm_first = config.norm_first
    self.mlp = config.mlp
    self.attention = Attention(config, rngs=rngs)
    self.attention_norm = norm(config, dim, rngs=rngs)
    self.mlp_in = nnx.Linear(dim, config.mlp_dim, use_bias=bias, rngs=rngs)
    self.mlp_out = nnx.Linear(config.mlp_dim, dim, use_bias=bias, rngs=rngs)
    self.mlp_norm = norm(config, dim, rngs=rngs)
    self.dropout = nnx.Dropout(config.dropout_rate)
    has_gate = config.mlp == 'swiglu'
    gate = nnx.Linear(dim, config.mlp_dim, use_bias=bias, rngs=rngs) if has_gate else None
    self.mlp_gate = gate

  def __call__(self, x: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
    """x [B, L, D], mask as in `Attention` -> [B, L, D]; `rngs` is for dropout in training."""
    if self.norm_first:
      x = x + self.dropout(self.attention(self.attention_norm(x), mask), rngs=rngs)
      return x + self.dropout(self._mlp(self.mlp_norm(x)), rngs=rngs)
    x = self.attention_norm(x + self.dropout(self.attention(x, mask), rngs=rngs))
    return self.mlp_norm(x + self.dropout(self._mlp(x), rngs=rngs))

  def _mlp(self, x: jax.Array) -> jax.Array:
    if self.mlp_gate is not None:
      return self.mlp_out(jax.nn.silu(self.mlp_gate(x)) * self.mlp_in(x))
    # BERT's weights were trained with erf, GPT-2's with the tanh approximation.
    return self.mlp_out(jax.nn.gelu(self.mlp_in(x), approximate=self.mlp == 'gelu_tanh'))


class Transformer(nnx.Module):
  """A stack of blocks."""

  def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
    self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.num_layers)])
    self.prompt: Prompt | None = nnx.data(None)
    self.rematerialises = False

  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array,
    rngs: nnx.Rngs | None = None,
    *,
    first: int = 0,
    end: int | None = None,
  ) -> jax.Array:
    """Applies blocks [first, end) of the stack: x [B, L, D], mask as in `Attention` -> [B, L, D].

    A prompt joins before its block and leaves with the last one: a stack that is cut anywhere but
    there gives something else. It takes a mask [B, L].
    """
    mask, length = mask.astype(jnp.bool_), x.shape[1]
    blocks = self.blocks[first:end]
    if self.rematerialises and self.prompt is None and len(blocks):
      return _rematerialised(blocks, x, mask, rngs)
    for number, block in enumerate(blocks, first):
      if self.prompt is not None and number == self.prompt.block:
        x = _before(self.prompt.vectors[...], x)
        mask = jnp.pad(mask, ((0, 0), (x.shape[1] - length, 0)), constant_values=True)
      x = block(x, mask, rngs)
    return x[:, x.shape[1] - length :]


def _rematerialised(
  blocks: Sequence[Block], x: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None
) -> jax.Array:
  """Blocks of one kind, of which only the inputs are kept for the way back.

  In a loop, because XLA for CPUs merges what is computed twice in one piece of code, and so undoes
  the rematerialisation of blocks that follow each other there.
  """
  parts = [nnx.split(block) for block in blocks]
  graphdef = parts[0][0]
  states = jax.tree.map(lambda *each: jnp.stack(each), *(state for _, state in parts))
  keys = None if rngs is None else jax.random.split(rngs.dropout(), len(parts))

  @jax.checkpoint
  def apply(x: jax.Array, each: tuple[nnx.State, jax.Array | None]) -> tuple[jax.Array, None]:
    state, key = each
    own = None if key is None else nnx.Rngs(dropout=key)
    return nnx.merge(graphdef, state)(x, mask, own), None

  return jax.lax.scan(apply, x, (states, keys))[0]
