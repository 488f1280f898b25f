"""One round of one seed: a policy decides, the world answers, and the policy learns."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Environment, Metrics
from rec_jax.types import ArmSpec

Hyperparameters = Any
# (data, state of a policy) -> what is kept of it, a pytree.
Probe = Callable[[Any, Any], Any]


class SeedKeys(NamedTuple):
  """What the key of a seed is split into."""

  policy: jax.Array
  environment: jax.Array
  rounds: jax.Array
  refresh: jax.Array


class RoundKeys(NamedTuple):
  """What the key of all rounds of a seed gives for one of them."""

  observe: jax.Array
  select: jax.Array
  log: jax.Array
  step: jax.Array
  update: jax.Array


def seed_keys(key: jax.Array) -> SeedKeys:
  """The keys of one seed."""
  init_key, rounds_key = jax.random.split(key)
  policy_key, env_key, refresh_key = jax.random.split(init_key, 3)
  return SeedKeys(policy_key, env_key, rounds_key, refresh_key)


def round_keys(key: jax.Array, t: ArrayLike) -> RoundKeys:
  """The keys of round t, from `SeedKeys.rounds`."""
  return RoundKeys(*jax.random.split(jax.random.fold_in(key, t), 5))


class Start(NamedTuple):
  """What differs between seeds; every leaf has a leading [S]."""

  keys: jax.Array
  settings: Hyperparameters
  policy_state: Any
  env_state: Any


class Options(NamedTuple):
  """What a compilation depends on."""

  policy: Policy | Callable[[Hyperparameters], Policy]
  environment: Environment
  spec: ArmSpec
  num_rounds: int
  record_log: bool
  return_state: bool
  refresh_every: int
  probe: Probe | None = None
  probe_every: int = 0


def init(options: Options, data: Any, start: Start) -> tuple[Any, Any]:
  """The states of policy and environment of one seed before the first round."""
  keys = seed_keys(start.keys)
  policy_state, env_state = start.policy_state, start.env_state
  if policy_state is None:
    policy_state = policy_of(options, start.settings).init(keys.policy, options.spec)
  if env_state is None:
    env_state = options.environment.init(keys.environment, data)
  return policy_state, env_state


def play(
  options: Options, t: jax.Array, key: jax.Array, rest: tuple[Any, Hyperparameters, Any, Any]
) -> tuple[Any, Any, Metrics, jax.Array | None]:
  """One round of one seed; `rest` is (data, settings, policy state, environment's state)."""
  data, settings, policy_state, env_state = rest
  policy, environment = policy_of(options, settings), options.environment
  keys = round_keys(key, t)
  context = environment.observe(keys.observe, data, env_state, t)
  decision = _over_users(policy.select, keys.select, policy_state, context)
  propensity = None
  if options.record_log:
    propensity = _over_users(policy.propensity, keys.log, policy_state, context, decision)
    decision = dataclasses.replace(decision, propensity=propensity)
  env_state, feedback, metrics = environment.step(keys.step, data, env_state, t, context, decision)
  policy_state = policy.update(keys.update, policy_state, feedback)
  metrics = dataclasses.replace(
    metrics,
    arm_id=metrics.arm_id.astype(_id_type(options.spec.num_arms)),
    user_id=metrics.user_id.astype(_id_type(options.spec.num_users)),
  )
  return policy_state, env_state, metrics, propensity


def _over_users(function: Callable, key: jax.Array, state: Any, *args: Any) -> Any:
  """`function(key, state, ...)` for each of B users with the state shared."""
  num_users = len(jax.tree.leaves(args)[0])
  in_axes = (0, None, *(0 for _ in args))
  return mapped(function, in_axes, num_users)(jax.random.split(key, num_users), state, *args)


def mapped(function: Callable, in_axes: tuple[Any, ...], size: int) -> Callable:
  """`jax.vmap(function, in_axes)`, but not a vmap of one.

  That turns the slice of a row of state into a general gather, which costs more than the slice.
  """
  if size > 1:
    return jax.vmap(function, in_axes)

  def one(axes: Any, args: Any) -> Any:
    return args if axes is None else jax.tree.map(lambda x: x[0], args)

  def call(*args: Any) -> Any:
    only = jax.tree.map(one, in_axes, args, is_leaf=lambda axes: axes is None or axes == 0)
    return jax.tree.map(lambda x: x[None], function(*only))

  return call


def policy_of(options: Options, settings: Hyperparameters) -> Policy:
  """The policy itself, or the one of these settings."""
  policy = options.policy
  return policy if isinstance(policy, Policy) else policy(settings)


def _id_type(count: int) -> type[np.signedinteger]:
  return np.int16 if count <= np.iinfo(np.int16).max else np.int32
