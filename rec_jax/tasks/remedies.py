"""What is put around the loss of a model against overfitting: R-Drop, adversaries, varied texts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rec_jax.losses import adversarial, consistency
from rec_jax.losses.retrieval import full_softmax
from rec_jax.tasks.config import FinetuneConfig

# (key of dropout, shift [N, D] of the item vectors) -> user vectors [P, D], item vectors [N, D].
Forward = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def losses(
  key: jax.Array,
  forward: Forward,
  target: jax.Array,
  weights: jax.Array,
  known: jax.Array,
  dim: int,
  config: FinetuneConfig,
) -> jax.Array:
  """-log P(target | user), and what else the config asks of it.

  With an adversary it is the mean over the shifts of `adversarial.points`. With R-Drop a second
  pass joins the mean, and half of the weight times the divergence of both passes is added: that is
  eq. 4 of Liang et al. 2021, whose first term is the sum of two passes, divided by two.

  Args:
    key: typed key.
    forward: what is trained.
    target: [P] int32.
    weights: [P] of the losses in their mean.
    known: [N] bool, the items of the softmax.
    dim: D.
    config: which remedies.

  Returns:
    [P] float32.
  """
  shape = len(known), dim
  attack, first, second = key, key, key
  if config.adversary != 'none' or config.consistency_weight:
    attack, first, second = jax.random.split(key, 3)

  def of(shift: jax.Array) -> jax.Array:
    return full_softmax(*forward(first, shift), target, known)

  points = adversarial.points(
    config.adversary,
    attack,
    lambda shift: (of(shift) * weights).sum(),
    shape,
    config.adversary_radius,
  )
  values = jnp.stack([of(shift) for shift in points]).mean(0)
  if not config.consistency_weight:
    return values
  users, items = forward(first, jnp.zeros(shape))
  others, other_items = forward(second, jnp.zeros(shape))
  divergence = consistency.symmetric_kl(users @ items.T, others @ other_items.T, known)
  both = (values + full_softmax(others, other_items, target, known)) / 2
  return both + config.consistency_weight / 2 * divergence


def varied_text(key: jax.Array, text: jax.Array, shifts: jax.Array) -> jax.Array:
  """[N, H], each text vector as it is or moved to that of one of its variants, all as likely.

  Args:
    key: typed key.
    text: [N, H].
    shifts: [V, N, H], from a text to each of its variants.
  """
  variant = jax.random.randint(key, (len(text),), 0, len(shifts) + 1)
  moved = shifts[variant - 1, jnp.arange(len(text))]
  return text + jnp.where((variant > 0)[:, None], moved, 0.0)
