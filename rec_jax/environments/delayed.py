"""Outcomes that become known some rounds after the decision, by a delay of any distribution."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Environment, Metrics
from rec_jax.types import ArmSpec, Context, Decision, Feedback

SampleDelay = Callable[[jax.Array, tuple[int, ...]], jax.Array]

# Of the stream of delays. An environment splits its key, into fewer parts than this.
_STREAM = 2**31 - 1


@struct.dataclass
class DelayedState:
  """What has not arrived yet; B decisions of L positions a round.

  Attributes:
    inner: state of the environment whose feedback is delayed.
    rows: feedback of the last `max_delay` rounds, [max_delay * B * L], the oldest first.
    rounds_left: [max_delay * B * L] int32 until a row arrives; negative once it has.
  """

  inner: Any
  rows: Feedback
  rounds_left: jax.Array


def delayed(
  environment: Environment,
  sample_delay: SampleDelay,
  max_delay: int,
  policy: Policy,
  spec: ArmSpec,
) -> Environment:
  """The same world, of which a policy learns the outcomes late.

  Each decision draws its delay, and all rows of its slate arrive that many rounds later, 0 being
  the round itself, with what was true when it was made. Metrics stay those of the round. A round
  hands over the rows of max_delay + 1 rounds, oldest first, with weight 0 where they are not due,
  so an update costs that many times as much. What is under way after the last round is lost.

  Args:
    environment: whose feedback is about its own round.
    sample_delay: (key, shape) -> int32 rounds.
    max_delay: longer delays, and negative ones, are cut to [0, max_delay].
    policy: that will play; what it wants back with an outcome has to be stored.
    spec: the sizes it is built for.

  Returns:
    An environment over the data of `environment`; with all delays 0, its very run.
  """

  def init(key: jax.Array, data: Any) -> DelayedState:
    inner = environment.init(key, data)
    one_round = functools.partial(_one_round, environment, policy, spec)
    shapes = jax.eval_shape(one_round, key, data, inner)

    def pending(shape: jax.ShapeDtypeStruct) -> jax.Array:
      return jnp.zeros((max_delay * shape.shape[0], *shape.shape[1:]), shape.dtype)

    rows = jax.tree.map(pending, shapes)
    return DelayedState(inner, rows, jnp.full(len(rows.weight), -1, jnp.int32))

  def observe(key: jax.Array, data: Any, state: DelayedState, t: jax.Array) -> Context:
    return environment.observe(key, data, state.inner, t)

  def step(
    key: jax.Array,
    data: Any,
    state: DelayedState,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[DelayedState, Feedback, Metrics]:
    inner, new, metrics = environment.step(key, data, state.inner, t, context, decision)
    num_users, slate_size = decision.index.shape
    delay = sample_delay(jax.random.fold_in(key, _STREAM), (num_users,))
    delay = jnp.repeat(jnp.clip(delay, 0, max_delay).astype(jnp.int32), slate_size)
    rows = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), state.rows, new)
    rounds_left = jnp.concatenate([state.rounds_left, delay])
    arriving = dataclasses.replace(rows, weight=jnp.where(rounds_left == 0, rows.weight, 0.0))
    # The oldest rows are due by now at the latest.
    later = jax.tree.map(lambda x: x[len(delay) :], (rows, rounds_left - 1))
    return DelayedState(inner, *later), arriving, metrics

  return Environment(init, observe, step)


def geometric_delay(mean: float) -> SampleDelay:
  """Delays of 0, 1, 2 ... rounds, each row arriving with the same probability in every round.

  Args:
    mean: rounds, more than 0.
  """
  log_stay = math.log(mean / (1 + mean))

  def sample(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    # Inversion: P(delay >= d) = exp(d * log_stay). The uniform lies in [0, 1), so 1 minus it is
    # never 0.
    return jnp.floor(jnp.log1p(-jax.random.uniform(key, shape)) / log_stay).astype(jnp.int32)

  return sample


def fixed_delay(mean: float) -> SampleDelay:
  """Every delay the same, a whole number of rounds."""
  return lambda key, shape: jnp.full(shape, mean, jnp.int32)


def uniform_delay(mean: float) -> SampleDelay:
  """Delays of 0 to 2 * mean rounds, a whole number, all equally likely."""
  return lambda key, shape: jax.random.randint(key, shape, 0, round(2 * mean) + 1)


def longest_geometric_delay(mean: float, share: float = 1e-3) -> int:
  """The least number of rounds that at most a `share` of geometric delays exceeds."""
  return max(0, math.ceil(math.log(share) / math.log(mean / (1 + mean))) - 1)


def _one_round(
  environment: Environment, policy: Policy, spec: ArmSpec, key: jax.Array, data: Any, state: Any
) -> Feedback:
  """Feedback of the first round, for its shapes."""
  context = environment.observe(key, data, state, jnp.int32(0))
  keys = jax.random.split(key, len(context.user_id))
  decision = jax.vmap(policy.select, in_axes=(0, None, 0))(keys, policy.init(key, spec), context)
  return environment.step(key, data, state, jnp.int32(0), context, decision)[1]
