"""Where adversarial training evaluates a loss around a table of vectors, for any such loss.

Each row may be moved by at most `radius` in the Euclidean norm. A step descends the mean of the
loss over the points that are returned, which count as constants of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Table of shifts [N, D] -> loss.
Loss = Callable[[jax.Array], jax.Array]

METHODS = ('none', 'fgm', 'pgd', 'freelb')
# Ascents of PGD and FreeLB, and how far they go in all, in units of the radius: from a random start
# the edge has to be within reach.
_ASCENTS, _REACH = 3, 1.5


def points(
  method: str, key: jax.Array, loss: Loss, shape: tuple[int, int], radius: float
) -> jax.Array:
  """Shifts of the rows of a table at which a loss is to be low.

  Args:
    method: 'none' for the table as it is; 'fgm', one step of length `radius` along the gradient,
      beside the table as it is (Miyato et al. 2017, eq. 5-6); 'pgd', where projected gradient
      ascent from a random start ends (Madry et al. 2018, eq. 2.1 and section 3); 'freelb', all the
      places that it passes, the start first (Zhu et al. 2020, algorithm 1).
    key: typed key of the start.
    loss: shifts [N, D] of the table -> [].
    shape: N and D.
    radius: how far a row is moved at most.

  Returns:
    [P, N, D], without a gradient.
  """
  origin = jnp.zeros(shape)
  if method == 'none':
    return origin[None]
  if method == 'fgm':
    return jnp.stack([origin, radius * _unit(_gradient(loss, origin))])

  def ascend(shift: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    step = _REACH * radius / _ASCENTS * _unit(_gradient(loss, shift))
    return _within(shift + step, radius), shift

  end, path = jax.lax.scan(ascend, _start(key, shape, radius), None, length=_ASCENTS)
  return end[None] if method == 'pgd' else path


def _gradient(loss: Loss, shift: jax.Array) -> jax.Array:
  # What is descended through the points would be a gradient of gradients.
  return jax.lax.stop_gradient(jax.grad(loss)(shift))


def _unit(rows: jax.Array) -> jax.Array:
  """Rows of length 1; those that the loss does not depend on stay zero."""
  length = jnp.linalg.norm(rows, axis=1, keepdims=True)
  return rows / jnp.where(length > 0, length, 1.0)


def _within(rows: jax.Array, radius: float) -> jax.Array:
  """The nearest rows that are no longer than the radius."""
  length = jnp.linalg.norm(rows, axis=1, keepdims=True)
  return rows * jnp.minimum(1.0, radius / jnp.maximum(length, radius))


def _start(key: jax.Array, shape: tuple[int, int], radius: float) -> jax.Array:
  """Uniform in a cube that the ball holds, as algorithm 1 of FreeLB begins."""
  edge = radius / shape[1] ** 0.5
  return jax.random.uniform(key, shape, minval=-edge, maxval=edge)
