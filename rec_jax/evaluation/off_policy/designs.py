"""Matrices of linear models with a one-hot column an action, which are never formed.

Shape letters: n rounds, K actions, C other columns.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class Design(NamedTuple):
  """The matrix of a linear model, one-hot columns first.

  Attributes:
    columns: [n, C], of which the last holds ones.
    action: [n] int32, the one-hot column that is 1.
    num_actions: how many one-hot columns there are; 0 for none.
  """

  columns: jax.Array
  action: jax.Array
  num_actions: int


def design_of(inputs: jax.Array, num_actions: int) -> Design:
  """The matrix of inputs [n, F], whose last column is an action where there are any."""
  columns = inputs[:, :-1] if num_actions else inputs
  ones = jnp.ones_like(inputs[:, :1])
  action = inputs[:, -1].astype(jnp.int32) if num_actions else jnp.zeros(len(inputs), jnp.int32)
  return Design(jnp.concatenate([columns, ones], axis=1), action, num_actions)


def product(design: Design, params: jax.Array) -> jax.Array:
  """[n] design @ params."""
  found = design.columns @ params[design.num_actions :]
  return found + params[design.action] if design.num_actions else found


def transposed(design: Design, values: jax.Array) -> jax.Array:
  """design.T @ values [n]."""
  return jnp.concatenate([_by_action(design, values), design.columns.T @ values])


def solve(design: Design, weight: jax.Array, lambda_: ArrayLike, right: jax.Array) -> jax.Array:
  """(design.T diag(weight) design + lambda, 0 for the last)^-1 right.

  One-hot columns are orthogonal, so their block is a diagonal and is eliminated: what is factored
  is as small as without them (its Schur complement).
  """
  split = design.num_actions
  columns = design.columns
  # A fold may be empty: the little on the diagonal keeps the intercept's equation solvable.
  jitter = jnp.finfo(columns.dtype).eps
  slopes = jnp.ones(columns.shape[1], columns.dtype).at[-1].set(0)
  corner = (columns.T * weight) @ columns + jnp.diag(lambda_ * slopes + jitter)
  if not split:
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(corner), right)
  diagonal = _by_action(design, weight) + lambda_ + jitter
  border = _by_action(design, weight[:, None] * columns)
  ratio = border / diagonal[:, None]
  factor = jax.scipy.linalg.cho_factor(corner - border.T @ ratio)
  found = jax.scipy.linalg.cho_solve(factor, right[split:] - ratio.T @ right[:split])
  return jnp.concatenate([(right[:split] - border @ found) / diagonal, found])


def _by_action(design: Design, values: jax.Array) -> jax.Array:
  """[num_actions, ...] sums of values [n, ...] over the rounds of each action."""
  return jax.ops.segment_sum(values, design.action, design.num_actions)
