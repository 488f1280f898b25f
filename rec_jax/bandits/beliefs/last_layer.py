"""A network whose last layer alone is uncertain."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.linear import LinearState, linear
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

_ADAM = network.adam()


@struct.dataclass
class LastLayerState:
  """A network and the posterior of its last layer.

  Attributes:
    params: of the network; its last layer has one output.
    head: posterior over [H + 1] weights of the last layer, its bias last.
    replay: [C] outcomes.
  """

  params: Any
  head: LinearState
  replay: network.Replay


def neural_linear(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Bayesian linear regression on the hidden units of a network (Riquelme et al. 2018, section 4).

  Between two calls of `refresh` the network stands still and its last layer learns row by row, as
  `linear` does. `refresh` fits the whole network by squared error to the ring buffer, and learns
  the posterior of the last layer anew from the buffer.

  Args:
    lambda_: prior precision of the last layer, and of all weights in the fit.
    noise_variance: of one reward around its expectation.
    gamma: forgetting of the last layer, see `linear`.
    hidden: H, units of each of two hidden layers.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`.

  Raises:
    InputError: a value is out of range.
  """
  head = linear(lambda_, noise_variance, gamma=gamma)

  def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
    del key
    outputs = network.apply_network(params, rows.inputs)[:, 0]
    return network.squared_error(outputs, rows, noise_variance)

  def relearn(params: Any, replay: network.Replay, start: LinearState) -> LinearState:
    del params
    return head.update(jax.random.key(0), start, _as_feedback(network.in_order(replay)))

  return _last_layer(head, row_loss, relearn, lambda_, hidden, capacity, fit)


def last_layer_laplace(
  lambda_: ArrayLike = 1.0,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Logistic network with a Laplace approximation of its last layer (Daxberger et al. 2021).

  `refresh` fits the whole network by cross-entropy to the ring buffer; the posterior of the last
  layer is normal around the fit, with the curvature of the buffer's log-likelihood. Between two
  calls of `refresh` the last layer learns row by row, as `logistic` does.

  Args:
    lambda_: prior precision of all weights.
    hidden: H, units of each of two hidden layers.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`, for rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """

  def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
    del key
    logits = network.apply_network(params, rows.inputs)[:, 0]
    return optax.sigmoid_binary_cross_entropy(logits, rows.reward)

  def curvature(params: Any, replay: network.Replay, start: LinearState) -> LinearState:
    last = params[-1]
    mode = jnp.concatenate([last['weights'][:, 0], last['bias']])
    chance = jax.nn.sigmoid(replay.inputs @ mode)
    weight = replay.weight * chance * (1 - chance)
    information = (replay.inputs * weight[:, None]).T @ replay.inputs
    factor = jnp.linalg.cholesky(lambda_ * jnp.eye(len(mode)) + information)
    root = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(mode)), lower=True).T
    return dataclasses.replace(start, mean=mode, root=root)

  return _last_layer(logistic(lambda_), row_loss, curvature, lambda_, hidden, capacity, fit)


def _last_layer(
  head: Belief,
  row_loss: network.RowLoss,
  relearn: Callable[[Any, network.Replay, LinearState], LinearState],
  lambda_: ArrayLike,
  hidden: int,
  capacity: int,
  fit: network.Fit,
) -> Belief:
  """`head` on hidden units; `relearn`: (params, buffer of hidden units, prior) -> posterior."""
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('hidden', hidden, 1)
  check_range('capacity', capacity, 1)

  def prior(key: jax.Array) -> LinearState:
    return head.init(key, ArmSpec(1, 1, 0, hidden + 1))

  def init(key: jax.Array, spec: ArmSpec) -> LastLayerState:
    network_key, head_key = jax.random.split(key)
    sizes = (spec.query_dim + spec.arm_dim, hidden, hidden, 1)
    return LastLayerState(
      params=network.init_network(network_key, sizes),
      head=prior(head_key),
      replay=network.init_replay(spec, capacity),
    )

  def seen(state: LastLayerState, context: Context) -> Context:
    units = _units(state.params, network.candidate_inputs(context))
    return dataclasses.replace(context, features=units)

  def predict(state: LastLayerState, context: Context) -> tuple[jax.Array, jax.Array]:
    return head.predict(state.head, seen(state, context))

  def sample(
    key: jax.Array, state: LastLayerState, context: Context, num_samples: int
  ) -> jax.Array:
    return head.sample(key, state.head, seen(state, context), num_samples)

  def update(key: jax.Array, state: LastLayerState, feedback: Feedback) -> LastLayerState:
    inputs = jnp.concatenate([feedback.query, feedback.features], axis=1)
    rows = dataclasses.replace(feedback, features=_units(state.params, inputs))
    return dataclasses.replace(
      state,
      head=head.update(key, state.head, rows),
      replay=network.append(state.replay, feedback),
    )

  def refresh(key: jax.Array, state: LastLayerState) -> LastLayerState:
    fit_key, head_key = jax.random.split(key)
    params = network.refit(fit_key, fit, row_loss, state.params, state.replay, lambda_)
    replay = dataclasses.replace(state.replay, inputs=_units(params, state.replay.inputs))
    return dataclasses.replace(state, params=params, head=relearn(params, replay, prior(head_key)))

  return Belief(init, predict, sample, update, refresh=refresh, reward_range=head.reward_range)


def _units(params: Any, inputs: jax.Array) -> jax.Array:
  """[..., H + 1] hidden units and a one for the bias."""
  units = network.hidden_units(params, inputs)
  return jnp.concatenate([units, jnp.ones((*units.shape[:-1], 1))], axis=-1)


def _as_feedback(replay: network.Replay) -> Feedback:
  """The rows of a buffer whose inputs are features, as outcomes of one user and one arm."""
  nobody = jnp.zeros(len(replay.reward), jnp.int32)
  return Feedback(
    user_id=nobody,
    query=replay.inputs[:, :0],
    features=replay.inputs,
    arm_id=nobody,
    propensity=jnp.ones(len(replay.reward)),
    reward=replay.reward,
    weight=replay.weight,
    info=None,
  )
