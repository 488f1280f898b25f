"""An ensemble of networks, each with a random prior and its own share of the data."""

import dataclasses
from typing import Any

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


@struct.dataclass
class EnsembleState:
  """M members.

  Attributes:
    params: of the networks, leading [M].
    prior: of the networks that are never fitted, leading [M].
    replay: [C] outcomes; noise [C, M] is the weight of each row for each member.
  """

  params: Any
  prior: Any
  replay: network.Replay


def ensemble(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  prior_scale: ArrayLike = 1.0,
  num_members: int = 10,
  hidden: int = 32,
  capacity: int = 1024,
  fit: network.Fit = _ADAM,
) -> Belief:
  """Bootstrapped ensemble with randomised prior functions (Osband et al. 2018, algorithm 1).

  A member is a fitted network plus `prior_scale` times a random one. Each row counts twice or not
  at all for a member, by the toss of a coin (the double-or-nothing bootstrap). Members learn in
  `refresh`.

  Args:
    lambda_: prior precision of the fitted weights.
    noise_variance: of one reward around its expectation.
    prior_scale: of the random networks.
    num_members: M.
    hidden: H, units of each of two hidden layers.
    capacity: C, rows of the ring buffer.
    fit: see `network.adam`.

  Returns:
    A belief that reads `query` and `features`. Its draws are its M members.

  Raises:
    InputError: a value is out of range.
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('prior_scale', prior_scale, 0)
  for name, size in (('num_members', num_members), ('hidden', hidden), ('capacity', capacity)):
    check_range(name, size, 1)

  def init(key: jax.Array, spec: ArmSpec) -> EnsembleState:
    sizes = (spec.query_dim + spec.arm_dim, hidden, hidden, 1)
    params, prior = (
      jax.vmap(lambda key: network.init_network(key, sizes))(jax.random.split(key, num_members))
      for key in jax.random.split(key)
    )
    return EnsembleState(params, prior, network.init_replay(spec, capacity, num_members))

  def outputs(params: Any, prior: Any, inputs: jax.Array) -> jax.Array:
    fixed = network.apply_network(prior, inputs)
    return (network.apply_network(params, inputs) + prior_scale * fixed)[:, 0]

  def values_of(networks: tuple[Any, Any], context: Context, number: int) -> jax.Array:
    every = jax.vmap(outputs, (0, 0, None), out_axes=1)
    inputs = network.candidate_inputs(context)
    return by_rows(lambda rows: every(*networks, rows), inputs, 2 * number * hidden).T

  def members(state: EnsembleState, context: Context) -> jax.Array:
    return values_of((state.params, state.prior), context, num_members)

  def predict(state: EnsembleState, context: Context) -> tuple[jax.Array, jax.Array]:
    values = members(state, context)
    return jnp.mean(values, axis=0), jnp.var(values, axis=0)

  def sample(key: jax.Array, state: EnsembleState, context: Context, num_samples: int) -> jax.Array:
    chosen = jax.random.randint(key, (num_samples,), 0, num_members)
    if num_samples >= num_members:
      return members(state, context)[chosen]
    # Thompson follows one member, and the others need not be asked.
    drawn = jax.tree.map(lambda x: x[chosen], (state.params, state.prior))
    return values_of(drawn, context, num_samples)

  def update(key: jax.Array, state: EnsembleState, feedback: Feedback) -> EnsembleState:
    shape = (len(feedback.reward), num_members)
    counts = 2 * jax.random.bernoulli(key, 0.5, shape).astype(jnp.float32)
    return dataclasses.replace(state, replay=network.append(state.replay, feedback, counts))

  def refresh(key: jax.Array, state: EnsembleState) -> EnsembleState:
    def one(key: jax.Array, params: Any, prior: Any, counts: jax.Array) -> Any:
      def row_loss(key: jax.Array, params: Any, rows: network.Replay) -> jax.Array:
        del key
        return rows.noise[:, 0] * network.squared_error(
          outputs(params, prior, rows.inputs), rows, noise_variance
        )

      own = dataclasses.replace(state.replay, noise=counts[:, None])
      return network.refit(key, fit, row_loss, params, own, lambda_)

    keys = jax.random.split(key, num_members)
    params = jax.vmap(one, (0, 0, 0, 1))(keys, state.params, state.prior, state.replay.noise)
    return dataclasses.replace(state, params=params)

  return Belief(
    init, predict, sample, update, refresh=refresh, members=members, learns_at_refresh=True
  )
