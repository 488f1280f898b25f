"""A belief and an explorer make a policy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief, Explorer, Info, Outlook, Policy, State
from rec_jax.types import ArmSpec, Context, Decision, Feedback

_NUM_PREFIXES = 64


@struct.dataclass
class PolicyState:
  """The state of a policy made of a belief and an explorer.

  Attributes:
    belief: state of the belief.
    explorer: state of the explorer.
    num_rejected: [] int32, rows of feedback that were not finite and were left out.
    slate_size: L, static.
  """

  belief: Any
  explorer: Any
  num_rejected: jax.Array
  slate_size: int = struct.field(pytree_node=False)


def combine(belief: Belief, explorer: Explorer) -> Policy:
  """The policy that chooses by `explorer` from what `belief` holds.

  A slate of L positions is chosen one position after the other, each with the positions before it
  masked. A candidate whose mean is not finite, as that of NaN features is, counts as masked. Where
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
    return PolicyState(
      belief=belief.init(belief_key, spec),
      explorer=explorer.init(explorer_key, spec),
      num_rejected=jnp.zeros((), jnp.int32),
      slate_size=spec.slate_size,
    )

  def select(key: jax.Array, state: PolicyState, context: Context) -> Decision:
    _check_shapes(context)
    outlook = _look(belief, state.belief, context)
    index = _select_slate(key, explorer, state, outlook, _allowed(outlook, context))
    return Decision(
      index=index,
      arm_id=jnp.where(index < 0, -1, context.arm_ids[index]),
      propensity=jnp.full(index.shape, jnp.nan, jnp.float32),
      info=info(state, context, index),
    )

  def info(state: PolicyState, context: Context, index: jax.Array) -> Info:
    return jax.vmap(belief.info, in_axes=(None, None, 0))(state.belief, context, index)

  def update(key: jax.Array, state: PolicyState, feedback: Feedback) -> PolicyState:
    feedback, num_rejected = reject_non_finite(feedback)
    before = _chosen_means(belief, state.belief, feedback)
    belief_state = belief.update(key, state.belief, feedback)
    change = _chosen_means(belief, belief_state, feedback) - before
    return dataclasses.replace(
      state,
      belief=belief_state,
      explorer=explorer.update(state.explorer, feedback, change),
      num_rejected=state.num_rejected + num_rejected,
    )

  def probabilities(key: jax.Array, state: PolicyState, context: Context) -> jax.Array:
    outlook = _look(belief, state.belief, context)
    return _marginals(key, explorer, state, outlook, _allowed(outlook, context))

  def propensity(
    key: jax.Array, state: PolicyState, context: Context, decision: Decision
  ) -> jax.Array:
    outlook = _look(belief, state.belief, context)
    return _conditional(key, explorer, state, outlook, _allowed(outlook, context), decision.index)[
      0
    ]

  def refresh(key: jax.Array, state: PolicyState) -> PolicyState:
    return dataclasses.replace(state, belief=belief.refresh(key, state.belief))

  def reset_arms(state: PolicyState, ids: jax.Array, features: jax.Array) -> PolicyState:
    return dataclasses.replace(state, belief=belief.reset_arms(state.belief, ids, features))

  return Policy(
    init=init,
    select=select,
    update=update,
    probabilities=probabilities,
    propensity=propensity,
    refresh=refresh,
    reset_arms=reset_arms,
    propensity_is_exact=explorer.is_exact(belief),
    info=info,
  )


def reject_non_finite(feedback: Feedback) -> tuple[Feedback, jax.Array]:
  """Gives rows with a NaN or infinity weight 0 and zeros, and counts them.

  Args:
    feedback: of B rows.

  Returns:
    The same with those rows emptied, and [] int32, how many they are.
  """
  finite = jnp.isfinite(feedback.reward) & jnp.isfinite(feedback.weight)
  finite &= jnp.all(jnp.isfinite(feedback.features), axis=-1)
  finite &= jnp.all(jnp.isfinite(feedback.query), axis=-1)
  clean = dataclasses.replace(
    feedback,
    query=jnp.where(finite[:, None], feedback.query, 0.0),
    features=jnp.where(finite[:, None], feedback.features, 0.0),
    reward=jnp.where(finite, feedback.reward, 0.0),
    weight=jnp.where(finite, feedback.weight, 0.0),
  )
  return clean, jnp.sum(~finite, dtype=jnp.int32)


def _look(belief: Belief, state: State, context: Context) -> Outlook:
  mean, variance = belief.predict(state, context)
  cdf = belief.cdf
  return Outlook(
    mean=mean,
    variance=variance,
    sample=lambda key, num_samples: belief.sample(key, state, context, num_samples),
    cdf=None if cdf is None else lambda x: cdf(state, context, x),
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

  return _scan(position, mask, jax.random.split(key, state.slate_size))[1]


def _conditional(
  key: jax.Array,
  explorer: Explorer,
  state: PolicyState,
  outlook: Outlook,
  mask: jax.Array,
  index: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """([L] probability of each position given those before it, [L, K] of every candidate there)."""

  def position(mask: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Any]:
    key, index = step
    row = explorer.probabilities(key, state.explorer, outlook, mask)
    return mask.at[index].set(False), (jnp.where(index < 0, 0.0, row[index]), row)

  return _scan(position, mask, (jax.random.split(key, len(index)), index))[1]


def _marginals(
  key: jax.Array, explorer: Explorer, state: PolicyState, outlook: Outlook, mask: jax.Array
) -> jax.Array:
  """[K, L]: exact over the position's own chance, averaged over sampled prefixes."""

  def one(key: jax.Array) -> jax.Array:
    select_key, rows_key = jax.random.split(key)
    index = _select_slate(select_key, explorer, state, outlook, mask)
    return _conditional(rows_key, explorer, state, outlook, mask, index)[1]

  if state.slate_size == 1:
    return explorer.probabilities(key, state.explorer, outlook, mask)[:, None]
  return jnp.mean(jax.vmap(one)(jax.random.split(key, _NUM_PREFIXES)), axis=0).T


def _scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: Any) -> tuple[Any, Any]:
  """`jax.lax.scan`, but one step is no loop: only outside loops can a rollout draw beforehand."""
  if len(jax.tree.leaves(rows)[0]) > 1:
    return jax.lax.scan(step, carry, rows)
  carry, out = step(carry, jax.tree.map(lambda x: x[0], rows))
  return carry, jax.tree.map(lambda x: x[None], out)


def _chosen_means(belief: Belief, state: State, feedback: Feedback) -> jax.Array:
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

  return jax.vmap(one)(dataclasses.replace(feedback, info=None))


def _check_shapes(context: Context) -> None:
  num_candidates = context.features.shape[0]
  for name, array in (('arm_ids', context.arm_ids), ('mask', context.mask)):
    if array.shape != (num_candidates,):
      raise ValueError(
        f'{name} has shape {array.shape}, features have shape {context.features.shape}; '
        f'one decision needs {name} of shape ({num_candidates},)'
      )
