"""Telling an explorer how far each row of feedback moved the belief's mean of what was chosen."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief, Explorer, State
from rec_jax.types import ArmSpec, Context, Feedback

_NUM_WAITING = 256


@struct.dataclass
class Waiting:
  """The last W rows of feedback, which a belief that learns at `refresh` has not learnt yet.

  Attributes:
    rows: [W], oldest first, without info; weight 0 where nothing waits.
    mean: [W] what was expected of each when it came.
  """

  rows: Feedback
  mean: jax.Array


def init_waiting(belief: Belief, explorer: Explorer, spec: ArmSpec) -> Waiting | None:
  """An empty queue; None where nobody watches or each row is learnt as it comes."""
  if explorer.watch is None or not belief.learns_at_refresh:
    return None
  zeros = jnp.zeros(_NUM_WAITING, jnp.float32)
  ids = jnp.zeros(_NUM_WAITING, jnp.int32)
  query = jnp.zeros((_NUM_WAITING, spec.query_dim), jnp.float32)
  features = jnp.zeros((_NUM_WAITING, spec.arm_dim), jnp.float32)
  return Waiting(Feedback(ids, query, features, ids, zeros, zeros, zeros, info=None), zeros)


def learn(
  key: jax.Array, belief: Belief, explorer: Explorer, states: tuple[State, State], rows: Feedback
) -> tuple[State, State]:
  """The states of belief and explorer after `rows`, one at a time where the explorer watches."""
  watch = explorer.watch
  if watch is None or belief.learns_at_refresh:
    return belief.update(key, states[0], rows), states[1]

  def step(states: tuple[State, State], step: Any) -> tuple[tuple[State, State], None]:
    key, row = step
    one = jax.tree.map(lambda x: x[None], row)
    new = belief.update(key, states[0], one)
    change = chosen_means(belief, new, one) - chosen_means(belief, states[0], one)
    return (new, watch(states[1], change[0], row.weight)), None

  keys = jax.random.split(key, len(rows.reward))
  return jax.lax.scan(step, states, (keys, rows))[0]


def wait(belief: Belief, state: State, waiting: Waiting | None, rows: Feedback) -> Waiting | None:
  """Puts rows at the end of the queue, where the oldest leave it; weight 0 takes no place."""
  if waiting is None:
    return None
  rows = dataclasses.replace(rows, info=None)
  new = Waiting(rows, chosen_means(belief, state, rows))
  joined = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), waiting, new)
  # A service pads every batch to a power of two, and padding must not push out what counts.
  order = jnp.argsort(joined.rows.weight != 0, stable=True)[-_NUM_WAITING:]
  return jax.tree.map(lambda x: x[order], joined)


def watch_waiting(
  belief: Belief, explorer: Explorer, states: tuple[State, State], waiting: Waiting | None
) -> tuple[State, Waiting | None]:
  """The explorer's state after the belief learnt what was waiting, and the emptied queue."""
  watch = explorer.watch
  if waiting is None or watch is None:
    return states[1], None
  change = chosen_means(belief, states[0], waiting.rows) - waiting.mean
  weight = waiting.rows.weight

  def step(state: State, row: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
    return watch(state, *row), None

  state = jax.lax.scan(step, states[1], (change, weight))[0]
  rows = dataclasses.replace(waiting.rows, weight=jnp.zeros_like(weight))
  return state, dataclasses.replace(waiting, rows=rows)


def chosen_means(belief: Belief, state: State, rows: Feedback) -> jax.Array:
  """[B] what the belief expects of each chosen candidate."""

  def one(row: Feedback) -> jax.Array:
    context = Context(
      user_id=row.user_id,
      query=row.query,
      features=row.features[None],
      arm_ids=row.arm_id[None],
      mask=jnp.ones(1, bool),
    )
    return belief.predict(state, context)[0][0]

  return jax.vmap(one)(dataclasses.replace(rows, info=None))
