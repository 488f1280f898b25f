"""The expected reward of an arm in the cell that the query falls into; cells are fitted anew."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import UNIT_REWARD, Belief, State
from rec_jax.bandits.beliefs.beta_bernoulli import by_counts
from rec_jax.bandits.beliefs.recent import Recent, disown, init_recent, keep
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback


class Partition(NamedTuple):
  """How the space of queries is divided into G cells, by each arm or for all alike.

  Attributes:
    num_cells: G.
    init: spec -> state, in which every query is in the same cell.
    cell: (state, query [D], arm ids [K]) -> [K] int32 in [0, G).
    fit: (key, state, recent outcomes, num_arms) -> state.
    reset: (state, ids [M]) -> state, arms as in `init`.
  """

  num_cells: int
  init: Callable[[ArmSpec], State]
  cell: Callable[[State, jax.Array, jax.Array], jax.Array]
  fit: Callable[[jax.Array, State, Recent, int], State]
  reset: Callable[[State, jax.Array], State]


@struct.dataclass
class PartitionedState:
  """Evidence by arm and cell.

  Attributes:
    partition: of the queries.
    successes: [N, G] weighted sum of rewards.
    failures: [N, G] weighted sum of 1 - reward.
    recent: [C] outcomes, to which the cells are fitted.
  """

  partition: Any
  successes: jax.Array
  failures: jax.Array
  recent: Recent


def partitioned(partition: Partition, a0: ArrayLike, b0: ArrayLike, capacity: int) -> Belief:
  """Beta(a0 + successes, b0 + failures) of each arm in each cell.

  Rows count at once, in the cells as they are; `refresh` fits the cells to the last C rows and
  counts those again. When the ring is full, what dropped out of it is forgotten at that time.

  Args:
    partition: how queries are divided.
    a0: prior successes, a number.
    b0: prior failures, a number.
    capacity: C, rows of the ring.

  Returns:
    A belief that reads `query` and `arm_ids`, for rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """
  check_range('a0', a0, 0, open_low=True)
  check_range('b0', b0, 0, open_low=True)
  check_range('capacity', capacity, 1)

  def init(key: jax.Array, spec: ArmSpec) -> PartitionedState:
    del key
    zeros = jnp.zeros((spec.num_arms, partition.num_cells), jnp.float32)
    return PartitionedState(partition.init(spec), zeros, zeros, init_recent(spec, capacity))

  def counts(state: PartitionedState, context: Context) -> tuple[jax.Array, jax.Array]:
    at = context.arm_ids, partition.cell(state.partition, context.query, context.arm_ids)
    return jnp.asarray(a0 + state.successes[at]), jnp.asarray(b0 + state.failures[at])

  def update(key: jax.Array, state: PartitionedState, feedback: Feedback) -> PartitionedState:
    del key
    rows = feedback.query, feedback.arm_id, feedback.reward, feedback.weight
    counted = _count(partition, state, *rows)
    return dataclasses.replace(counted, recent=keep(state.recent, feedback))

  def refresh(key: jax.Array, state: PartitionedState) -> PartitionedState:
    recent, zeros = state.recent, jnp.zeros_like(state.successes)
    fitted = partition.fit(key, state.partition, recent, len(zeros))
    empty = PartitionedState(fitted, zeros, zeros, recent)
    return _count(partition, empty, recent.query, recent.arm_id, recent.reward, recent.weight)

  def reset_arms(state: PartitionedState, ids: jax.Array, features: jax.Array) -> PartitionedState:
    del features
    return PartitionedState(
      partition=partition.reset(state.partition, ids),
      successes=state.successes.at[ids].set(0),
      failures=state.failures.at[ids].set(0),
      recent=disown(state.recent, ids),
    )

  predict, sample, cdf = by_counts(counts)
  return Belief(
    init,
    predict,
    sample,
    update,
    refresh=refresh,
    reset_arms=reset_arms,
    cdf=cdf,
    reward_range=UNIT_REWARD,
  )


def _count(
  partition: Partition,
  state: PartitionedState,
  query: jax.Array,
  arm: jax.Array,
  reward: jax.Array,
  weight: jax.Array,
) -> PartitionedState:
  """Adds rows; those of arm -1 are of nobody."""
  own = jnp.maximum(arm, 0)
  cell = jax.vmap(lambda query, arm: partition.cell(state.partition, query, arm[None])[0])
  at = jnp.where(arm < 0, len(state.successes), arm), cell(query, own)
  return dataclasses.replace(
    state,
    successes=state.successes.at[at].add(weight * reward, mode='drop'),
    failures=state.failures.at[at].add(weight * (1 - reward), mode='drop'),
  )
