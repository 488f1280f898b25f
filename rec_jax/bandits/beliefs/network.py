"""What beliefs with networks share: a small network, a ring buffer of outcomes, and the fit.

A network reads the query and the features of a candidate. `update` only writes to the ring buffer,
which is the sliding window by which such a belief forgets; `refresh` fits the network to it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

Params = Any
Loss = Callable[[jax.Array, Params], jax.Array]
Fit = Callable[[jax.Array, Loss, Params], Params]
RowLoss = Callable[[jax.Array, Params, 'Replay'], jax.Array]

_MINIBATCH = 64


@struct.dataclass
class Replay:
  """The last C outcomes.

  Attributes:
    inputs: [C, D + F] query and features.
    reward: [C].
    weight: [C], 0 where nothing was written yet.
    noise: [C, Z] random numbers drawn when the row came, for beliefs that are ensembles.
    position: [] int32, where the next row goes.
  """

  inputs: jax.Array
  reward: jax.Array
  weight: jax.Array
  noise: jax.Array
  position: jax.Array


def candidate_inputs(context: Context) -> jax.Array:
  """[K, D + F] what the network reads of each candidate."""
  query = jnp.broadcast_to(context.query, (len(context.features), len(context.query)))
  return jnp.concatenate([query, context.features], axis=1)


def init_replay(spec: ArmSpec, capacity: int, num_noise: int = 0) -> Replay:
  """An empty buffer of C = `capacity` rows with Z = `num_noise` random numbers each."""
  return Replay(
    inputs=jnp.zeros((capacity, spec.query_dim + spec.arm_dim), jnp.float32),
    reward=jnp.zeros(capacity, jnp.float32),
    weight=jnp.zeros(capacity, jnp.float32),
    noise=jnp.zeros((capacity, num_noise), jnp.float32),
    position=jnp.zeros((), jnp.int32),
  )


def append(replay: Replay, feedback: Feedback, noise: jax.Array | None = None) -> Replay:
  """Writes the rows of non-zero weight over the oldest ones.

  Args:
    replay: C rows.
    feedback: B rows in order.
    noise: [B, Z], none if Z is 0.
  """
  capacity = len(replay.reward)
  counted = feedback.weight != 0
  number = jnp.cumsum(counted)
  # Of more than C rows only the last are kept; dropped rows are sent past the end.
  kept = counted & (number > number[-1] - capacity)
  slot = jnp.where(kept, (replay.position + number - 1) % capacity, capacity)
  inputs = jnp.concatenate([feedback.query, feedback.features], axis=1)
  return Replay(
    inputs=replay.inputs.at[slot].set(inputs, mode='drop'),
    reward=replay.reward.at[slot].set(feedback.reward, mode='drop'),
    weight=replay.weight.at[slot].set(feedback.weight, mode='drop'),
    noise=replay.noise if noise is None else replay.noise.at[slot].set(noise, mode='drop'),
    position=(replay.position + number[-1]) % capacity,
  )


def in_order(replay: Replay) -> Replay:
  """The rows from the oldest to the newest; rows not written yet come first."""
  return _columns(replay, lambda column: jnp.roll(column, -replay.position, axis=0))


def unit_directions(key: jax.Array, number: int, dim: int) -> jax.Array:
  """[`number`, `dim`] directions, uniform on the unit sphere."""
  directions = jax.random.normal(key, (number, dim))
  return directions / jnp.linalg.norm(directions, axis=1, keepdims=True)


def init_network(key: jax.Array, sizes: tuple[int, ...]) -> Params:
  """Weights of variance 2 / fan-in and zero biases of a ReLU network (He et al. 2015).

  Args:
    key: consumed.
    sizes: of the input, of each hidden layer, and of the output.
  """
  keys = jax.random.split(key, len(sizes) - 1)
  return [
    {
      'weights': jax.random.normal(key, (fan_in, fan_out)) * jnp.sqrt(2 / fan_in),
      'bias': jnp.zeros(fan_out),
    }
    for key, fan_in, fan_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
  ]


def hidden_units(params: Params, inputs: jax.Array) -> jax.Array:
  """[..., H] what the last layer reads."""
  for layer in params[:-1]:
    inputs = jax.nn.relu(inputs @ layer['weights'] + layer['bias'])
  return inputs


def last_layer(params: Params, hidden: jax.Array) -> jax.Array:
  """[..., O] outputs of the last layer."""
  return hidden @ params[-1]['weights'] + params[-1]['bias']


def apply_network(params: Params, inputs: jax.Array) -> jax.Array:
  """[..., O] outputs."""
  return last_layer(params, hidden_units(params, inputs))


def squared_error(outputs: jax.Array, rows: Replay, noise_variance: ArrayLike) -> jax.Array:
  """[b] negative log-likelihood of rewards with normal noise, without its constant."""
  return (outputs - rows.reward) ** 2 / (2 * noise_variance)


def adam(num_steps: int = 100, learning_rate: ArrayLike = 0.01) -> Fit:
  """A fit by Adam from the given parameters; the moments start anew.

  Args:
    num_steps: of one fit.
    learning_rate: a number.

  Returns:
    (key, loss, params) -> params, where loss: (key, params) -> [].

  Raises:
    InputError: a value is out of range.
  """
  check_range('num_steps', num_steps, 1)
  check_range('learning_rate', learning_rate, 0, open_low=True)
  optimizer = optax.adam(learning_rate)

  def fit(key: jax.Array, loss: Loss, params: Params) -> Params:
    def step(carry: tuple[Params, Any], key: jax.Array) -> tuple[tuple[Params, Any], None]:
      params, moments = carry
      updates, moments = optimizer.update(jax.grad(loss, argnums=1)(key, params), moments)
      return (optax.apply_updates(params, updates), moments), None

    start = (params, optimizer.init(params))
    return jax.lax.scan(step, start, jax.random.split(key, num_steps))[0][0]

  return fit


def refit(
  key: jax.Array, fit: Fit, row_loss: RowLoss, params: Params, replay: Replay, lambda_: ArrayLike
) -> Params:
  """Parameters nearer to the most likely ones given the buffer.

  Args:
    key: consumed.
    fit: does it.
    row_loss: (key, params, b rows) -> [b] negative log-likelihoods for weight 1.
    params: where to start.
    replay: of C rows.
    lambda_: prior precision of each parameter.
  """
  total = jnp.maximum(jnp.sum(replay.weight), 1)
  num_rows = jnp.sum(replay.weight != 0)

  def loss(key: jax.Array, params: Params) -> jax.Array:
    row_key, loss_key = jax.random.split(key)
    # Written rows are the first ones until the buffer is full.
    index = jax.random.randint(row_key, (_MINIBATCH,), 0, jnp.maximum(num_rows, 1))
    rows = _columns(replay, lambda column: column[index])
    mean_loss = jnp.mean(rows.weight * row_loss(loss_key, params, rows))
    # Of the log posterior over the sum of weights; minibatches are drawn by row.
    prior = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) / 2
    return mean_loss * jnp.maximum(num_rows, 1) / total + lambda_ * prior / total

  return fit(key, loss, params)


def _columns(replay: Replay, function: Callable[[jax.Array], jax.Array]) -> Replay:
  """The buffer with `function` applied to each column."""
  return Replay(
    inputs=function(replay.inputs),
    reward=function(replay.reward),
    weight=function(replay.weight),
    noise=function(replay.noise),
    position=replay.position,
  )
