"""Losses of the two-tower softmax model: over the whole catalogue, or over a sample of it.

A likelihood enters a loss with a minus sign: a loss is descended, a likelihood climbed.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def full_softmax(
  user_vectors: jax.Array,
  item_vectors: jax.Array,
  target: jax.Array,
  item_mask: jax.Array,
  chunk: int = 0,
) -> jax.Array:
  """-log P(target | u) with P(i|u) = exp(u·M̂(i)) / Σ_j exp(u·M̂(j)) over the items of the mask.

  Args:
    user_vectors: [B, D].
    item_vectors: [N, D].
    target: [B] int32, each an item of the mask.
    item_mask: [N] bool, the catalogue of the sum.
    chunk: items whose logits are held at once, [B, chunk] in place of [B, N], on the way back too;
      0 for all. The logits are then computed twice.

  Returns:
    [B] float32.
  """
  if chunk:
    chosen = jnp.einsum('bd,bd->b', user_vectors, item_vectors[target])
    return _log_partition(chunk, user_vectors, item_vectors, item_mask) - chosen
  logits = jnp.where(item_mask, user_vectors @ item_vectors.T, -jnp.inf)
  chosen = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
  return jax.nn.logsumexp(logits, axis=1) - chosen


def sampled_softmax(
  logits: jax.Array, log_expected: ArrayLike, is_negative: ArrayLike
) -> jax.Array:
  """-log of P(target | u) with the sum over the catalogue estimated from items drawn from q.

  Σ_j exp(u·M̂(j)) is estimated by exp(u·M̂(target)) + Σ_k exp(u·M̂(k) - log(K q(k))) over K draws k,
  those of the target itself left out: importance sampling, without bias whatever q (Bengio &
  Senécal 2008, section III; the correction of Jean et al. 2015, eq. 8). Log q is subtracted: an
  item that is drawn often counts less each time. The logarithm makes the loss too small, on average
  by the variance of the estimate over twice its square, which falls as 1 / K; its gradient goes to
  that of `full_softmax` likewise.

  Args:
    logits: [..., 1 + K], u·M̂ of the target and then of the items drawn.
    log_expected: [..., K] or [], log(K q(k)): how often K draws bring the item on average.
    is_negative: [..., K] bool, False where the item drawn is the target.

  Returns:
    [...] nats.
  """
  return jax.nn.logsumexp(corrected(logits, log_expected, is_negative), axis=-1) - logits[..., 0]


def corrected(logits: jax.Array, log_expected: ArrayLike, is_negative: ArrayLike) -> jax.Array:
  """[..., 1 + K] logits over whose softmax `sampled_softmax` is taken; -inf leaves one out."""
  drawn = jnp.where(is_negative, logits[..., 1:] - log_expected, -jnp.inf)
  return jnp.concatenate([logits[..., :1], drawn], axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _log_partition(chunk: int, users: jax.Array, items: jax.Array, mask: jax.Array) -> jax.Array:
  """[B], log Σ_j exp(u·M̂(j)) over the items of the mask, in chunks."""

  def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    return jnp.logaddexp(total, jax.nn.logsumexp(_masked(users, *part), axis=1)), None

  nothing = jnp.full(len(users), -jnp.inf, users.dtype)
  return jax.lax.scan(add, nothing, _in_chunks(chunk, items, mask))[0]


def _forward(
  chunk: int, users: jax.Array, items: jax.Array, mask: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  total = _log_partition(chunk, users, items, mask)
  return total, (users, items, mask, total)


def _backward(
  chunk: int, kept: tuple[jax.Array, ...], slope: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
  """The slope of log Σ exp is the softmax, which is computed anew from the sum that is known."""
  users, items, mask, total = kept

  def add(of_users: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    share = slope[:, None] * jnp.exp(_masked(users, *part) - total[:, None])
    return of_users + share @ part[0], share.T @ users

  parts = _in_chunks(chunk, items, mask)
  of_users, of_items = jax.lax.scan(add, jnp.zeros_like(users), parts)
  return of_users, of_items.reshape(-1, items.shape[1])[: len(items)], None


_log_partition.defvjp(_forward, _backward)


def _in_chunks(chunk: int, items: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Items [C, chunk, D] and mask [C, chunk], the last chunk filled with what is not in the mask."""
  missing = -len(items) % chunk
  padded = jnp.pad(items, ((0, missing), (0, 0)))
  return padded.reshape(-1, chunk, items.shape[1]), jnp.pad(mask, (0, missing)).reshape(-1, chunk)


def _masked(users: jax.Array, items: jax.Array, mask: jax.Array) -> jax.Array:
  return jnp.where(mask, users @ items.T, -jnp.inf)
