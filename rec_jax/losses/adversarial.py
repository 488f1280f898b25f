"""Where adversarial training in embedding space evaluates a loss, for any loss of a table of rows.

Each row may be moved by at most `radius` in the Euclidean norm. A step descends the mean of the loss
over the points that are returned, which count as constants of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Table of shifts [N, D] -> loss.
Loss = Callable[[jax.Array], jax.Array]

NONE, METHODS = 'none', ('fgm', 'pgd', 'freelb')
# Ascents of PGD and FreeLB, and how far the first goes: a bit further than the radius in all.
_ASCENTS, _REACH = 3, 1.5


def points(method: str, key: jax.Array, loss: Loss, shape: tuple[int, int], radius: float) -> jax.Array:
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
    return jnp.stack([origin, _at_most(radius * _unit(_gradient(loss, origin)), radius)])

  def ascend(shift: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    step = _REACH * radius / _ASCENTS * _unit(_gradient(loss, shift))
    return _at_most(shift + step, radius), shift

  start = _in_ball(key, shape, radius)
  end, path = jax.lax.scan(ascend, start, None, length=_ASCENTS)
  return end[None] if method == 'pgd' else path
