"""The synthetic worlds of a sweep, by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rec_jax.environments.base import Environment
from rec_jax.environments.synthetic import LinearData, linear_environment
from rec_jax.stages.config import SweepConfig
from rec_jax.types import ArmSpec, InputError


class World(NamedTuple):
  """An environment of one user with its data, shared by all seeds.

  Attributes:
    environment: of one user and one item a round.
    data: its truth.
    spec: the sizes of a policy for it.
    description: what it is, for the protocol.
  """

  environment: Environment
  data: Any
  spec: ArmSpec
  description: str


def build(config: SweepConfig) -> World:
  """The world that a sweep plays in; its truth is drawn from the seed of the config.

  Raises:
    InputError: the environment is unknown.
  """
  if config.environment not in WORLDS:
    raise InputError(
      f'unknown environment {config.environment!r}; known: {", ".join(WORLDS)}: '
      'set --config.environment'
    )
  return WORLDS[config.environment](jax.random.key(config.seed), config)


def _linear(key: jax.Array, config: SweepConfig) -> World:
  """Weights of length sqrt(F), so that the mean rewards of the arms have variance 1."""
  direction = jax.random.normal(jax.random.fold_in(key, 1), (config.dim,))
  return World(
    environment=linear_environment(config.num_arms),
    data=LinearData(
      weights=direction / jnp.linalg.norm(direction) * jnp.sqrt(config.dim),
      noise_variance=jnp.float32(config.noise**2),
    ),
    spec=_spec(config),
    description=(
      f'{config.num_arms} fresh arms a round with {config.dim} normal features, reward linear in '
      f'them with variance 1 among arms, noise of standard deviation {config.noise:g}'
    ),
  )


def _spec(config: SweepConfig) -> ArmSpec:
  return ArmSpec(
    num_arms=config.num_arms,
    num_candidates=config.num_arms,
    query_dim=config.dim,
    arm_dim=config.dim,
  )


WORLDS: dict[str, Callable[[jax.Array, SweepConfig], World]] = {'linear': _linear}
