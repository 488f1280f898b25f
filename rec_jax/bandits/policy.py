"""A belief and an explorer make a policy."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief, Explorer, Info, Outlook, Policy, Range, State
from rec_jax.bandits.chunks import check_fits
from rec_jax.bandits.quadrature import normal_cdf
from rec_jax.bandits.watch import Waiting, init_waiting, learn, wait, watch_waiting
from rec_jax.types import ArmSpec, Context, Decision, Feedback

_NUM_PREFIXES = 64


@struct.dataclass
class PolicyState:
  """The state of a policy made of a belief and an explorer.

  Attributes:
    belief: state of the belief.
    explorer: state of the explorer.
    waiting: rows that the explorer is to be told of when the belief has learnt them, or None.
    num_rejected: [] int32, rows of feedback, and arms and users to reset, that could not be.
    spec: the sizes that it was made for, static.
  """

  belief: Any
  explorer: Any
  waiting: Waiting | None
  num_rejected: jax.Array
  spec: ArmSpec = struct.field(pytree_node=False)


def combine(belief: Belief, explorer: Explorer) -> Policy:
  """The policy that chooses by `explorer` from what `belief` holds.

  A slate of L positions is chosen one position after the other, each with the positions before it
  masked. A candidate whose mean, or what is drawn of it, is not finite, as that of NaN features
  is, counts as masked. Where
  every candidate is masked, `index` and `arm_id` are -1 and the propensity is 0.

  Args:
    belief: what is known of each candidate.
    explorer: how to choose.

  Returns:
    A policy whose `probabilities` are exact for the first position if the explorer's are; later
    positions are averaged over 64 sampled prefixes.
  """

  def init(key: jax.Array, spec: ArmSpec) -> PolicyState:
    belief_key, explorer_key = jax.random.split(key)
    shapes = jax.tree.leaves(jax.eval_shape(lambda: belief.init(belief_key, spec)))
    check_fits(
      f'the state of this policy for {spec.num_arms:,} arms, {spec.num_users:,} users and '
      f'{spec.arm_dim:,} features',
      sum(leaf.size * leaf.dtype.itemsize for leaf in shapes),
    )
    state = PolicyState(
      belief=belief.init(belief_key, spec),
      explorer=explorer.init(explorer_key, spec),
      waiting=init_waiting(belief, explorer, spec),
      num_rejected=jnp.zeros((), jnp.int32),
      spec=spec,
    )
    # A buffer that two leaves share cannot be donated to an update.
    return jax.tree.map(jnp.copy, state)

  def select(key: jax.Array, state: PolicyState, context: Context) -> Decision:
    _check_shapes(context)
    outlook = _look(belief, state.belief, context)
    mask = context.mask if explorer.reads_draws_alone else _allowed(outlook, context)
    index = _select_slate(key, explorer, state, outlook, mask)
    return Decision(
      index=index,
      arm_id=jnp.where(index < 0, -1, context.arm_ids[index]),
      propensity=jnp.full(index.shape, jnp.nan, jnp.float32),
      info=info(state, context, index),
    )

  def info(state: PolicyState, context: Context, index: jax.Array) -> Info:
    return jax.vmap(belief.info, in_axes=(None, None, 0))(state.belief, context, index)

  def update(key: jax.Array, state: PolicyState, feedback: Feedback) -> PolicyState:
    feedback, num_rejected = reject(feedback, state.spec, belief.reward_range)
    states = state.belief, explorer.update(state.explorer, feedback)
    belief_state, explorer_state = learn(key, belief, explorer, states, feedback)
    return dataclasses.replace(
      state,
      belief=belief_state,
      explorer=explorer_state,
      waiting=wait(belief, state.belief, state.waiting, feedback),
      num_rejected=state.num_rejected + num_rejected,
    )

  def probabilities(key: jax.Array, state: PolicyState, context: Context) -> jax.Array:
    outlook = _look(belief, state.belief, context)
    return _marginals(key, explorer, state, outlook, _allowed(outlook, context))

  def propensity(
    key: jax.Array, state: PolicyState, context: Context, decision: Decision
  ) -> jax.Array:
    outlook = _look(belief, state.belief, context)
    return _propensities(key, explorer, state, outlook, _allowed(outlook, context), decision.index)

  def refresh(key: jax.Array, state: PolicyState) -> PolicyState:
    states = belief.refresh(key, state.belief), state.explorer
    explorer_state, waiting = watch_waiting(belief, explorer, states, state.waiting)
    return dataclasses.replace(state, belief=states[0], explorer=explorer_state, waiting=waiting)

  def reset_arms(state: PolicyState, ids: jax.Array, features: jax.Array) -> PolicyState:
    is_arm = (ids >= 0) & (ids < state.spec.num_arms)
    # What is written past the end is dropped; -1 would be the last arm.
    ids = jnp.where(is_arm, ids, state.spec.num_arms)
    return dataclasses.replace(
      state,
      belief=belief.reset_arms(state.belief, ids, features),
      num_rejected=state.num_rejected + jnp.sum(~is_arm, dtype=jnp.int32),
    )

  def reset_users(key: jax.Array, state: PolicyState, ids: jax.Array) -> PolicyState:
    is_user = (ids >= 0) & (ids < state.spec.num_users)
    ids = jnp.where(is_user, ids, state.spec.num_users)
    return dataclasses.replace(
      state,
      belief=belief.reset_users(key, state.belief, ids, state.spec),
      num_rejected=state.num_rejected + jnp.sum(~is_user, dtype=jnp.int32),
    )

  return Policy(
    init=init,
    select=select,
    update=update,
    probabilities=probabilities,
    propensity=propensity,
    refresh=refresh,
    reset_arms=reset_arms,
    reset_users=reset_users,
    propensity_is_exact=explorer.is_exact(belief),
    info=info,
    reward_range=belief.reward_range,
  )


def reject(feedback: Feedback, spec: ArmSpec, reward_range: Range) -> tuple[Feedback, jax.Array]:
  """Gives rows that cannot be weight 0 and zeros, and counts them.

  Those are rows that hold a NaN or infinity, have a negative weight, or count and are of a user or
  an arm that does not exist or have a reward out of range.

  Args:
    feedback: of B rows.
    spec: how many users and arms there are.
    reward_range: lowest and highest reward.

  Returns:
    The same with those rows emptied, and [] int32, how many they are.
  """
  low, high = reward_range
  right = jnp.isfinite(feedback.reward) & jnp.isfinite(feedback.weight)
  right &= jnp.all(jnp.isfinite(feedback.features), axis=-1)
  right &= jnp.all(jnp.isfinite(feedback.query), axis=-1)
  possible = (feedback.user_id >= 0) & (feedback.user_id < spec.num_users)
  possible &= (feedback.arm_id >= 0) & (feedback.arm_id < spec.num_arms)
  possible &= (feedback.reward >= low) & (feedback.reward <= high)
  right &= (feedback.weight == 0) | (possible & (feedback.weight > 0))
  clean = dataclasses.replace(
    feedback,
    user_id=jnp.where(right, feedback.user_id, 0),
    arm_id=jnp.where(right, feedback.arm_id, 0),
    query=jnp.where(right[:, None], feedback.query, 0.0),
    features=jnp.where(right[:, None], feedback.features, 0.0),
    reward=jnp.where(right, feedback.reward, 0.0),
    weight=jnp.where(right, feedback.weight, 0.0),
  )
  return clean, jnp.sum(~right, dtype=jnp.int32)


def _look(belief: Belief, state: State, context: Context) -> Outlook:
  mean, variance = belief.predict(state, context)
  cdf = None if belief.cdf is None else functools.partial(belief.cdf, state, context)
  return Outlook(
    mean=mean,
    variance=variance,
    sample=lambda key, num_samples: belief.sample(key, state, context, num_samples),
    cdf=normal_cdf(mean, variance) if belief.is_normal else cdf,
    is_normal=belief.is_normal,
    members=None if belief.members is None else belief.members(state, context),
  )


def _allowed(outlook: Outlook, context: Context) -> jax.Array:
  """[K] what may be chosen: one NaN would spoil what explorers say of all the others."""
  return context.mask & jnp.isfinite(outlook.mean)


def _select_slate(
  key: jax.Array, explorer: Explorer, state: PolicyState, outlook: Outlook, mask: jax.Array
) -> jax.Array:
  """[L] candidates, one after the other."""

  def position(mask: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    index = explorer.select(key, state.explorer, outlook, mask)
    # An index of -1 clears the last candidate, which is harmless: all are masked already.
    return mask.at[index].set(False), index

  return _scan(position, mask, jax.random.split(key, state.spec.slate_size))[1]


def _propensities(
  key: jax.Array,
  explorer: Explorer,
  state: PolicyState,
  outlook: Outlook,
  mask: jax.Array,
  index: jax.Array,
) -> jax.Array:
  """[L] probability of each position given those before it."""

  def position(mask: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    key, index = step
    if explorer.propensity is not None:
      share = explorer.propensity(key, state.explorer, outlook, mask, index)
    else:
      share = explorer.probabilities(key, state.explorer, outlook, mask)[index]
    return mask.at[index].set(False), jnp.where(index < 0, 0.0, share)

  return _scan(position, mask, (jax.random.split(key, len(index)), index))[1]


def _marginals(
  key: jax.Array, explorer: Explorer, state: PolicyState, outlook: Outlook, mask: jax.Array
) -> jax.Array:
  """[K, L]: exact over the position's own chance, averaged over sampled prefixes."""

  def one(key: jax.Array) -> jax.Array:
    select_key, rows_key = jax.random.split(key)
    index = _select_slate(select_key, explorer, state, outlook, mask)

    def position(mask: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      key, index = step
      row = explorer.probabilities(key, state.explorer, outlook, mask)
      return mask.at[index].set(False), row

    return _scan(position, mask, (jax.random.split(rows_key, len(index)), index))[1]

  if state.spec.slate_size == 1:
    return explorer.probabilities(key, state.explorer, outlook, mask)[:, None]
  return jnp.mean(jax.vmap(one)(jax.random.split(key, _NUM_PREFIXES)), axis=0).T


def _scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: Any) -> tuple[Any, Any]:
  """`jax.lax.scan`, but one step is no loop: only outside loops can a rollout draw beforehand."""
  if len(jax.tree.leaves(rows)[0]) > 1:
    return jax.lax.scan(step, carry, rows)
  carry, out = step(carry, jax.tree.map(lambda x: x[0], rows))
  return carry, jax.tree.map(lambda x: x[None], out)


def _check_shapes(context: Context) -> None:
  num_candidates = context.features.shape[0]
  for name, array in (('arm_ids', context.arm_ids), ('mask', context.mask)):
    if array.shape != (num_candidates,):
      raise ValueError(
        f'{name} has shape {array.shape}, features have shape {context.features.shape}; '
        f'one decision needs {name} of shape ({num_candidates},)'
      )
