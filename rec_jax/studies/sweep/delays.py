"""When the outcomes of a sweep become known."""

from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Environment
from rec_jax.environments.delayed import (
  delayed,
  fixed_delay,
  geometric_delay,
  longest_geometric_delay,
  uniform_delay,
)
from rec_jax.studies.sweep.config import SweepConfig
from rec_jax.studies.sweep.world import World
from rec_jax.types import InputError

_DELAYS = {'geometric': geometric_delay, 'fixed': fixed_delay, 'uniform': uniform_delay}


def check(config: SweepConfig) -> None:
  """Raises InputError where the distribution is unknown or cannot have that mean."""
  kind = config.delay_distribution
  if kind not in _DELAYS:
    raise InputError(
      f'unknown delay_distribution {kind!r}; known: {", ".join(_DELAYS)}: '
      'set --config.delay_distribution'
    )
  if kind != 'geometric' and _longest(config) % 1:
    raise InputError(
      f'delay is {config.delay:g}, and with it the longest {kind} delay {_longest(config):g} '
      'rounds; set --config.delay so that the longest is a whole number'
    )


def environment(config: SweepConfig, world: World, policy: Policy) -> Environment:
  """The world as the policy meets it: with its outcomes late, if they are to be."""
  if not config.delay:
    return world.environment
  sample_delay = _DELAYS[config.delay_distribution](config.delay)
  return delayed(world.environment, sample_delay, _max_delay(config), policy, world.spec)


def description(config: SweepConfig) -> str:
  """For the protocol; empty without a delay."""
  if not config.delay:
    return ''
  kind = config.delay_distribution
  mean = 'of' if kind == 'fixed' else 'with mean'
  # The longest geometric delay is only the longest but for rare ones.
  is_cut = kind == 'geometric' or _longest(config) > _max_delay(config)
  cut = f', cut at {_max_delay(config):,}' if is_cut else ''
  return f', known after a {kind} delay {mean} {config.delay:g} rounds{cut}'


def _longest(config: SweepConfig) -> float:
  if config.delay_distribution == 'geometric':
    return longest_geometric_delay(config.delay)
  return 2 * config.delay if config.delay_distribution == 'uniform' else config.delay


def _max_delay(config: SweepConfig) -> int:
  # What waits as long as the run never arrives.
  return int(min(_longest(config), config.num_rounds))
