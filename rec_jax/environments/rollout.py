"""Running a policy in an environment: one scan over rounds, over all seeds and settings at once."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax import host
from rec_jax.bandits.base import Policy
from rec_jax.environments import hoist, one_round
from rec_jax.environments.base import Environment, Metrics
from rec_jax.environments.one_round import Hyperparameters, Options, Probe, Start, seed_keys
from rec_jax.environments.shapes import once_a_shape
from rec_jax.types import ArmSpec, InputError

# Random numbers that wait in memory for their rounds; what fits in a cache comes back fast.
_DRAWN_BYTES = 2**22
_MOST_ROUNDS_A_BLOCK = 256
# Of a trajectory, what does not stay on the device.
_TOLD = ('metrics', 'num_rejected', 'propensity', 'probed')


@struct.dataclass
class Trajectory:
  """What happened.

  Attributes:
    metrics: `Metrics` of NumPy arrays with leading [S, T]; ids in the smallest signed type.
    num_rejected: [S] int32, rows of feedback so far that the policy could not learn from.
    propensity: [S, T, B, L] float32, None unless a log was recorded.
    policy_state: leading [S], on the device, None unless asked for.
    env_state: leading [S], on the device, None unless asked for.
    probed: leading [S, T / probe_every], what the probe said, None without one.
  """

  metrics: Metrics
  num_rejected: Any
  propensity: Any = None
  policy_state: Any = None
  env_state: Any = None
  probed: Any = None


def rollout(
  keys: jax.Array,
  policy: Policy | Callable[[Hyperparameters], Policy],
  environment: Environment,
  data: Any,
  spec: ArmSpec,
  num_rounds: int,
  *,
  settings: Hyperparameters = None,
  first_round: int = 0,
  policy_state: Any = None,
  env_state: Any = None,
  record_log: bool = False,
  return_state: bool = False,
  refresh_every: int = 0,
  probe: Probe | None = None,
  probe_every: int = 0,
  memory_bound: float = 2e9,
) -> Trajectory:
  """Runs S seeds and settings side by side.

  The numbers of a seed depend on its key and on the round, not on S, on the chunks, or on where a
  run was cut and continued.

  Args:
    keys: [S] typed keys, one for each seed and setting.
    policy: a policy, or settings -> policy for a sweep. Compiled once for each object given.
    environment: the world.
    data: its data, shared by all seeds.
    spec: the sizes the policy is built for.
    num_rounds: T.
    settings: pytree with leading [S], hyperparameters as numbers; None if `policy` is a policy.
    first_round: where in the stream the rounds begin.
    policy_state: leading [S], to continue from; None starts from the prior.
    env_state: leading [S], to continue from; None starts anew.
    record_log: computes the propensity of every decision, which can cost more than all the rest.
    return_state: keeps the last states.
    refresh_every: rounds between calls of the policy's `refresh`; 0 never calls it.
    probe: (data, state of the policy) -> what is kept of it after every `probe_every` rounds.
    probe_every: rounds, a divisor of T.
    memory_bound: bytes that the program of one chunk may take for states, outputs and all that it
      works with, as XLA counts them, beside `data`; S is cut into like chunks that fit. One seed
      at a time may take more, up to the memory of the machine.

  Returns:
    The trajectory.

  Raises:
    InputError: a single seed takes more than the machine has.
    ValueError: settings without a factory, states or settings of another S, or rounds that are no
      multiple of `probe_every`.
  """
  num_seeds = len(keys)
  start = Start(keys, settings, policy_state, env_state)
  _check_start(policy, start)
  if probe is not None and (probe_every < 1 or num_rounds % probe_every):
    raise ValueError(f'{num_rounds} rounds are no multiple of probe_every={probe_every}')
  watched = probe, probe_every
  options = Options(
    policy, environment, spec, num_rounds, record_log, return_state, refresh_every, *watched
  )
  chunk = _fitting(options, data, start, memory_bound)
  parts = []
  for first in range(0, num_seeds, chunk):
    # The last chunk repeats its last seed, so that all have one shape and one compilation.
    rows = np.minimum(np.arange(first, first + chunk), num_seeds - 1)
    part = start if chunk == num_seeds else _rows(start, rows)
    trajectory = _run(options, data, jnp.int32(first_round), part)
    told = {name: jax.device_get(getattr(trajectory, name)) for name in _TOLD}
    trajectory = dataclasses.replace(trajectory, **told)
    num_left = num_seeds - first
    parts.append(trajectory if chunk <= num_left else _rows(trajectory, slice(num_left)))
  return parts[0] if len(parts) == 1 else jax.tree.map(_concatenate, *parts)


def side_by_side(
  key: jax.Array, num_seeds: int, settings: Sequence[Mapping[str, ArrayLike]]
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Keys and settings of a rollout of every setting under every seed, setting by setting.

  All settings meet the same seeds, so that they are compared on equal chances.

  Args:
    key: typed key of the seeds.
    num_seeds: S.
    settings: of the same names, numbers or arrays of like shapes.

  Returns:
    keys [len(settings) * S], and name -> its values, as many.
  """
  keys = jnp.tile(jax.random.split(key, num_seeds), len(settings))
  return keys, {
    name: jnp.repeat(jnp.array([setting[name] for setting in settings]), num_seeds, axis=0)
    for name in settings[0]
  }


