"""One belief a user: rows of state gathered and scattered by user id."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Belief, Info, State
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


def per_user(belief: Belief) -> Belief:
  """Gives every user a row of `belief`'s state, with a leading [U].

  Args:
    belief: what each user gets a copy of.

  Returns:
    A belief in which users learn nothing from each other. Rows of one user in the same batch are
    applied in order. User ids are in [0, U).
  """

  def init(key: jax.Array, spec: ArmSpec) -> State:
    return jax.vmap(lambda key: belief.init(key, spec))(jax.random.split(key, spec.num_users))

  def predict(state: State, context: Context) -> tuple[jax.Array, jax.Array]:
    return belief.predict(take_row(state, context.user_id), context)

  def sample(key: jax.Array, state: State, context: Context, num_samples: int) -> jax.Array:
    return belief.sample(key, take_row(state, context.user_id), context, num_samples)

  def update(key: jax.Array, state: State, feedback: Feedback) -> State:
    def step(state: State, step: tuple[jax.Array, Feedback]) -> tuple[State, None]:
      key, row = step
      user = row.user_id
      new = belief.update(key, take_row(state, user), jax.tree.map(lambda x: x[None], row))
      return put_row(state, user, new), None

    keys = jax.random.split(key, len(feedback.user_id))
    return jax.lax.scan(step, state, (keys, feedback))[0]

  def info(state: State, context: Context, index: jax.Array) -> Info:
    return belief.info(take_row(state, context.user_id), context, index)

  def refresh(key: jax.Array, state: State) -> State:
    return jax.vmap(belief.refresh)(jax.random.split(key, _num_users(state)), state)

  def reset_arms(state: State, ids: jax.Array, features: jax.Array) -> State:
    return jax.vmap(belief.reset_arms, in_axes=(0, None, None))(state, ids, features)

  def reset_users(key: jax.Array, state: State, ids: jax.Array, spec: ArmSpec) -> State:
    fresh = jax.vmap(lambda key: belief.init(key, spec))(jax.random.split(key, len(ids)))
    return jax.tree.map(lambda rows, fresh: rows.at[ids].set(fresh), state, fresh)

  return Belief(
    init=init,
    predict=predict,
    sample=sample,
    update=update,
    info=info,
    refresh=refresh,
    reset_arms=reset_arms,
    reset_users=reset_users,
    cdf=None if belief.cdf is None else functools.partial(_cdf, belief.cdf),
    is_normal=belief.is_normal,
    reward_range=belief.reward_range,
    learns_at_refresh=belief.learns_at_refresh,
  )


def _cdf(cdf: Callable[..., jax.Array], state: State, context: Context, x: jax.Array) -> jax.Array:
  return cdf(take_row(state, context.user_id), context, x)


def _num_users(state: State) -> int:
  return jnp.shape(jax.tree.leaves(state)[0])[0]
