"""Index rules that read a sample mean and how often an arm was chosen: UCB1, KL-UCB and MOSS.

For the belief `sample_mean`, whose variance is one over that number. Arms that were never chosen
come first.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.explorers.by_score import Score, highest
from rec_jax.bandits.hyperparameters import check_range

_NUM_BISECTIONS = 24
_EDGE = 1e-7


def ucb1() -> Explorer:
  """The highest mean + sqrt(2 ln t / n), for rewards in [0, 1] (Auer et al. 2002, figure 1)."""

  def score(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del mask
    return outlook.mean + jnp.sqrt(2 * _log(count) * outlook.variance)

  return highest(_unseen_first(score))


def kl_ucb(log_log_weight: ArrayLike = 0.0) -> Explorer:
  """The highest mean that observations do not speak against (Garivier & Cappe 2011, algorithm 1).

  The largest q with n d(mean, q) <= ln t + c ln ln t, d the divergence of Bernoulli distributions,
  for rewards in [0, 1].

  Args:
    log_log_weight: c; the proof takes 3, the authors recommend 0.

  Raises:
    InputError: log_log_weight is negative.
  """
  check_range('log_log_weight', log_log_weight, 0)

  def score(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del mask
    log_t = _log(count)
    room = log_t + log_log_weight * jnp.log(jnp.maximum(log_t, 1))
    mean = jnp.clip(outlook.mean, 0, 1)

    def step(
      bracket: tuple[jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
      low, high = bracket
      middle = (low + high) / 2
      fits = _divergence(mean, middle) <= room * outlook.variance
      return (jnp.where(fits, middle, low), jnp.where(fits, high, middle)), None

    low, _ = jax.lax.scan(step, (mean, jnp.ones_like(mean)), length=_NUM_BISECTIONS)[0]
    return low

  return highest(_unseen_first(score))


def moss(horizon: ArrayLike = 10_000.0) -> Explorer:
  """The highest mean + sqrt(max(ln(T / (K n)), 0) / n) (Audibert & Bubeck 2009, section 2).

  Args:
    horizon: T, rows of feedback to come, at least 1.

  Raises:
    InputError: horizon is below 1.
  """
  check_range('horizon', horizon, 1)

  def score(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del count
    share = horizon * outlook.variance / jnp.maximum(jnp.sum(mask), 1)
    width = jnp.sqrt(jnp.maximum(jnp.log(share), 0) * outlook.variance)
    return outlook.mean + width

  return highest(_unseen_first(score))


def _unseen_first(score: Score) -> Score:
  """Arms of infinite variance come before all others."""

  def first(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    is_unseen = jnp.isinf(outlook.variance)
    seen = outlook._replace(variance=jnp.where(is_unseen, 1, outlook.variance))
    return jnp.where(is_unseen, jnp.inf, score(count, seen, mask))

  return first


def _log(count: jax.Array) -> jax.Array:
  return jnp.log(jnp.maximum(count, 1).astype(jnp.float32))


def _divergence(p: jax.Array, q: jax.Array) -> jax.Array:
  """d(p, q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)) of Bernoulli distributions."""
  q = jnp.clip(q, _EDGE, 1 - _EDGE)
  return jax.scipy.special.rel_entr(p, q) + jax.scipy.special.rel_entr(1 - p, 1 - q)