@functools.partial(jax.jit, static_argnames='options')
def _run(options: Options, data: Any, first_round: jax.Array, start: Start) -> Trajectory:
  """All rounds of one chunk of seeds."""
  policy_state, env_state = jax.vmap(functools.partial(one_round.init, options, data))(start)
  of_seed = jax.vmap(seed_keys)(start.keys)
  keys = of_seed.rounds
  over_seeds = one_round.mapped(
    functools.partial(one_round.play, options), (None, 0, (None, 0, 0, 0)), len(keys)
  )

  def rest(policy_state: Any, env_state: Any) -> tuple[Any, Hyperparameters, Any, Any]:
    return data, start.settings, policy_state, env_state

  halves = hoist.split(over_seeds, jnp.int32(0), keys, rest(policy_state, env_state))

  def step(t: jax.Array, drawn: Any, carry: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
    policy_state, env_state = carry
    policy_state = _refresh(options, t, of_seed.refresh, start.settings, policy_state)
    policy_state, env_state, *out = halves.finish(drawn, t, rest(policy_state, env_state))
    return (policy_state, env_state), out

  # Traced once, though its shapes are asked for first.
  step = jax.jit(step)
  size = options.probe_every or _rounds_a_block(
    options.num_rounds, jax.eval_shape(halves.draw, 0, keys)
  )

  def block(carry: tuple[Any, Any], begin: jax.Array) -> tuple[tuple[Any, Any], Any]:
    rounds = first_round + begin + jnp.arange(size, dtype=jnp.int32)
    drawn = jax.vmap(halves.draw, in_axes=(0, None))(rounds, keys)

    def play(i: jax.Array, kept: tuple[Any, Any]) -> tuple[Any, Any]:
      carry, out = step(rounds[i], jax.tree.map(lambda x: x[i], drawn), kept[0])
      return carry, jax.tree.map(lambda all_, one: all_.at[i].set(one), kept[1], out)

    first = jax.tree.map(lambda x: x[0], drawn)
    shapes = jax.eval_shape(step, rounds[0], first, carry)[1]
    nothing = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), shapes)
    # The last block ends early, in the same program: one of its own would be compiled as long.
    number = jnp.minimum(size, options.num_rounds - begin)
    carry, out = jax.lax.fori_loop(0, number, play, (carry, nothing))
    probe = options.probe
    return carry, (out, probe and jax.vmap(probe, in_axes=(None, 0))(data, carry[0]))

  begins = jnp.arange(0, options.num_rounds, size, dtype=jnp.int32)
  carry, (out, probed) = jax.lax.scan(block, (policy_state, env_state), begins)
  out = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: options.num_rounds], out)
  policy_state, env_state = carry
  metrics, propensity = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), out)
  return Trajectory(
    metrics=metrics,
    num_rejected=policy_state.num_rejected,
    propensity=propensity,
    policy_state=policy_state if options.return_state else None,
    env_state=env_state if options.return_state else None,
    probed=jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), probed),
  )


