"""Losses of the two-tower softmax model: over the whole catalogue, or over a sample of it.

A likelihood enters a loss with a minus sign: a loss is descended, a likelihood climbed.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def full_softmax(
  user_vectors: jax.Array, item_vectors: jax.Array, target: jax.Array, item_mask: jax.Array
) -> jax.Array:
  """-log P(target | u) with P(i|u) = exp(u·M̂(i)) / Σ_j exp(u·M̂(j)) over the items of the mask.

  Args:
    user_vectors: [B, D].
    item_vectors: [N, D].
    target: [B] int32, each an item of the mask.
    item_mask: [N] bool, the catalogue of the sum.

  Returns:
    [B] float32.
  """
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
