"""What is put around the loss of a model against overfitting: R-Drop, adversaries, varied texts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rec_jax.losses import adversarial
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.negatives import Vectors
from rec_jax.tasks.objectives import Objective

# (key of dropout, shift of the item vectors) -> what is compared.
Forward = Callable[[jax.Array, jax.Array], Vectors]


def losses(
  key: jax.Array,
  forward: Forward,
  objective: Objective,
  weights: jax.Array,
  shape: tuple[int, int],
  config: FinetuneConfig,
) -> jax.Array:
  """The losses of an objective, and what else the config asks of it.

  With an adversary it is the mean over the shifts of `adversarial.points`. With R-Drop a second
  pass joins the mean, and half of the weight times the divergence of both passes is added: that is
  eq. 4 of Liang et al. 2021, whose first term is the sum of two passes, divided by two.

  Args:
    key: typed key.
    forward: what is trained.
    objective: of P events.
    weights: [P] of the losses in their mean.
    shape: of the item vectors.
    config: which remedies.

  Returns:
    [P] float32.
  """
  attack, first, second = key, key, key
  if config.adversary != 'none' or config.consistency_weight:
    attack, first, second = jax.random.split(key, 3)

  def of(shift: jax.Array) -> jax.Array:
    return objective.losses(forward(first, shift))

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
  one, other = (forward(each, jnp.zeros(shape)) for each in (first, second))
  both = (values + objective.losses(other)) / 2
  return both + config.consistency_weight / 2 * objective.divergence(one, other)


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
