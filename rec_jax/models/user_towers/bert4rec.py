"""A bidirectional Transformer that fills in events that were hidden: BERT4Rec (Sun et al. 2019).

In training, events of a history are replaced by a learnt mask vector (their section 3.6), and the
vector at each of them predicts the item from both sides. A recommendation is asked for by a mask
behind the last event. Each event is its item plus a learnt vector for its place (eq. 6), counted
from the end, so that neither padding nor the length of a history moves what stands near the mask.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TransformerConfig, TwoTowerConfig
from rec_jax.models.transformer import Transformer
from rec_jax.models.user_towers.base import UserTower


class BERT4Rec(UserTower):
  """Attention to all events. The vector after a prefix takes a pass of its own."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    super().__init__(config, rngs=rngs)
    # As long as an item vector, beside which a shorter one would not be seen.
    init = nnx.initializers.normal(config.dim**-0.5)
    self.place = nnx.Embed(config.history_length + 1, config.dim, embedding_init=init, rngs=rngs)
    self.transformer = Transformer(
      TransformerConfig(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.dim,
        mlp_dim=4 * config.dim,
        dropout_rate=config.dropout_rate,
        norm_first=True,
        norm_epsilon=1e-6,
      ),
      rngs=rngs,
    )
    self.norm = nnx.LayerNorm(config.dim, rngs=rngs)

  def at_hidden(
    self,
    item_vectors: jax.Array,
    history: jax.Array,
    rewards: jax.Array,
    hidden: jax.Array,
    rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """User vectors at the events of a history, each from the others on both sides of it.

    Args:
      item_vectors: [N, D].
      history: [B, L] as in `__call__`.
      rewards: [B, L] likewise.
      hidden: [B, L] bool, events that are not read but predicted.
      rngs: stream `dropout`, needed only in training.

    Returns:
      [B, L, D], of use where an event is hidden.
    """
    events = self._events(item_vectors, jnp.where(hidden, 0, history), rewards)
    x = self.dropout(jnp.where(hidden[..., None], self.start[...], events), rngs=rngs)
    mask, place = hidden | (history > 0), jnp.arange(history.shape[1])
    last = jnp.max(jnp.where(mask, place, 0), axis=1, keepdims=True, initial=0)
    return self._out(self._read(x, mask, last - place, rngs))

  def after_whole(
    self, item_vectors: jax.Array, history: jax.Array, rewards: jax.Array
  ) -> jax.Array:
    """[B, D], the vectors after the whole of each history, in one pass; as `__call__` has them."""
    start = jnp.broadcast_to(self.start[...], (len(history), 1, item_vectors.shape[1]))
    x = jnp.concatenate([start, self._events(item_vectors, history, rewards)], axis=1)
    mask = jnp.pad(history > 0, ((0, 0), (1, 0)), constant_values=True)
    return self._out(self._at_end(x, mask, (history > 0).sum(1, keepdims=True), None))

  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    del times
    length, steps = x.shape[1], jnp.arange(x.shape[1])
    keys = None if rngs is None else jax.random.split(rngs.dropout(), length)

    def after(given: tuple[jax.Array, jax.Array | None]) -> jax.Array:
      number, key = given
      own = None if key is None else nnx.Rngs(dropout=key)
      return self._at_end(x, mask & (steps <= number), number, own)

    return jnp.swapaxes(jax.lax.map(after, (steps, keys)), 0, 1)

  def _at_end(
    self, x: jax.Array, mask: jax.Array, number: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    """[B, D], what the mask behind `number` events ([] or [B, 1]) reads; in x it stands first.

    Its place is the one behind the events, and attention knows of places by their vectors alone.
    """
    index = jnp.arange(x.shape[1])
    return self._read(x, mask, jnp.where(index == 0, 0, number + 1 - index), rngs)[:, 0]

  def _read(
    self, x: jax.Array, mask: jax.Array, age: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    """x [B, L, D] after all blocks; age [L] or [B, L] counts places from the end."""
    age = jnp.clip(age, 0, self.place.num_embeddings - 1)
    return self.transformer(x + self.place(age), mask, rngs)
