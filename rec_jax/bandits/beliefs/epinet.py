"""A network with a small one beside it that turns a random index into doubt."""

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
_NUM_INDICES = 8


@struct.dataclass
class EpinetState:
  """Networks and the data they are fitted to.

  Attributes:
    base: of the network with one output.
    epinet: of the network with Z outputs on the hidden units of the base.
    prior: of the network with Z outputs on the inputs, never fitted.
    replay: [C] outcomes; noise [C, Z] is a direction on the unit sphere for each row.
  """

  base: Any
  epinet: Any
  prior: Any
  replay: network.Replay


def epinet(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  prior_scale: ArrayLike = 0.3,
  index_dim: int = 8,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Epinet (Osband et al. 2021): base(x) + (epinet(hidden units) + prior(x)) . z, z ~ N(0, I).

  Osband et al. let the epinet read z as well. Here it does not, so that a reward is normal given
  the networks and its mean, variance and joint draws are closed forms. The fit adds
  noise . z, a direction of each row's own, to each reward, as a bootstrap.
  No gradient flows from the epinet to the hidden units. Networks learn in `refresh`.

  Args:
    lambda_: prior precision of the fitted weights.
    noise_variance: of one reward around its expectation.
    prior_scale: of the fixed network.
    index_dim: Z.
    hidden: H, units of each of two hidden layers of the base and of one of the epinet.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`.

  Raises:
    InputError: a value is out of range.
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('prior_scale', prior_scale, 0)
  for name, size in (('index_dim', index_dim), ('hidden', hidden), ('capacity', capacity)):
    check_range(name, size, 1)

  def init(key: jax.Array, spec: ArmSpec) -> EpinetState:
    base_key, epinet_key, prior_key = jax.random.split(key, 3)
    size = spec.query_dim + spec.arm_dim
    return EpinetState(
      base=network.init_network(base_key, (size, hidden, hidden, 1)),
      epinet=network.init_network(epinet_key, (hidden, hidden, index_dim)),
      prior=network.init_network(prior_key, (size, hidden, index_dim)),
      replay=network.init_replay(spec, capacity, index_dim),
    )

  def outputs(base: Any, epinet: Any, prior: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """([..., ] base, [..., Z] factors of the index)."""
    hidden = network.hidden_units(base, x)
    learnt = network.apply_network(epinet, jax.lax.stop_gradient(hidden))
    fixed = network.apply_network(prior, x)
    return network.last_layer(base, hidden)[..., 0], learnt + prior_scale * fixed

  def look(state: EpinetState, context: Context) -> tuple[jax.Array, jax.Array]:
    inputs = network.candidate_inputs(context)
    return outputs(state.base, state.epinet, state.prior, inputs)

  def predict(state: EpinetState, context: Context) -> tuple[jax.Array, jax.Array]:
    mean, factors = look(state, context)
    return mean, jnp.sum(factors**2, axis=-1)

  def sample(key: jax.Array, state: EpinetState, context: Context, num_samples: int) -> jax.Array:
    mean, factors = look(state, context)
    return mean + jax.random.normal(key, (num_samples, index_dim)) @ factors.T

  def update(key: jax.Array, state: EpinetState, feedback: Feedback) -> EpinetState:
    directions = network.unit_directions(key, len(feedback.reward), index_dim)
    return dataclasses.replace(state, replay=network.append(state.replay, feedback, directions))

  def refresh(key: jax.Array, state: EpinetState) -> EpinetState:
    def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
      base, epinet = params
      mean, factors = outputs(base, epinet, state.prior, rows.inputs)
      indices = jax.random.normal(key, (_NUM_INDICES, index_dim))
      noise = jnp.sqrt(noise_variance) * indices @ rows.noise.T
      values = mean + indices @ factors.T
      return jnp.mean((values - rows.reward - noise) ** 2, axis=0) / (2 * noise_variance)

    start = (state.base, state.epinet)
    base, epinet = network.refit(key, fit, row_loss, start, state.replay, lambda_)
    return dataclasses.replace(state, base=base, epinet=epinet)

  return Belief(init, predict, sample, update, refresh=refresh, learns_at_refresh=True)
