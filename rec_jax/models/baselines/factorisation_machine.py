"""A factorisation machine of the candidate and the history (Rendle 2010, Factorization Machines).

Features are the indicator of the item that is scored and those of the items of the history, each
1 / sqrt of their number, as in figure 1 of the paper without its user: a new user has them all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import descent
from rec_jax.models.baselines.descent import Seen
from rec_jax.models.baselines.events import Events


@struct.dataclass
class Machine:
  """The parameters of equation 1.

  Attributes:
    bias: [] float32, w_0.
    weights: [2, N] float32, w of a candidate and of an item in the history.
    vectors: [2, N, D] float32, v likewise.
  """

  bias: jax.Array
  weights: jax.Array
  vectors: jax.Array


class Data(NamedTuple):
  """What the loss reads: events, [U, L] histories, [] penalty, [K] a row an item drawn."""

  seen: Seen
  histories: jax.Array
  l2: jax.Array
  negatives: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  learning_rate: float = 3e-3,
  l2: float = 1e-4,
  num_negatives: int = 4,
  num_epochs: int = 10,
  batch_size: int = 1024,
  length: int = 50,
) -> Machine:
  """Descends the logistic loss of events and of unseen items drawn for them, by Adam.

  Args:
    key: typed key.
    events: E events.
    dim: D.
    learning_rate: of Adam, positive.
    l2: penalty of the squared vectors of a batch.
    num_negatives: K, unseen items for each event.
    num_epochs: passes over the events.
    batch_size: events a step.
    length: items of a history that are read in training, the last ones.
  """
  begin, steps = jax.random.split(key)
  params = Machine(
    jnp.zeros(()),
    jnp.zeros((2, events.num_items)),
    jax.random.normal(begin, (2, events.num_items, dim)) * (0.1 / dim**0.5),
  )
  histories = jnp.asarray(events.histories(length))
  return descent.epochs(
    steps,
    loss,
    descent.start(params),
    Data(descent.seen(events), histories, jnp.float32(l2), jnp.zeros(num_negatives)),
    0,
    num_epochs,
    num_rows=len(events.item),
    batch_size=batch_size,
    learning_rate=learning_rate,
  ).params


def loss(params: Machine, key: jax.Array, rows: jax.Array, data: Data) -> jax.Array:
  """Logistic loss of events [B], each without itself in its history, and of items drawn."""
  user, item = data.seen.user[rows], data.seen.item[rows]
  asking = jnp.broadcast_to(user, (len(data.negatives), len(user)))
  others = descent.unseen(key, data.seen, asking, params.weights.shape[1])
  every = jnp.concatenate([item[None], others])
  history = data.histories[user]
  history = jnp.where(history == item[:, None] + 1, 0, history)
  x, index = _inputs(history)
  of_history = params.vectors[1, index]
  total = jnp.einsum('bl,bld->bd', x, of_history)
  squares = jnp.einsum('bl,bld->b', x**2, of_history**2)
  of_item = params.vectors[0, every]
  pairs = second_order(total + of_item, squares + (of_item**2).sum(-1))
  linear = params.bias + (x * params.weights[1, index]).sum(1)
  logits = linear + params.weights[0, every] + pairs
  sign = jnp.ones(logits.shape).at[0].set(-1)
  penalty = (of_item**2).sum(-1).mean() + squares.mean()
  return jax.nn.softplus(sign * logits).mean() + data.l2 * penalty


def scores(params: Machine, histories: ArrayLike) -> jax.Array:
  """Logits of every item beside a history.

  Args:
    params: from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  x, index = _inputs(jnp.asarray(histories))
  of_history = params.vectors[1, index]
  total = jnp.einsum('bl,bld->bd', x, of_history)
  squares = jnp.einsum('bl,bld->b', x**2, of_history**2)
  linear = params.bias + (x * params.weights[1, index]).sum(1) + second_order(total, squares)
  # What pairs with a candidate is <sum_i x_i v_i, v_item>.
  return linear[:, None] + params.weights[0] + total @ params.vectors[0].T


def second_order(sums: jax.Array, squares: jax.Array) -> jax.Array:
  """sum_{i<j} <v_i, v_j> x_i x_j from sum_i x_i v_i [..., D] and sum_i x_i^2 |v_i|^2 [...].

  Lemma 3.1 of the paper: O(k n) instead of O(k n^2).
  """
  return ((sums**2).sum(-1) - squares) / 2


def _inputs(history: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Values x [B, L] of the features of histories [B, L], 0 at padding, and items [B, L]."""
  valid = history > 0
  count = jnp.maximum(valid.sum(1, keepdims=True), 1)
  return valid / jnp.sqrt(count), jnp.maximum(history - 1, 0)
