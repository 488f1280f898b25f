"""What all user towers share: events in, user vectors after every prefix out."""

import abc
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TwoTowerConfig


class UserTower(nnx.Module):
  """History to user vector.

  A tower gives `_after_prefixes` and, built last, a `norm` for what that returns.

  Attributes:
    reads_times: whether the times of events say anything to it.
  """

  reads_times: ClassVar[bool] = False
  norm: nnx.LayerNorm

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    init = nnx.initializers.normal(0.02)
    # As long as an item vector: layer norms of a vector near zero have gradients without bound.
    self.start = nnx.Param(nnx.initializers.normal(config.dim**-0.5)(rngs.params(), (config.dim,)))
    self.reward = nnx.Embed(2, config.dim, embedding_init=init, rngs=rngs)
    self.dropout = nnx.Dropout(config.dropout_rate)
    self.temperature = config.temperature
    learns = not config.temperature
    self.log_temperature = nnx.Param(jnp.zeros(())) if learns else None
    # From zeros: what nothing is learnt of, such as hours without an event, has no effect.
    zeros, sizes = nnx.initializers.zeros_init(), (config.context_dim, config.dim)
    reads_context = config.context_dim > 0
    self.context = (
      nnx.Linear(*sizes, use_bias=False, kernel_init=zeros, rngs=rngs) if reads_context else None
    )

  @property
  def context_width(self) -> int:
    """C, numbers of the features of a user and a moment."""
    return self.context.in_features if self.context is not None else 0

  def __call__(
    self,
    item_vectors: jax.Array,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array | None = None,
    rngs: nnx.Rngs | None = None,
    context: jax.Array | None = None,
  ) -> jax.Array:
    """User vectors after every prefix of a history.

    Args:
      item_vectors: [N, D].
      history: [B, L] int32, item index + 1 in order of time, 0 for padding at the end and for
        events that are hidden.
      rewards: [B, L] int32, 1 where the user liked the item, else 0.
      times: [B, L] int32 seconds from any common start; only towers that read times need them.
      rngs: stream `dropout`, needed only in training.
      context: [B, L + 1, C], features of the user and of the moment in which the event behind each
        prefix is asked for, or [B, 1, C]; a linear map of them is added to the vectors.

    Returns:
      [B, L + 1, D]: position 0 is the user of whom nothing is known, position t has seen t items.

    Raises:
      ValueError: the tower reads times, and there are none.
    """
    if times is None:
      if self.reads_times:
        raise ValueError(f'{type(self).__name__} reads the times of events, and none are given')
      times = jnp.zeros_like(history)
    start = jnp.broadcast_to(self.start[...], (len(history), 1, item_vectors.shape[1]))
    events = self._events(item_vectors, history, rewards)
    x = self.dropout(jnp.concatenate([start, events], axis=1), rngs=rngs)
    mask = jnp.pad(history > 0, ((0, 0), (1, 0)), constant_values=True)
    # The start is as old as the first event, the only time that everyone after it knows.
    first = times[:, :1] if times.shape[1] else jnp.zeros((len(times), 1), times.dtype)
    users = self._out(self._after_prefixes(x, mask, jnp.concatenate([first, times], axis=1), rngs))
    return users if self.context is None or context is None else users + self.context(context)

  @abc.abstractmethod
  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    """What position t of [B, L + 1, D] makes of positions 0 to t alone.

    Args:
      x: [B, L + 1, D], a learnt start and then the events.
      mask: [B, L + 1] bool, False where there is no event to read.
      times: [B, L + 1].
      rngs: stream `dropout`.
    """

  def _events(self, item_vectors: jax.Array, history: jax.Array, rewards: jax.Array) -> jax.Array:
    """[B, L, D], each event as its item and what the user thought of it; zeros at padding."""
    events = item_vectors[jnp.maximum(history - 1, 0)] + self.reward(rewards)
    return jnp.where(history[..., None] > 0, events, 0.0)

  def _out(self, x: jax.Array) -> jax.Array:
    """User vectors [..., D], whose inner products with item vectors are the logits."""
    users = self.norm(x)
    if self.log_temperature is not None:
      return users * jnp.exp(-self.log_temperature[...])
    return users if self.temperature == 1 else users / self.temperature


def last_user_vector(user_vectors: jax.Array, history: jax.Array) -> jax.Array:
  """[B, D], the vector after the whole of each history [B, L], out of [B, L + 1, D]."""
  length = (history > 0).sum(1)
  return jnp.take_along_axis(user_vectors, length[:, None, None], axis=1)[:, 0]
