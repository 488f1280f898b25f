"""What a service compiles: one program each of a policy, its sizes and a padded shape."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.base import Policy, State
from rec_jax.bandits.outcome import outcome
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

_LEAST = 8


class Clock(NamedTuple):
  """Where the chance of one operation comes from: the same two, the same numbers.

  Attributes:
    seed: of the service.
    tick: operations before.
  """

  seed: np.uint32
  tick: np.uint32


def padded(size: int) -> int:
  """The next power of two: sizes between compile nothing new."""
  return max(_LEAST, 1 << (size - 1).bit_length()) if size > 1 else _LEAST


@functools.partial(jax.jit, static_argnames=('policy', 'with_propensity'))
def decide(
  policy: Policy, with_propensity: bool, clock: Clock, state: State, context: Context
) -> Decision:
  """`policy.select`, with propensities if they are asked for."""
  select_key, log_key = jax.random.split(_key(clock))
  decision = policy.select(select_key, state, context)
  if not with_propensity:
    return decision
  propensity = policy.propensity(log_key, state, context, decision)
  return dataclasses.replace(decision, propensity=propensity)


@functools.partial(jax.jit, static_argnames='policy')
def probabilities(policy: Policy, clock: Clock, state: State, context: Context) -> jax.Array:
  """`policy.probabilities`, [K, L]."""
  return policy.probabilities(_key(clock), state, context)


@functools.partial(jax.jit, static_argnames='policy')
def propensity(
  policy: Policy, clock: Clock, state: State, context: Context, decision: Decision
) -> jax.Array:
  """`policy.propensity`, [L]."""
  return policy.propensity(_key(clock), state, context, decision)


@functools.partial(jax.jit, static_argnames='policy', donate_argnames='state')
def update(policy: Policy, clock: Clock, state: State, feedback: Feedback) -> State:
  """`policy.update` in place."""
  return policy.update(_key(clock), state, feedback)


@functools.partial(jax.jit, static_argnames='policy', donate_argnames='state')
def refresh(policy: Policy, clock: Clock, state: State) -> State:
  """`policy.refresh` in place."""
  return policy.refresh(_key(clock), state)


@functools.partial(jax.jit, static_argnames='policy', donate_argnames='state')
def reset_arms(policy: Policy, state: State, rows: jax.Array, features: jax.Array) -> State:
  """`policy.reset_arms` in place."""
  return policy.reset_arms(state, rows, features)


@functools.partial(jax.jit, static_argnames='policy', donate_argnames='state')
def reset_users(policy: Policy, clock: Clock, state: State, rows: jax.Array) -> State:
  """`policy.reset_users` in place."""
  return policy.reset_users(_key(clock), state, rows)


@functools.partial(jax.jit, static_argnames=('policy', 'spec'))
def init(policy: Policy, spec: ArmSpec, seed: np.uint32) -> State:
  """`policy.init`."""
  return policy.init(jax.random.key(seed), spec)


def grown(policy: Policy, spec: ArmSpec, seed: np.uint32, state: State) -> State:
  """The state for the larger sizes of `spec`: new rows as they start, all else as it is."""
  new, structure = jax.tree.flatten(init(policy, spec, seed))
  return jax.tree.unflatten(structure, map(_placed, new, jax.tree.leaves(state)))


def leaves(state: State) -> dict[str, Any]:
  """Of each array of a state, by where it stands."""
  return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def restored(new: State, saved: dict[str, np.ndarray]) -> State:
  """The state whose `leaves` were saved, of the structure of `new`.

  Raises:
    InputError: a leaf of either has no like in the other.
  """
  wanted, given = (
    {(name, leaf.shape, str(leaf.dtype)) for name, leaf in each.items()}
    for each in (leaves(new), saved)
  )
  if wanted != given:
    name, shape, dtype = min(wanted ^ given)
    raise InputError(
      f'a snapshot of another state of the policy ({name}, {dtype}{list(shape)}, is in one alone); '
      'load it with the version of rec_jax that wrote it'
    )
  return jax.tree.unflatten(
    jax.tree.structure(new), [jnp.array(saved[name]) for name in leaves(new)]
  )


@functools.lru_cache(maxsize=64)
def decision_shape(policy: Policy, spec: ArmSpec) -> Any:
  """The shapes and types of a decision; nothing is computed.

  Raises:
    InputError: the policy cannot decide, learn or refresh at these sizes, or has no room.
  """

  def live() -> tuple[Decision, State]:
    key = jax.random.key(0)
    context = Context(
      user_id=jnp.zeros((), jnp.int32),
      query=jnp.zeros(spec.query_dim),
      features=jnp.zeros((spec.num_candidates, spec.arm_dim)),
      arm_ids=jnp.zeros(spec.num_candidates, jnp.int32),
      mask=jnp.ones(spec.num_candidates, bool),
    )
    state = policy.init(key, spec)
    decision = policy.select(key, state, context)
    feedback = outcome(context, decision, jnp.zeros(spec.slate_size))
    return decision, policy.refresh(key, policy.update(key, state, feedback))

  try:
    return jax.eval_shape(live)[0]
  except InputError:
    raise
  # Each policy says in words of its own what it cannot be traced for.
  except Exception as error:
    sizes = ', '.join(f'{name}={size}' for name, size in spec._asdict().items())
    reason = f'{type(error).__name__}: {error}'.splitlines()[0]
    raise InputError(
      f'the policy does not work for {sizes} ({reason}); give other sizes or hyperparameters'
    ) from error


def _placed(new: jax.Array, old: jax.Array) -> jax.Array:
  """`old` in the first rows of `new`."""
  if new.shape == old.shape:
    return old
  return new.at[tuple(slice(size) for size in old.shape)].set(old)


def _key(clock: Clock) -> jax.Array:
  return jax.random.fold_in(jax.random.key(clock.seed), clock.tick)
