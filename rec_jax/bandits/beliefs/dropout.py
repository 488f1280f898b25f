"""Monte Carlo dropout."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs import network
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

_ADAM = network.adam()


@struct.dataclass
class DropoutState:
  """A network and the data it is fitted to.

  Attributes:
    params: of the network with one output.
    replay: [C] outcomes.
  """

  params: Any
  replay: network.Replay


def dropout(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  rate: ArrayLike = 0.2,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Dropout that stays on at decisions, as approximate Bayes (Gal & Ghahramani 2016).

  Units of the last hidden layer are dropped, so that mean and variance over all masks are closed
  forms; a draw is one mask for all candidates. The network learns in `refresh`, with dropout.

  Args:
    lambda_: prior precision of the weights.
    noise_variance: of one reward around its expectation.
    rate: chance of a unit to be dropped, in [0, 0.99].
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
  check_range('rate', rate, 0, 0.99)
  check_range('hidden', hidden, 1)
  check_range('capacity', capacity, 1)

  def init(key: jax.Array, spec: ArmSpec) -> DropoutState:
    sizes = (spec.query_dim + spec.arm_dim, hidden, hidden, 1)
    return DropoutState(network.init_network(key, sizes), network.init_replay(spec, capacity))

  def masks(key: jax.Array, number: int) -> jax.Array:
    """[number, H] 0 where a unit is dropped, else what keeps the mean."""
    kept = jax.random.bernoulli(key, 1 - jnp.asarray(rate), (number, hidden))
    return kept / (1 - jnp.asarray(rate))

  def units_of(state: DropoutState, context: Context) -> jax.Array:
    return network.hidden_units(state.params, network.candidate_inputs(context))

  def predict(state: DropoutState, context: Context) -> tuple[jax.Array, jax.Array]:
    units = units_of(state, context)
    mean = network.last_layer(state.params, units)[:, 0]
    parts = (units * state.params[-1]['weights'][:, 0]) ** 2
    return mean, jnp.asarray(rate / (1 - jnp.asarray(rate))) * jnp.sum(parts, axis=1)

  def sample(key: jax.Array, state: DropoutState, context: Context, num_samples: int) -> jax.Array:
    last = state.params[-1]
    parts = units_of(state, context) * last['weights'][:, 0]
    return masks(key, num_samples) @ parts.T + last['bias']

  def update(key: jax.Array, state: DropoutState, feedback: Feedback) -> DropoutState:
    del key
    return dataclasses.replace(state, replay=network.append(state.replay, feedback))

  def refresh(key: jax.Array, state: DropoutState) -> DropoutState:
    def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
      units = network.hidden_units(params, rows.inputs) * masks(key, len(rows.reward))
      return network.squared_error(network.last_layer(params, units)[:, 0], rows, noise_variance)

    params = network.refit(key, fit, row_loss, state.params, state.replay, lambda_)
    return dataclasses.replace(state, params=params)

  return Belief(init, predict, sample, update, refresh=refresh, learns_at_refresh=True)
