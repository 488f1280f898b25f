"""Hierarchical sequential transduction units (Zhai et al. 2024, eq. 1-3).

With X the normed input of a block and φ = SiLU,
U, V, Q, K = split(φ(f1(X))),  A V = φ(Q K' + rab) V / n,  Y = f2(norm(A V) ⊙ U),
and Y is added to the input. Attention is pointwise: its weights are not normalised over the events,
so that many events of a kind count for more than one. rab is a learnt bias for how many events, and
another for how many seconds, lie between two of them. Seconds are those from event to event; what
the authors count to the time of the next event is not known before it happens.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.user_towers.base import UserTower

# Bucket b holds distances of about e^(0.301 b) seconds, as the authors' code has it; the last one
# ends past 2^31 seconds.
_BUCKET, NUM_BUCKETS = 0.301, 73


class HSTUBlock(nnx.Module):
  """One block of pointwise aggregated attention."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    dim = config.dim
    self.num_heads = config.num_heads
    # The n of the mean is the same for all histories, so that padding does not count; in the norm
    # behind it, it all but cancels.
    self.length = config.history_length + 1
    init = nnx.initializers.normal(0.02)
    self.norm = nnx.LayerNorm(dim, rngs=rngs)
    self.read = nnx.Linear(dim, 4 * dim, rngs=rngs)
    self.by_place = nnx.Param(init(rngs.params(), (self.length,)))
    self.by_time = nnx.Param(init(rngs.params(), (NUM_BUCKETS,)))
    self.norm_attended = nnx.LayerNorm(dim, use_bias=False, use_scale=False, rngs=rngs)
    self.out = nnx.Linear(dim, dim, rngs=rngs)
    self.dropout = nnx.Dropout(config.dropout_rate)

  def __call__(
    self, x: jax.Array, seen: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    """x [B, L, D], seen [B, L, L] bool, times [B, L] -> [B, L, D]."""
    parts = jnp.split(jax.nn.silu(self.read(self.norm(x))), 4, axis=-1)
    gate, (value, query, key) = parts[0], (self._heads(part) for part in parts[1:])
    logits = jnp.einsum('bihd,bjhd->bhij', query, key) + self._bias(times)[:, None]
    weights = jnp.where(seen[:, None], jax.nn.silu(logits), 0.0) / self.length
    attended = jnp.einsum('bhij,bjhd->bihd', weights, value).reshape(x.shape)
    return x + self.out(self.dropout(self.norm_attended(attended) * gate, rngs=rngs))

  def _heads(self, x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

  def _bias(self, times: jax.Array) -> jax.Array:
    """[B, L, L], rab; distances past those of training are as the last of these."""
    place = np.arange(times.shape[1])
    distance = np.clip(place[:, None] - place, 0, self.length - 1)
    return self.by_place[...][distance] + self.by_time[...][time_buckets(times)]


def time_buckets(times: jax.Array) -> jax.Array:
  """[B, L, L] int32, in which bucket the seconds between events at times [B, L] fall."""
  seconds = jnp.abs(times[:, :, None] - times[:, None, :])
  return (jnp.log(jnp.maximum(seconds, 1).astype(jnp.float32)) / _BUCKET).astype(jnp.int32)


class HSTU(UserTower):
  """Blocks of pointwise aggregated attention of each event to those before it."""

  reads_times = True

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    super().__init__(config, rngs=rngs)
    self.blocks = nnx.List([HSTUBlock(config, rngs=rngs) for _ in range(config.num_layers)])
    self.norm = nnx.LayerNorm(config.dim, rngs=rngs)

  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    seen = mask[:, None, :] & jnp.tri(x.shape[1], dtype=jnp.bool_)
    for block in self.blocks:
      x = block(x, seen, times, rngs)
    return x
