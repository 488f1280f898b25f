"""Epochs of Adam over shuffled rows in one compiled loop, with negatives drawn on the way.

Baselines stand before the training loop in the order of imports, and need none of its checkpoints.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rec_jax.models.baselines.events import Events

Params = Any
# (params, key, rows [B], data) -> []; a function of a module, so that it is compiled once.
Loss = Callable[[Params, jax.Array, jax.Array, Any], jax.Array]
# Draws for a negative of which the first that the user has not chosen is taken.
_TRIES = 8


class State(NamedTuple):
  """Parameters and the moments of Adam."""

  params: Params
  moments: Any


class Seen(NamedTuple):
  """The items of each user, to draw others.

  Attributes:
    user: [E] int32, users of the events.
    item: [E] int32, their items.
    offsets: [U + 1] int32, into `sorted_items`.
    sorted_items: [E] int32, items by user, ascending.
  """

  user: jax.Array
  item: jax.Array
  offsets: jax.Array
  sorted_items: jax.Array


def start(params: Params) -> State:
  """Before the first step."""
  return State(params, optax.scale_by_adam().init(params))


@functools.partial(jax.jit, static_argnames=('loss', 'num_rows', 'batch_size'))
def epochs(
  key: jax.Array,
  loss: Loss,
  state: State,
  data: Any,
  begin: int,
  end: int,
  *,
  num_rows: int,
  batch_size: int,
  learning_rate: float,
) -> State:
  """The epochs from `begin` up to `end`; each sees every row once, in an order of its own.

  The last batch of an epoch is filled up with its first rows. What is drawn depends on the key and
  on the number of the epoch, not on how many are asked for at once.

  Args:
    key: typed key.
    loss: of the mean of a batch.
    state: to go on from.
    data: what the loss reads; its numbers may change without another compilation.
    begin: epochs done.
    end: epochs that are then done.
    num_rows: E, rows of an epoch.
    batch_size: B; of more than E there are E.
    learning_rate: of Adam.
  """
  size = min(batch_size, num_rows)
  num_steps = -(-num_rows // size)
  adam = optax.scale_by_adam()

  def step(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
    gradient = jax.grad(loss)(state.params, *at, data)
    updates, moments = adam.update(gradient, state.moments)
    params = jax.tree.map(lambda p, u: p - learning_rate * u, state.params, updates)
    return State(params, moments), None

  def epoch(number: jax.Array, state: State) -> State:
    order, steps = jax.random.split(jax.random.fold_in(key, number))
    shuffled = jnp.argsort(jax.random.bits(order, (num_rows,)))
    rows = shuffled[jnp.arange(num_steps * size) % num_rows]
    keys = jax.random.split(steps, num_steps)
    return jax.lax.scan(step, state, (keys, rows.reshape(num_steps, size)))[0]

  return jax.lax.fori_loop(begin, end, epoch, state)


def seen(events: Events) -> Seen:
  """What `unseen` draws against."""
  order = np.lexsort((events.item, events.user))
  counts = np.bincount(events.user, minlength=events.num_users)
  arrays = (events.user, events.item, np.concatenate([[0], np.cumsum(counts)]), events.item[order])
  return Seen(*(jnp.asarray(array, jnp.int32) for array in arrays))


def unseen(key: jax.Array, known: Seen, user: jax.Array, num_items: int) -> jax.Array:
  """Items of the shape of `user`, each evenly drawn from those that the user has no event with.

  Of a few draws the first that is new to the user is taken; where none is, as for a user who has
  chosen everything, the first of all.
  """
  # The remainder favours no item by more than num_items / 2^32.
  drawn = (jax.random.bits(key, (_TRIES, *user.shape)) % num_items).astype(jnp.int32)
  low = jnp.broadcast_to(known.offsets[user], drawn.shape)
  high = jnp.broadcast_to(known.offsets[user + 1], drawn.shape)

  def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    low, high = bounds
    middle = (low + high) // 2
    is_below = (known.sorted_items[middle] < drawn) & (low < high)
    return jnp.where(is_below, middle + 1, low), jnp.where(is_below, high, middle)

  place, _ = jax.lax.fori_loop(0, len(known.item).bit_length(), halve, (low, high))
  is_seen = (place < known.offsets[user + 1]) & (known.sorted_items[place] == drawn)
  return jnp.take_along_axis(drawn, is_seen.argmin(0)[None], axis=0)[0]
