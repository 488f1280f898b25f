"""Which candidates a step of descent looks at: all, or where these are many a sample.

A sampled softmax stands the logged item and M drawn ones in for all. Added to the score of a drawn
one is minus the logarithm of how often it is drawn on average, M q (logQ correction: Bengio &
Senecal 2008; Yi et al. 2019), so that the sum of exp(score) is unbiased, and probabilities and
their gradients are consistent as M grows. The logged item counts by itself, and not again where it
is drawn. All rounds of a batch share the draws, so that scores are one product of matrices.

Shape letters: n rounds, b of them, K actions, C candidates of a round, D columns of the query, M
draws.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rec_jax.studies.logged.objectives import Batch, Rows

# Candidates beyond which they are drawn, and how many are.
NUM_DRAWN = 2048


def batches(
  rows: Rows, num_items: int, model: Callable[[Rows, Batch], Any]
) -> Callable[[jax.Array, Rows], Batch]:
  """(key, some rows) -> batch, with the candidates that a step looks at.

  Where the log names no candidates, items are drawn with a chance proportional to 1 + how often
  they were logged; else places in the lists of candidates are, uniformly.

  Args:
    rows: all of them.
    num_items: K.
    model: (rows, batch) -> [b, C], what `Batch.model` holds of a batch that lacks it.
  """
  draw = None
  if num_offered(rows, num_items) > NUM_DRAWN:
    draw = _items(rows, num_items) if rows.candidates is None else _places

  def prepare(key: jax.Array, some: Rows) -> Batch:
    if draw is None:
      batch = whole(some, num_items)
    else:
      offered, shift = draw(key, some)
      shift = jnp.where(offered == some.action[:, None], -jnp.inf, shift)
      shift = jnp.concatenate([jnp.zeros((len(shift), 1)), shift], axis=1)
      batch = _batch(some, offered, shift, jnp.zeros_like(some.index), some.action)
    return dataclasses.replace(batch, model=model(some, batch))

  return prepare


def whole(rows: Rows, num_items: int) -> Batch:
  """The batch of all candidates, without a model."""
  offered = rows.candidates
  if offered is None:
    offered = jnp.arange(num_items, dtype=jnp.int32)[None]
  return _batch(rows, offered, jnp.where(offered >= 0, 0.0, -jnp.inf), rows.index, None)


def num_offered(rows: Rows, num_items: int) -> int:
  """C, candidates of a round at most."""
  return num_items if rows.candidates is None else rows.candidates.shape[1]


def _items(rows: Rows, num_items: int) -> Callable[[jax.Array, Rows], tuple[jax.Array, jax.Array]]:
  """(key, some rows) -> items [1, M] and their shifts [1, M], by how often they were logged."""
  num_rows = len(rows.action)
  chance = (jnp.zeros(num_items).at[rows.action].add(1) + 1) / (num_rows + num_items)

  def draw(key: jax.Array, some: Rows) -> tuple[jax.Array, jax.Array]:
    del some
    # A draw of the rounds and the items alike is one of the mixture, without a cumulative sum.
    drawn = jax.random.randint(key, (NUM_DRAWN,), 0, num_rows + num_items)
    logged = rows.action[jnp.minimum(drawn, num_rows - 1)]
    offered = jnp.where(drawn < num_rows, logged, drawn - num_rows)[None]
    return offered, -jnp.log(NUM_DRAWN * chance[offered])

  return draw


def _places(key: jax.Array, some: Rows) -> tuple[jax.Array, jax.Array]:
  """Items [b, M] and their shifts [b, M], at the same places of all lists of candidates."""
  assert some.candidates is not None
  num_places = some.candidates.shape[1]
  offered = some.candidates[:, jax.random.randint(key, (NUM_DRAWN,), 0, num_places)]
  return offered, jnp.where(offered >= 0, math.log(num_places / NUM_DRAWN), -jnp.inf)


def _batch(
  rows: Rows, offered: jax.Array, shift: jax.Array, index: jax.Array, action: jax.Array | None
) -> Batch:
  return Batch(rows.query, offered, shift, index, rows.propensity, rows.reward, None, action)
