"""Heads of classes on what the chain has: a text encoder, and the two towers.

A sequence is a text or a history, and has one set of classes; a token is an event of a history, and
has its own. Logits are of classes, exclusive or not.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.linear_path import Buffer
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.two_tower import TwoTower
from rec_jax.models.user_towers import last_user_vector


class TextClassifier(nnx.Module):
  """A text by its text vector, on an encoder whose lower blocks have been passed."""

  def __init__(self, encoder: TextEncoder, depth: int, num_classes: int, *, rngs: nnx.Rngs):
    self.encoder, self.depth = encoder, depth
    self.head = nnx.Linear(encoder.token.features, num_classes, rngs=rngs)

  def __call__(self, lower: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
    """Logits [B, C] of texts [B, L, H] after `depth` blocks, or of tokens [B, L]; mask [B, L]."""
    if lower.ndim == 2:
      # Blocks that are not tuned have no dropout, as if what they leave had been kept.
      lower = nnx.view(self.encoder, deterministic=True).lower(lower, mask, self.depth)
    hidden = self.encoder.upper(lower, mask, self.depth, rngs)
    # Text vectors have length 1; a head learns from numbers of about 1.
    vectors = self.encoder.pool(hidden, mask) * self.encoder.token.features**0.5
    return self.head(vectors)


class HistoryClassifier(nnx.Module):
  """A user by the user vector after the whole history, and by features beside it."""

  def __init__(self, towers: TwoTower, features: ArrayLike, num_classes: int, *, rngs: nnx.Rngs):
    """Features [n, F] of others say what is the mean and the spread of each."""
    self.towers = towers
    features = jnp.asarray(features)
    self.mean, self.spread = Buffer(features.mean(0)), Buffer(features.std(0) + 1e-6)
    self.head = nnx.Linear(towers.items.dim + features.shape[1], num_classes, rngs=rngs)

  def __call__(
    self,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array,
    features: jax.Array,
    rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """Logits [B, C] of histories [B, L] with rewards and times, as in `UserTower`, and [B, F]."""
    users = self.towers.users(self.towers.items(rngs=rngs), history, rewards, times, rngs)
    scaled = (features - self.mean[...]) / self.spread[...]
    return self.head(jnp.concatenate([last_user_vector(users, history), scaled], axis=1))


class EventClassifier(nnx.Module):
  """Each event by its item and by the user vector after the events before it."""

  def __init__(self, towers: TwoTower, num_classes: int, *, rngs: nnx.Rngs):
    self.towers = towers
    self.head = nnx.Linear(3 * towers.items.dim, num_classes, rngs=rngs)

  def __call__(
    self,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array,
    rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """Logits [B, L + 1, C] of the events of histories [B, L + 1]; of its own reward none knows."""
    items = self.towers.items(rngs=rngs)
    before, liked, when = (each[:, :-1] for each in (history, rewards, times))
    users = self.towers.users(items, before, liked, when, rngs)
    events = items[jnp.maximum(history - 1, 0)]
    # Their product is the inner product by which the towers rank, before it is summed.
    return self.head(jnp.concatenate([users, events, users * events], axis=-1))
