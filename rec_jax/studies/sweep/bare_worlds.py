"""The worlds of a sweep whose arms have no features."""

import math

import jax
import jax.numpy as jnp

from rec_jax.environments.adversarial import (
  AdversarialData,
  adversarial_environment,
  lower_bound_chances,
  rewards_against_ucb1,
  switching_rewards,
)
from rec_jax.environments.clicks import (
  CascadeData,
  PositionData,
  cascade_environment,
  position_based_environment,
)
from rec_jax.environments.fixed_arms import ArmsData, arms_environment
from rec_jax.studies.sweep import config as configs
from rec_jax.studies.sweep.sweep_metrics import (
  REGRET,
  REGRET_IN_HINDSIGHT,
  REGRET_OVER_TRUTHS,
  with_simple_regret,
)
from rec_jax.studies.sweep.world import World
from rec_jax.types import ArmSpec, InputError

# Name -> the table, whether it holds chances, and what it is.
_TABLES = {
  'lower_bound': (
    lower_bound_chances,
    True,
    'rewards 0 or 1, of one arm with probability 1/2 + sqrt(K / T) / 4, of the others 1/2',
  ),
  'switching': (
    switching_rewards,
    False,
    'one arm pays 1 in the first quarter of the rounds, another in the rest, the others nothing',
  ),
  'against_ucb1': (
    rewards_against_ucb1,
    False,
    'the arm that UCB1 is about to choose pays 0, all others 1',
  ),
}


def arms(key: jax.Array, config: configs.KArmedConfig) -> World:
  """K independent arms."""
  del key
  means = _means(config)
  num_arms = config.num_arms if means is None else len(means)
  kind = 'normal' if config.noise else '0 or 1'
  drawn = 'N(0, 1)' if config.noise else 'uniform on [0, 1]'
  described = f'means {config.means}' if config.means else f'means {drawn}, drawn once a seed'
  noise = f', noise of standard deviation {config.noise:g}' if config.noise else ''
  return World(
    environment=arms_environment(num_arms),
    data=ArmsData(means, jnp.float32(config.noise) if config.noise else None),
    spec=_bare_spec(num_arms),
    description=(f'{num_arms} arms, rewards {kind}, {described}{noise}'),
    measure=with_simple_regret(REGRET if config.means else REGRET_OVER_TRUTHS),
  )


def adversarial(key: jax.Array, config: configs.AdversarialConfig) -> World:
  """Rewards that an adversary fixed beforehand."""
  del key
  if config.table not in _TABLES:
    raise InputError(
      f'unknown table {config.table!r}; known: {", ".join(_TABLES)}: set --config.table'
    )
  table, is_drawn, described = _TABLES[config.table]
  return World(
    environment=adversarial_environment(config.num_arms, is_drawn),
    data=AdversarialData(jnp.asarray(table(config.num_rounds, config.num_arms))),
    spec=_bare_spec(config.num_arms),
    description=f'{config.num_arms} arms, rewards fixed before the first round: {described}',
    measure=REGRET_IN_HINDSIGHT,
  )


def cascade(key: jax.Array, config: configs.CascadeConfig) -> World:
  """Slates that a user scans until something attracts."""
  del key
  if not 0 < config.slate_size <= config.num_arms:
    raise InputError(
      f'slate_size is {config.slate_size}; set --config.slate_size to 1 or more and at most '
      f'num_arms={config.num_arms}'
    )
  return World(
    environment=cascade_environment(config.num_arms),
    data=CascadeData(jnp.float32(config.max_attraction)),
    spec=_bare_spec(config.num_arms)._replace(slate_size=config.slate_size),
    description=(
      f'slates of {config.slate_size} of {config.num_arms} items, {_attraction(config)}; the first '
      'attractive item is clicked, and the items below it are not seen'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def position_based(key: jax.Array, config: configs.PositionBasedConfig) -> World:
  """Slates whose positions are looked at with known probabilities."""
  del key
  examination = _examination(config)
  return World(
    environment=position_based_environment(config.num_arms),
    data=PositionData(jnp.float32(config.max_attraction), jnp.array(examination)),
    spec=_bare_spec(config.num_arms)._replace(slate_size=len(examination)),
    description=(
      f'slates of {len(examination)} of {config.num_arms} items, {_attraction(config)}; positions '
      f'are looked at with probability {config.examination}, which is known'
    ),
    measure=REGRET_OVER_TRUTHS,
  )


def _means(config: configs.KArmedConfig) -> jax.Array | None:
  """[K] the means of every seed, None where each seed has its own."""
  if not config.means:
    return None
  try:
    means = [float(word) for word in config.means.split(',')]
  except ValueError as error:
    raise InputError(f'means is {config.means!r}: {error}; give numbers with commas') from error
  if not all(map(math.isfinite, means)):
    raise InputError(f'means is {config.means!r}; give finite numbers with commas')
  if config.noise == 0 and not all(0 <= mean <= 1 for mean in means):
    raise InputError(
      f'means is {config.means!r}: rewards of 0 and 1 have means in [0, 1]; set --config.noise '
      'above 0 for normal ones'
    )
  return jnp.array(means)


def _examination(config: configs.PositionBasedConfig) -> list[float]:
  """[L] as numbers."""
  told = f'examination is {config.examination!r}'
  try:
    values = [float(word) for word in config.examination.split(',')]
  except ValueError as error:
    raise InputError(f'{told}: {error}; give numbers with commas') from error
  if not all(0 < value <= 1 for value in values) or values != sorted(values, reverse=True):
    raise InputError(
      f'{told}; set --config.examination to numbers above 0 and at most 1, the highest first'
    )
  if len(values) > config.num_arms:
    raise InputError(
      f'{told}, more positions than items; set --config.num_arms to {len(values)} or more'
    )
  return values


def _attraction(config: configs.CascadeConfig | configs.PositionBasedConfig) -> str:
  return f'attractions uniform on [0, {config.max_attraction:g}], drawn once a seed'


def _bare_spec(num_arms: int) -> ArmSpec:
  return ArmSpec(num_arms, num_arms, query_dim=1, arm_dim=num_arms)
