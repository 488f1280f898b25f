"""A policy that follows one of several others, each with its share, and learns the shares."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import UNIT_REWARD, Policy, State
from rec_jax.bandits.policy import reject
from rec_jax.types import ArmSpec, Context, Decision, Feedback

_TINY = 1e-30


@struct.dataclass
class MixtureState:
  """The states of P policies and of who sets their shares.

  Attributes:
    policies: P states.
    master: of the master.
    num_rejected: [] int32, rows of feedback, and arms and users to reset, that could not be.
    spec: the sizes that it was made for, static.
  """

  policies: tuple[Any, ...]
  master: Any
  num_rejected: jax.Array
  spec: ArmSpec = struct.field(pytree_node=False)


@struct.dataclass
class MixtureInfo:
  """What comes back with the outcome.

  Attributes:
    chosen: [] int32, the policy that was followed.
    share: [] its share at the decision.
    likelihood: [P] probability of the positions so far under each policy over that under the
      mixture; None if the master does not ask.
    policies: P infos.
  """

  chosen: jax.Array
  share: jax.Array
  likelihood: jax.Array | None
  policies: tuple[Any, ...]


class Master(NamedTuple):
  """How shares are learnt.

  Attributes:
    init: P -> state.
    shares: state -> [P], positive, of sum 1.
    update: (state, feedback) -> state; feedback.info is a `MixtureInfo`.
    reads_likelihood: whether `MixtureInfo.likelihood` is to be computed, which takes the propensity
      of every policy at every decision.
  """

  init: Callable[[int], State]
  shares: Callable[[State], jax.Array]
  update: Callable[[State, Feedback], State]
  reads_likelihood: bool


def mixture(policies: Sequence[Policy], master: Master) -> Policy:
  """Follows one policy for a whole slate; all learn from what came of it.

  A policy without `Policy.info`, such as EXP3, wants back what only it knows at its own choice and
  learns from the rounds in which it was followed. The propensity is that of the mixture, whichever
  policy was followed, and exact if those of all policies are.

  Args:
    policies: P of them.
    master: learns their shares, for rewards in [0, 1].

  Returns:
    A policy.
  """
  num_policies = len(policies)

  def keys_of(key: jax.Array) -> jax.Array:
    return jax.random.split(key, num_policies)

  def each(function: str, keys: jax.Array, states: tuple[Any, ...], *args: Any) -> list[Any]:
    return [
      getattr(policy, function)(key, state, *args)
      for policy, key, state in zip(policies, keys, states, strict=True)
    ]

  def init(key: jax.Array, spec: ArmSpec) -> MixtureState:
    states = [policy.init(k, spec) for policy, k in zip(policies, keys_of(key), strict=True)]
    return MixtureState(tuple(states), master.init(num_policies), jnp.zeros((), jnp.int32), spec)

  def select(key: jax.Array, state: MixtureState, context: Context) -> Decision:
    choice_key, select_key, log_key = jax.random.split(key, 3)
    shares = master.shares(state.master)
    chosen = jax.random.categorical(choice_key, jnp.log(shares)).astype(jnp.int32)
    decisions = each('select', keys_of(select_key), state.policies, context)
    decision = dataclasses.replace(
      decisions[0],
      index=jnp.stack([own.index for own in decisions])[chosen],
      arm_id=jnp.stack([own.arm_id for own in decisions])[chosen],
    )
    likelihood = None
    if master.reads_likelihood:
      paths = prefixes(log_key, state, context, decision)
      likelihood = paths / jnp.maximum(paths @ shares, _TINY)[:, None]
    infos = tuple(
      own.info if policy.info is None else policy.info(own_state, context, decision.index)
      for policy, own_state, own in zip(policies, state.policies, decisions, strict=True)
    )
    size = len(decision.index)
    info = MixtureInfo(jnp.full(size, chosen), jnp.full(size, shares[chosen]), likelihood, infos)
    return dataclasses.replace(decision, info=info)

  def prefixes(
    key: jax.Array, state: MixtureState, context: Context, decision: Decision
  ) -> jax.Array:
    """[L, P] probability of all positions so far under each policy."""
    rows = each('propensity', keys_of(key), state.policies, context, decision)
    return jnp.cumprod(jnp.stack(rows, axis=1), axis=0)

  def propensity(
    key: jax.Array, state: MixtureState, context: Context, decision: Decision
  ) -> jax.Array:
    shares = master.shares(state.master)
    so_far = prefixes(key, state, context, decision) @ shares
    before = jnp.concatenate([jnp.ones(1), so_far[:-1]])
    return jnp.where(decision.index < 0, 0.0, so_far / jnp.maximum(before, _TINY))

  def probabilities(key: jax.Array, state: MixtureState, context: Context) -> jax.Array:
    rows = each('probabilities', keys_of(key), state.policies, context)
    return jnp.tensordot(master.shares(state.master), jnp.stack(rows), axes=1)

  def update(key: jax.Array, state: MixtureState, feedback: Feedback) -> MixtureState:
    feedback, num_rejected = reject(feedback, state.spec, UNIT_REWARD)
    states = []
    for i, (policy, own_key) in enumerate(zip(policies, keys_of(key), strict=True)):
      own = dataclasses.replace(feedback, info=feedback.info.policies[i])
      if policy.info is None:
        followed = feedback.info.chosen == i
        own = dataclasses.replace(own, weight=jnp.where(followed, own.weight, 0.0))
      states.append(policy.update(own_key, state.policies[i], own))
    return dataclasses.replace(
      state,
      policies=tuple(states),
      master=master.update(state.master, feedback),
      num_rejected=state.num_rejected + num_rejected,
    )

  def refresh(key: jax.Array, state: MixtureState) -> MixtureState:
    states = tuple(each('refresh', keys_of(key), state.policies))
    return dataclasses.replace(state, policies=states)

  def reset_arms(state: MixtureState, ids: jax.Array, features: jax.Array) -> MixtureState:
    states = [
      policy.reset_arms(own, ids, features)
      for policy, own in zip(policies, state.policies, strict=True)
    ]
    num_wrong = jnp.sum((ids < 0) | (ids >= state.spec.num_arms), dtype=jnp.int32)
    return dataclasses.replace(
      state, policies=tuple(states), num_rejected=state.num_rejected + num_wrong
    )

  def reset_users(key: jax.Array, state: MixtureState, ids: jax.Array) -> MixtureState:
    num_wrong = jnp.sum((ids < 0) | (ids >= state.spec.num_users), dtype=jnp.int32)
    return dataclasses.replace(
      state,
      policies=tuple(each('reset_users', keys_of(key), state.policies, ids)),
      num_rejected=state.num_rejected + num_wrong,
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
    propensity_is_exact=all(policy.propensity_is_exact for policy in policies),
    reward_range=UNIT_REWARD,
  )
