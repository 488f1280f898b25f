"""A network whose gradient is the feature vector of a candidate: NeuralUCB and NeuralTS."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.forgetting import decays
from rec_jax.bandits.chunks import by_rows
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

_ADAM = network.adam()


@struct.dataclass
class NeuralGradientState:
  """A network and how often each of its weights was told something.

  Attributes:
    params: of the network with one output; P numbers.
    evidence: [P] sum of squared gradients over H, the diagonal of Z - lambda I.
    replay: [C] outcomes.
  """

  params: Any
  evidence: jax.Array
  replay: network.Replay


def neural_gradient(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Mean f(x), variance lambda g^T Z^-1 g / H with g the gradient of f at x.

  With `ucb` it is NeuralUCB (Zhou et al. 2020, algorithm 1), with `thompson` NeuralTS (Zhang et al.
  2021, algorithm 1), which draws each candidate on its own; Z is kept as its diagonal, as in the
  experiments of both. The network learns in `refresh`, Z in `update`.

  Args:
    lambda_: prior precision.
    noise_variance: of one reward around its expectation.
    gamma: forgetting: each row of non-zero weight multiplies the evidence in Z by it.
    hidden: H, units of each of two hidden layers.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`.

  Raises:
    InputError: a value is out of range.
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  check_range('hidden', hidden, 1)
  check_range('capacity', capacity, 1)

  def init(key: jax.Array, spec: ArmSpec) -> NeuralGradientState:
    params = network.init_network(key, (spec.query_dim + spec.arm_dim, hidden, hidden, 1))
    evidence = jnp.zeros(sum(leaf.size for leaf in jax.tree.leaves(params)), jnp.float32)
    return NeuralGradientState(params, evidence, network.init_replay(spec, capacity))

  def squared_gradients(params: Any, inputs: jax.Array) -> jax.Array:
    """[K, P] over H."""

    def one(x: jax.Array) -> jax.Array:
      gradient = jax.grad(lambda params: network.apply_network(params, x)[0])(params)
      return ravel_pytree(gradient)[0] ** 2 / hidden

    return jax.vmap(one)(inputs)

  def variances(state: NeuralGradientState, inputs: jax.Array) -> jax.Array:
    """[K]."""
    scale = lambda_ / (lambda_ + state.evidence)
    return by_rows(
      lambda rows: squared_gradients(state.params, rows) @ scale, inputs, len(state.evidence)
    )

  def predict(state: NeuralGradientState, context: Context) -> tuple[jax.Array, jax.Array]:
    inputs = network.candidate_inputs(context)
    return network.apply_network(state.params, inputs)[:, 0], variances(state, inputs)

  def sample(
    key: jax.Array, state: NeuralGradientState, context: Context, num_samples: int
  ) -> jax.Array:
    mean, variance = predict(state, context)
    return mean + jnp.sqrt(variance) * jax.random.normal(key, (num_samples, len(mean)))

  def update(key: jax.Array, state: NeuralGradientState, feedback: Feedback) -> NeuralGradientState:
    del key
    total, rows = decays(gamma, feedback.weight)
    inputs = jnp.concatenate([feedback.query, feedback.features], axis=1)
    gained = (rows * feedback.weight) @ squared_gradients(state.params, inputs)
    return dataclasses.replace(
      state,
      evidence=state.evidence * total + gained,
      replay=network.append(state.replay, feedback),
    )

  def refresh(key: jax.Array, state: NeuralGradientState) -> NeuralGradientState:
    def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
      del key
      outputs = network.apply_network(params, rows.inputs)[:, 0]
      return network.squared_error(outputs, rows, noise_variance)

    params = network.refit(key, fit, row_loss, state.params, state.replay, lambda_)
    return dataclasses.replace(state, params=params)

  return Belief(
    init, predict, sample, update, refresh=refresh, is_normal=True, learns_at_refresh=True
  )
