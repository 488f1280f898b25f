"""A network whose parameters are linear in a random index: one draw of it is a draw of them all."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs import network
from rec_jax.bandits.chunks import by_rows
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

_ADAM = network.adam()
_NUM_INDICES = 8
_NUM_FIXED = 64


@struct.dataclass
class Hyperparameters:
  """g(z) = centre + directions . z.

  Attributes:
    centre: parameters of the network.
    directions: the same with a leading [Z].
  """

  centre: network.Params
  directions: network.Params


@struct.dataclass
class HypermodelState:
  """What is fitted, where it began, and the data.

  Attributes:
    learnt: what the fit added to the prior, 0 at first.
    prior: g of before any data, never fitted.
    indices: [M, Z] the indices that `predict` averages over, drawn once.
    replay: [C] outcomes; noise [C, Z] is a direction on the unit sphere for each row.
  """

  learnt: Hyperparameters
  prior: Hyperparameters
  indices: jax.Array
  replay: network.Replay


def hypermodel(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  prior_scale: ArrayLike = 1.0,
  index_dim: int = 8,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Linear hypermodel (Dwaracherla et al. 2020, sections 2 and 4): f(x; g(z)), z ~ N(0, I).

  The fit minimises the mean over z of the squared errors of reward + noise . z, with a direction
  on the unit sphere of each row's own, plus lambda / 2 times the squared distance of g(z) from
  where it began. For a linear network (`hidden` = 0) with lambda times the prior variance of a
  parameter equal to 1, g(z) then has the covariance of the exact posterior, up to a relative
  error of order 1 / sqrt(Z). Networks learn in `refresh`.

  Args:
    lambda_: prior precision of the parameters.
    noise_variance: of one reward around its expectation.
    prior_scale: of the prior: a parameter of a layer with n inputs has a standard deviation of
      prior_scale * sqrt(2 / n) under z.
    index_dim: Z.
    hidden: H, units of each of two hidden layers; 0 for a linear network.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`. Its mean and variance are those of 64 indices.

  Raises:
    InputError: a value is out of range.
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('prior_scale', prior_scale, 0)
  check_range('hidden', hidden, 0)
  for name, size in (('index_dim', index_dim), ('capacity', capacity)):
    check_range(name, size, 1)

  def init(key: jax.Array, spec: ArmSpec) -> HypermodelState:
    centre_key, direction_key, index_key = jax.random.split(key, 3)
    sizes = (spec.query_dim + spec.arm_dim, *(2 * (hidden,) if hidden else ()), 1)
    centre = network.init_network(centre_key, sizes)
    # A linear network has no symmetry to break, and a prior mean of 0.
    centre = centre if hidden else jax.tree.map(jnp.zeros_like, centre)
    prior = Hyperparameters(centre, _directions(direction_key, centre, index_dim))
    return HypermodelState(
      learnt=jax.tree.map(jnp.zeros_like, prior),
      prior=prior,
      indices=_paired(index_key, index_dim),
      replay=network.init_replay(spec, capacity, index_dim),
    )

  def values(
    learnt: Hyperparameters, prior: Hyperparameters, indices: jax.Array, inputs: jax.Array
  ) -> jax.Array:
    """[n, M] outputs of the networks of M indices [M, Z] on inputs [n, D + F]."""

    def at(index: jax.Array) -> jax.Array:
      params = jax.tree.map(
        lambda centre, start, moved, direction: (
          centre + start + jnp.tensordot(index, moved + prior_scale * direction, 1)
        ),
        learnt.centre,
        prior.centre,
        learnt.directions,
        prior.directions,
      )
      return network.apply_network(params, inputs)[:, 0]

    return jax.vmap(at, out_axes=1)(indices)

  def draws(state: HypermodelState, context: Context, indices: jax.Array) -> jax.Array:
    inputs = network.candidate_inputs(context)
    held = len(indices) * 2 * max(hidden, 1)
    return by_rows(lambda rows: values(state.learnt, state.prior, indices, rows), inputs, held).T

  def predict(state: HypermodelState, context: Context) -> tuple[jax.Array, jax.Array]:
    outputs = draws(state, context, state.indices)
    return jnp.mean(outputs, axis=0), jnp.var(outputs, axis=0)

  def sample(
    key: jax.Array, state: HypermodelState, context: Context, num_samples: int
  ) -> jax.Array:
    return draws(state, context, jax.random.normal(key, (num_samples, index_dim)))

  def update(key: jax.Array, state: HypermodelState, feedback: Feedback) -> HypermodelState:
    directions = network.unit_directions(key, len(feedback.reward), index_dim)
    return dataclasses.replace(state, replay=network.append(state.replay, feedback, directions))

  def refresh(key: jax.Array, state: HypermodelState) -> HypermodelState:
    def row_loss(key: jax.Array, learnt: Hyperparameters, rows: network.Replay) -> jax.Array:
      indices = jax.random.normal(key, (_NUM_INDICES, index_dim))
      # A row of weight w is one reward with noise of variance / w.
      scale = jnp.sqrt(noise_variance / jnp.where(rows.weight > 0, rows.weight, 1))
      targets = rows.reward[:, None] + scale[:, None] * (rows.noise @ indices.T)
      errors = values(learnt, state.prior, indices, rows.inputs) - targets
      return jnp.mean(errors**2, axis=1) / (2 * noise_variance)

    learnt = network.refit(key, fit, row_loss, state.learnt, state.replay, lambda_)
    return dataclasses.replace(state, learnt=learnt)

  return Belief(init, predict, sample, update, refresh=refresh, learns_at_refresh=True)


def _directions(key: jax.Array, params: network.Params, index_dim: int) -> network.Params:
  """Unit directions [Z] for each parameter, scaled by what its layer reads."""
  layers = []
  for number, layer in enumerate(params):
    layer_key = jax.random.fold_in(key, number)
    scale = jnp.sqrt(2 / len(layer['weights']))
    shapes = {name: leaf.shape for name, leaf in layer.items()}
    layers.append(
      {
        name: scale
        * network.unit_directions(
          jax.random.fold_in(layer_key, place), layer[name].size, index_dim
        ).T.reshape(index_dim, *shape)
        for place, (name, shape) in enumerate(shapes.items())
      }
    )
  return layers


def _paired(key: jax.Array, index_dim: int) -> jax.Array:
  """[M, Z] normal indices, each with its opposite, so that their mean is that of z: 0."""
  half = jax.random.normal(key, (_NUM_FIXED // 2, index_dim))
  return jnp.concatenate([half, -half])
