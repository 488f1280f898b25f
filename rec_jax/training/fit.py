"""Fitting a few parameters to a table of rows in one compiled scan, without checkpoints."""

from collections.abc import Callable
from typing import Any

import jax
import optax

Params = Any
Rows = Any


def _all(key: jax.Array, rows: Rows) -> Rows:
  del key
  return rows


def _plain(params: Params, rows: Rows, gradient: Params) -> Params:
  del params, rows
  return gradient


def fit(
  key: jax.Array,
  loss: Callable[[Params, Rows], jax.Array],
  params: Params,
  rows: Rows,
  optimizer: optax.GradientTransformation,
  *,
  num_steps: int,
  batch_size: int,
  prepare: Callable[[jax.Array, Rows], Any] = _all,
  precondition: Callable[[Params, Rows, Params], Params] = _plain,
) -> Params:
  """Descends `loss` from `params` on batches drawn with replacement, or on all rows if they fit.

  Args:
    key: typed key.
    loss: (params, batch) -> [], for any number of rows.
    params: where to start.
    rows: pytree whose leaves have a leading [n].
    optimizer: of Optax.
    num_steps: how many.
    batch_size: rows of one step.
    prepare: (key, rows) -> batch, what is drawn or computed for the rows of a step; themselves if
      not given.
    precondition: (params, batch, gradient) -> what the optimizer is given in place of the gradient.

  Returns:
    The parameters after the last step.
  """
  num_rows = len(jax.tree.leaves(rows)[0])

  @jax.jit
  def run(keys: jax.Array, params: Params, rows: Rows) -> Params:
    def step(carry: tuple[Params, Any], key: jax.Array) -> tuple[tuple[Params, Any], None]:
      params, moments = carry
      chosen = rows
      if num_rows > batch_size:
        drawn = jax.random.randint(key, (batch_size,), 0, num_rows)
        chosen = jax.tree.map(lambda leaf: leaf[drawn], rows)
      batch = prepare(jax.random.fold_in(key, 1), chosen)
      gradient = precondition(params, batch, jax.grad(loss)(params, batch))
      updates, moments = optimizer.update(gradient, moments, params)
      return (optax.apply_updates(params, updates), moments), None

    return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

  return run(jax.random.split(key, num_steps), params, rows)