def _rounds_a_block(num_rounds: int, drawn: Any) -> int:
  """Rounds whose random numbers are drawn at once: as many as fit, in blocks of like sizes."""
  size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(drawn))
  most = min(num_rounds, _MOST_ROUNDS_A_BLOCK, max(1, _DRAWN_BYTES // max(1, size)))
  return -(-num_rounds // -(-num_rounds // most))


def _refresh(
  options: Options, t: jax.Array, keys: jax.Array, settings: Hyperparameters, policy_state: Any
) -> Any:
  """Calls the policy's refresh every so many rounds, on the round that all seeds share."""
  if not options.refresh_every:
    return policy_state

  def one(key: jax.Array, settings: Hyperparameters, state: Any) -> Any:
    policy = one_round.policy_of(options, settings)
    return policy.refresh(jax.random.fold_in(key, t), state)

  return jax.lax.cond(
    t % options.refresh_every == 0,
    lambda state: jax.vmap(one)(keys, settings, state),
    lambda state: state,
    policy_state,
  )


def _fitting(options: Options, data: Any, start: Start, memory_bound: float) -> int:
  """Seeds a chunk, such that the compiled program of a chunk fits.

  The first program is the largest that can fit, by a count of what no program can do without, so
  that where all seeds fit nothing is compiled but the program that then runs.
  """
  num_seeds = len(start.keys)
  num_chunks = math.ceil(max(1, num_seeds * _least_bytes(options, data, start) / memory_bound))
  growth = 1.0
  while (chunk := -(-num_seeds // num_chunks)) > 1:
    size = program_bytes(options, data, start, chunk)
    if size <= memory_bound:
      break
    num_chunks = math.ceil(num_chunks * max(size / memory_bound, growth))
    # What does not shrink with the seeds may alone be too much.
    growth = 2.0
  if chunk == 1 and (size := program_bytes(options, data, start, 1)) > host.memory():
    raise InputError(
      f'a rollout of one seed takes {size / 1e9:,.0f} GB beside its data, more than the '
      f'{host.memory() / 1e9:,.0f} GB of the machine: give fewer items or users'
    )
  return chunk


def program_bytes(options: Options, data: Any, start: Start, chunk: int) -> int:
  """What the program of a chunk of seeds allocates beside `data`.

  Compiles it; calls with the same shapes, `_run` among them, find it compiled.
  """
  part = jax.tree.map(lambda x: jax.ShapeDtypeStruct((chunk, *x.shape[1:]), x.dtype), start)
  return _compiled_bytes(options, data, part)


@once_a_shape
def _compiled_bytes(options: Options, data: Any, part: Start) -> int:
  compiled = _run.lower(options, data, jnp.int32(0), part).compile()
  memory = compiled.memory_analysis()
  assert memory is not None, 'this backend does not say what a program takes'
  return memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes


@once_a_shape
def _least_bytes(options: Options, data: Any, start: Start) -> int:
  """Of one seed: its states, and three rewards a round and position."""
  one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), start)
  state = jax.eval_shape(functools.partial(one_round.init, options), data, one)
  size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  return size + options.num_rounds * 12 * options.spec.slate_size


def _check_start(policy: Policy | Callable[[Hyperparameters], Policy], start: Start) -> None:
  if isinstance(policy, Policy) != (start.settings is None):
    raise ValueError('give settings with a factory of policies, and none with a policy')
  for path, leaf in jax.tree.leaves_with_path(start):
    if np.shape(leaf)[:1] != (len(start.keys),):
      raise ValueError(
        f'{jax.tree_util.keystr(path)} has shape {np.shape(leaf)}; '
        f'its first axis must be the {len(start.keys)} keys'
      )


def _rows(tree: Any, rows: Any) -> Any:
  return jax.tree.map(lambda x: x[rows], tree)


def _concatenate(*parts: Any) -> Any:
  join = np.concatenate if isinstance(parts[0], np.ndarray) else jnp.concatenate
  return join(parts)
