"""Copies of any belief that differ in their prior and in what each is told of every row."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief, Info, keep_arms
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

PerturbState = Callable[[jax.Array, Any, jax.Array], Any]
ChangeRows = Callable[[jax.Array, Feedback], Feedback]


@struct.dataclass
class CopiesState:
  """M copies.

  Attributes:
    copies: leading [M].
    seed: [M] uint32, of the noise in the prior of each copy.
  """

  copies: Any
  seed: jax.Array


def copies(
  belief: Belief, num_copies: int, perturb_state: PerturbState, change_rows: ChangeRows
) -> Belief:
  """M copies of `belief`, of which `thompson` follows one at random.

  Args:
    belief: what each copy is; only its mean is used.
    num_copies: M.
    perturb_state: (key, state of one copy, ids of arms as new) -> state; called with all arms at
      first. What it does to an arm depends on the key and its id.
    change_rows: (key, feedback) -> feedback as one copy learns it.

  Returns:
    A belief whose draws are its M members.

  Raises:
    InputError: num_copies is below 1.
  """
  check_range('num_copies', num_copies, 1)

  def perturb(copy: Any, seed: jax.Array, ids: jax.Array) -> Any:
    return perturb_state(jax.random.key(seed), copy, ids)

  def init(key: jax.Array, spec: ArmSpec) -> CopiesState:
    init_key, seed_key = jax.random.split(key)
    keys = jax.random.split(init_key, num_copies)
    copies = jax.vmap(lambda key: belief.init(key, spec))(keys)
    seed = jax.random.bits(seed_key, (num_copies,), jnp.uint32)
    every = jnp.arange(spec.num_arms)
    return CopiesState(jax.vmap(perturb, (0, 0, None))(copies, seed, every), seed)

  def members(state: CopiesState, context: Context) -> jax.Array:
    return jax.vmap(lambda copy: belief.predict(copy, context)[0])(state.copies)

  def predict(state: CopiesState, context: Context) -> tuple[jax.Array, jax.Array]:
    means = members(state, context)
    return jnp.mean(means, axis=0), jnp.var(means, axis=0)

  def sample(key: jax.Array, state: CopiesState, context: Context, num_samples: int) -> jax.Array:
    return members(state, context)[jax.random.randint(key, (num_samples,), 0, num_copies)]

  def update(key: jax.Array, state: CopiesState, feedback: Feedback) -> CopiesState:
    def one(key: jax.Array, copy: Any, info: Info) -> Any:
      rows_key, update_key = jax.random.split(key)
      rows = change_rows(rows_key, dataclasses.replace(feedback, info=info))
      return belief.update(update_key, copy, rows)

    keys = jax.random.split(key, num_copies)
    copies = jax.vmap(one, in_axes=(0, 0, 1))(keys, state.copies, feedback.info)
    return dataclasses.replace(state, copies=copies)

  def info(state: CopiesState, context: Context, index: jax.Array) -> Info:
    return jax.vmap(lambda copy: belief.info(copy, context, index))(state.copies)

  def refresh(key: jax.Array, state: CopiesState) -> CopiesState:
    copies = jax.vmap(belief.refresh)(jax.random.split(key, num_copies), state.copies)
    return dataclasses.replace(state, copies=copies)

  def reset_arms(state: CopiesState, ids: jax.Array, features: jax.Array) -> CopiesState:
    empty = jax.vmap(belief.reset_arms, in_axes=(0, None, None))(state.copies, ids, features)
    copies = jax.vmap(perturb, (0, 0, None))(empty, state.seed, ids)
    return dataclasses.replace(state, copies=copies)

  def reset_users(key: jax.Array, state: CopiesState, ids: jax.Array, spec: ArmSpec) -> CopiesState:
    keys = jax.random.split(key, num_copies)
    reset = jax.vmap(lambda key, copy: belief.reset_users(key, copy, ids, spec))
    return dataclasses.replace(state, copies=reset(keys, state.copies))

  return Belief(
    init,
    predict,
    sample,
    update,
    info,
    refresh,
    keep_arms if belief.reset_arms is keep_arms else reset_arms,
    reset_users,
    members=members,
    reward_range=belief.reward_range,
    learns_at_refresh=belief.learns_at_refresh,
  )
