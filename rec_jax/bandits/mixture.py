"""A policy that follows one of several others, each with its share, and learns the shares."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Policy, State
from rec_jax.bandits.policy import reject_non_finite
from rec_jax.types import ArmSpec, Context, Decision, Feedback

_TINY = 1e-30


@struct.dataclass
class MixtureState:
  """The states of P policies and of who sets their shares.

  Attributes:
    policies: P states.
    master: of the master.
    num_rejected: [] int32, rows of feedback that were not finite and were left out.
  """

  policies: tuple[Any, ...]
  master: Any
  num_rejected: jax.Array


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
  """Follows one policy for a whole slate; each learns from what it chose itself.

  What another chose tells a policy something too, but some want back what only they know at their
  own choice. The propensity is that of the mixture, whichever policy was followed, and exact if
  those of all policies are.

  Args:
    policies: P of them.
    master: learns their shares.

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
    return MixtureState(tuple(states), master.init(num_policies), jnp.zeros((), jnp.int32))

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
    infos = tuple(own.info for own in decisions)
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
    feedback, num_rejected = reject_non_finite(feedback)
    states = []
    for i, (policy, own_key) in enumerate(zip(policies, keys_of(key), strict=True)):
      own = dataclasses.replace(
        feedback,
        weight=jnp.where(feedback.info.chosen == i, feedback.weight, 0.0),
        info=feedback.info.policies[i],
      )
      states.append(policy.update(own_key, state.policies[i], own))
    return MixtureState(
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
    return dataclasses.replace(state, policies=tuple(states))

  return Policy(
    init=init,
    select=select,
    update=update,
    probabilities=probabilities,
    propensity=propensity,
    refresh=refresh,
    reset_arms=reset_arms,
    propensity_is_exact=all(policy.propensity_is_exact for policy in policies),
  )
