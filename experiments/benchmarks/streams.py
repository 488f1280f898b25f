"""The worlds of the benchmarks: fresh contexts a round, drawn beforehand or in the loop."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from experiments.benchmarks import rate
from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec, Context, Decision, Feedback

# Of what every rate holds, and what it does not.
INSIDE = (
  'decision, reward, update and the metrics of regret are inside, compilation and the expected '
  'rewards of contexts drawn beforehand are not, on either side'
)


@struct.dataclass
class Stream:
  """The truth of a world, and its contexts if they are drawn beforehand.

  Attributes:
    weights: [K, D] of each arm for the query, or [F] for the candidates' features.
    contexts: [T, D] queries or [T, K, F] features that all seeds see; None has each seed draw its
      own in the loop.
    expected: [T, K] expected rewards of all arms under them, or None likewise.
  """

  weights: jax.Array
  contexts: jax.Array | None
  expected: jax.Array | None


def measure(
  policy: Policy,
  spec: ArmSpec,
  num_seeds: int,
  num_rounds: int,
  *,
  shared: bool,
  record_log: bool = False,
) -> Callable[[], float]:
  """A function that plays `num_rounds` rounds and returns decisions a second.

  Decision, reward, update and the metrics of regret are inside; the first call compiles.

  Args:
    policy: any.
    spec: with features of one dimension the arms have weights for the query, else the features
      have weights.
    num_seeds: S, side by side.
    num_rounds: T.
    shared: whether the contexts are drawn beforehand and shared by the seeds.
    record_log: whether the propensity of each decision is computed.
  """
  key = jax.random.key(0)
  by_query = spec.arm_dim == 1
  shape = (spec.query_dim,) if by_query else (spec.num_candidates, spec.arm_dim)
  weights = jax.random.normal(key, (spec.num_arms, *shape) if by_query else (spec.arm_dim,))
  data = Stream(weights, None, None)
  if shared:
    contexts = _contexts(key, (num_rounds, *shape))
    data = Stream(weights, contexts, jax.vmap(functools.partial(_expected, weights))(contexts))
  environment = _environment(spec, by_query, shape)
  keys = jax.random.split(key, num_seeds)

  def play() -> None:
    rollout(keys, policy, environment, data, spec, num_rounds, record_log=record_log)

  return lambda: rate(num_seeds * num_rounds, play)


def _contexts(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Normal, so that a reward has variance 1 among arms."""
  return jax.random.normal(key, shape) / jnp.sqrt(shape[-1])


def _environment(spec: ArmSpec, by_query: bool, shape: tuple[int, ...]) -> Environment:
  num_arms = spec.num_arms

  def observe(key: jax.Array, data: Stream, state: tuple[()], t: jax.Array) -> Context:
    del state
    drawn = _contexts(key, shape) if data.contexts is None else data.contexts[t]
    query = drawn if by_query else jnp.zeros(spec.query_dim)
    return one_user(query, jnp.zeros((num_arms, 1)) if by_query else drawn)

  def step(
    key: jax.Array,
    data: Stream,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    drawn = context.query[0] if by_query else context.features[0]
    expected = _expected(data.weights, drawn) if data.expected is None else data.expected[t]
    expected = expected[None]
    mean = jnp.take_along_axis(expected, decision.index, axis=1)
    reward = mean + jax.random.normal(key, mean.shape)
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: (), observe, step)


def _expected(weights: jax.Array, drawn: jax.Array) -> jax.Array:
  """[K] of all arms: of weights [K, D] for one query [D], or [F] for features [K, F]."""
  return weights @ drawn if weights.ndim == 2 else drawn @ weights


def state(num_seeds: int, shared: bool, record_log: bool = False) -> str:
  """What a row must say of how it was measured."""
  seeds = f'{num_seeds} seeds' if num_seeds > 1 else 'a single stream'
  contexts = 'contexts drawn beforehand, shared' if shared else 'contexts drawn by each seed'
  return f'{seeds}, {contexts}, propensities {"on" if record_log else "off"}, masks on'
