"""The worlds of a sweep, by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rec_jax.environments.continuous import ContinuousData, continuous_environment
from rec_jax.environments.fixed_arms import (
  FixedLinearData,
  FixedLogisticData,
  fixed_linear_environment,
  fixed_logistic_environment,
)
from rec_jax.environments.nonstationary import (
  DriftingData,
  PiecewiseData,
  drifting_environment,
  piecewise_environment,
)
from rec_jax.environments.synthetic import (
  LinearData,
  LogisticData,
  linear_environment,
  logistic_environment,
  neural_environment,
)
from rec_jax.environments.taste import TasteData, taste_environment
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment
from rec_jax.studies.sweep import bare_worlds, file_worlds
from rec_jax.studies.sweep import config as configs
from rec_jax.studies.sweep.sweep_metrics import REGRET_OVER_TRUTHS, with_simple_regret
from rec_jax.studies.sweep.world import World
from rec_jax.types import ArmSpec, InputError


def build(config: configs.SweepConfig) -> World:
  """The world that a sweep plays in; what its seeds share is drawn from the seed of the config.

  Raises:
    InputError: the environment is another than that of the config's class, or a file that it needs
      is not as it must be.
  """
  own = type(config).environment
  if config.environment != own:
    raise InputError(
      f'environment is {config.environment!r} in the config of {own!r}: leave it, and give '
      '--config=configs/bandits/NAME.py of another'
    )
  return WORLDS[own](jax.random.key(config.seed), config)


def _linear(key: jax.Array, config: configs.LinearConfig) -> World:
  del key
  return World(
    environment=linear_environment(config.num_arms, config.dim),
    data=LinearData(jnp.float32(config.noise**2)),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them with variance 1 among arms{_noise(config)}'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _logistic(key: jax.Array, config: configs.LogisticConfig) -> World:
  del key
  return World(
    environment=logistic_environment(config.num_arms, config.dim),
    data=LogisticData(),
    spec=_spec(config),
    description=f'{_arms(config)}, reward 1 at the sigmoid of a logit with variance 1 among arms',
    measure=REGRET_OVER_TRUTHS,
  )


def _drifting(key: jax.Array, config: configs.DriftingConfig) -> World:
  del key
  return World(
    environment=drifting_environment(config.num_arms, config.dim),
    data=DriftingData(jnp.float32(config.noise**2), jnp.float32(config.drift)),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them{_noise(config)}; a share of {config.drift:g} of the '
      'variance of the weights is drawn anew in each round'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _piecewise(key: jax.Array, config: configs.PiecewiseConfig) -> World:
  if config.num_changes >= config.num_rounds:
    raise InputError(
      f'num_changes is {config.num_changes}; set --config.num_changes to less than '
      f'num_rounds={config.num_rounds}'
    )
  later = jax.random.permutation(key, jnp.arange(1, config.num_rounds))
  return World(
    environment=piecewise_environment(config.num_arms, config.dim),
    data=PiecewiseData(
      changes=jnp.sort(later[: config.num_changes]),
      noise_variance=jnp.float32(config.noise**2),
    ),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them{_noise(config)}; weights drawn anew at '
      f'{config.num_changes} rounds, the same of all seeds'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _neural(key: jax.Array, config: configs.NeuralConfig) -> World:
  del key
  return World(
    environment=neural_environment(config.num_arms, config.dim, config.hidden_dim),
    data=LinearData(jnp.float32(config.noise**2)),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward a network of them with {config.hidden_dim} rectified linear '
      f'units, with mean 0 and variance 1 among arms{_noise(config)}'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _fixed_linear(key: jax.Array, config: configs.FixedLinearConfig) -> World:
  del key
  return World(
    environment=fixed_linear_environment(config.num_arms, config.dim),
    data=FixedLinearData(jnp.float32(config.noise)),
    spec=_spec(config)._replace(query_dim=1),
    description=(
      f'{config.num_arms} arms with {config.dim} features, drawn once a seed as the weights are, '
      f'reward linear in them with variance 1 among arms{_noise(config)}'
    ),
    measure=with_simple_regret(REGRET_OVER_TRUTHS),
  )


def _fixed_logistic(key: jax.Array, config: configs.FixedLogisticConfig) -> World:
  del key
  return World(
    environment=fixed_logistic_environment(config.num_arms, config.dim),
    data=FixedLogisticData(),
    spec=_spec(config)._replace(query_dim=1),
    description=(
      f'{config.num_arms} arms with {config.dim} features, the first of them 1, drawn once a seed '
      'as the weights are, rewards 0 or 1, logistic in them'
    ),
    measure=with_simple_regret(REGRET_OVER_TRUTHS),
  )


def _wheel(key: jax.Array, config: configs.WheelConfig) -> World:
  del key
  return World(
    environment=wheel_environment(),
    data=WheelData(disc_radius=jnp.float32(config.disc_radius), noise=jnp.float32(config.noise)),
    spec=ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=2, arm_dim=ARM_DIM),
    description=f'5 arms, inner disc of radius {config.disc_radius:g}{_noise(config)}',
  )


def _continuous(key: jax.Array, config: configs.ContinuousConfig) -> World:
  del key
  return World(
    environment=continuous_environment(config.num_arms, config.dim),
    data=ContinuousData(jnp.float32(config.width), jnp.float32(config.noise)),
    spec=_spec(config)._replace(arm_dim=1),
    description=(
      f'{config.num_arms} actions evenly spaced on [0, 1], reward 1 at the best for a query of '
      f'{config.dim} numbers and 0 from {config.width:g} off{_noise(config)}; what the query asks '
      'for is drawn once a seed'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _taste(key: jax.Array, config: configs.TasteConfig) -> World:
  items = jax.random.normal(key, (config.num_arms, config.dim))
  return World(
    environment=taste_environment(),
    data=TasteData(
      items=items / jnp.linalg.norm(items, axis=1, keepdims=True),
      noise_variance=jnp.float32(config.noise**2),
      taste_step=jnp.float32(config.taste_step),
    ),
    spec=_spec(config)._replace(query_dim=1),
    description=(
      f'{config.num_arms} items and a user a seed, all directions in {config.dim} dimensions, '
      f"reward their cosine{_noise(config)}; each item moves the user's taste by "
      f'{config.taste_step:g} of its cosine'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _spec(config: configs.ArmsConfig) -> ArmSpec:
  return ArmSpec(
    num_arms=config.num_arms,
    num_candidates=config.num_arms,
    query_dim=config.dim,
    arm_dim=config.dim,
  )


def _arms(config: configs.ArmsConfig) -> str:
  return f'{config.num_arms} fresh arms a round with {config.dim} normal features'


def _noise(config: configs.LinearConfig | configs.WheelConfig) -> str:
  return f', noise of standard deviation {config.noise:g}'


WORLDS: dict[str, Callable[[jax.Array, Any], World]] = {
  'arms': bare_worlds.arms,
  'linear': _linear,
  'fixed_linear': _fixed_linear,
  'fixed_logistic': _fixed_logistic,
  'logistic': _logistic,
  'neural': _neural,
  'drifting': _drifting,
  'piecewise': _piecewise,
  'wheel': _wheel,
  'continuous': _continuous,
  'classification': file_worlds.classification,
  'taste': _taste,
  'adversarial': bare_worlds.adversarial,
  'cascade': bare_worlds.cascade,
  'position_based': bare_worlds.position_based,
  'matrix': file_worlds.matrix,
  'replay': file_worlds.replay,
}
