"""R-Drop: two passes with different dropout are to agree (Liang et al. 2021)."""

import jax
import jax.numpy as jnp


def symmetric_kl(logits: jax.Array, other: jax.Array, mask: jax.Array) -> jax.Array:
  """(KL(p || q) + KL(q || p)) / 2 of the softmaxes over the items of the mask (eq. 2).

  Args:
    logits: [..., N], of p.
    other: [..., N], of q.
    mask: [N] or [..., N] bool, the items of both sums.

  Returns:
    [...] nats.
  """
  log_p, log_q = (jax.nn.log_softmax(jnp.where(mask, x, -jnp.inf)) for x in (logits, other))
  # Outside of the mask both are zero; -inf less -inf would be NaN.
  gap = jnp.where(mask, log_p - log_q, 0.0)
  return 0.5 * jnp.sum((jnp.exp(log_p) - jnp.exp(log_q)) * gap, axis=-1)


def symmetric_kl_of_pairs(logits: jax.Array, other: jax.Array) -> jax.Array:
  """(KL(p || q) + KL(q || p)) / 2 of Bernoulli distributions with p = σ(logit), q = σ(other).

  Args:
    logits: [...].
    other: [...].

  Returns:
    [...] nats, (p - q) (logit - other) / 2.
  """
  return 0.5 * (jax.nn.sigmoid(logits) - jax.nn.sigmoid(other)) * (logits - other)
