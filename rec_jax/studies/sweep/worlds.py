"""The worlds of a sweep, by name."""

import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rec_jax.data import logged, open_bandit
from rec_jax.data.classification import read_classification
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.sources import (
  CLASSIFICATION_TABLES,
  classification_file,
  open_bandit_folder,
)
from rec_jax.environments.base import Environment
from rec_jax.environments.classification import classification_data, classification_environment
from rec_jax.environments.matrix import matrix_environment, matrix_spec, read_matrix
from rec_jax.environments.nonstationary import (
  DriftingData,
  PiecewiseData,
  drifting_environment,
  piecewise_environment,
)
from rec_jax.environments.replay import replay_data, replay_environment, replay_spec
from rec_jax.environments.synthetic import (
  LinearData,
  LogisticData,
  NeuralData,
  linear_environment,
  logistic_environment,
  neural_environment,
  neural_moments,
)
from rec_jax.environments.taste import TasteData, taste_environment
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment
from rec_jax.studies.sweep import config as configs
from rec_jax.studies.sweep.sweep_metrics import REGRET, REPLAY, Measure
from rec_jax.types import ArmSpec, InputError


class World(NamedTuple):
  """An environment of one user with its data, shared by all seeds.

  Attributes:
    environment: of one user and one item a round.
    data: its truth.
    spec: the sizes of a policy for it.
    description: what it is, for the protocol.
    measure: what is reported of it.
    file: that of the user's own from which it was read, if any.
  """

  environment: Environment
  data: Any
  spec: ArmSpec
  description: str
  measure: Measure = REGRET
  file: str = ''


def build(config: configs.SweepConfig) -> World:
  """The world that a sweep plays in; its truth is drawn from the seed of the config.

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
  return World(
    environment=linear_environment(config.num_arms),
    data=LinearData(_weights(key, config), jnp.float32(config.noise**2)),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them with variance 1 among arms{_noise(config)}'
    ),
  )


def _logistic(key: jax.Array, config: configs.LogisticConfig) -> World:
  return World(
    environment=logistic_environment(config.num_arms),
    data=LogisticData(_weights(key, config)),
    spec=_spec(config),
    description=f'{_arms(config)}, reward 1 at the sigmoid of a logit with variance 1 among arms',
  )


def _drifting(key: jax.Array, config: configs.DriftingConfig) -> World:
  return World(
    environment=drifting_environment(config.num_arms),
    data=DriftingData(
      _weights(key, config), jnp.float32(config.noise**2), jnp.float32(config.drift)
    ),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them{_noise(config)}; a share of {config.drift:g} of the '
      'variance of the weights is drawn anew in each round'
    ),
  )


def _piecewise(key: jax.Array, config: configs.PiecewiseConfig) -> World:
  if config.num_changes >= config.num_rounds:
    raise InputError(
      f'num_changes is {config.num_changes}; set --config.num_changes to less than '
      f'num_rounds={config.num_rounds}'
    )
  at_key, weights_key = jax.random.split(key)
  later = jax.random.permutation(at_key, jnp.arange(1, config.num_rounds))
  weights_keys = jax.random.split(weights_key, config.num_changes + 1)
  return World(
    environment=piecewise_environment(config.num_arms),
    data=PiecewiseData(
      weights=jax.vmap(lambda key: _weights(key, config))(weights_keys),
      changes=jnp.sort(later[: config.num_changes]),
      noise_variance=jnp.float32(config.noise**2),
    ),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward linear in them{_noise(config)}; weights drawn anew at '
      f'{config.num_changes} rounds'
    ),
  )


def _neural(key: jax.Array, config: configs.NeuralConfig) -> World:
  weights_key, output_key = jax.random.split(key)
  weights = jax.random.normal(weights_key, (config.hidden_dim, config.dim))
  output = jax.random.normal(output_key, (config.hidden_dim,))
  mean, variance = neural_moments(weights, output)
  return World(
    environment=neural_environment(config.num_arms),
    data=NeuralData(
      weights=weights,
      output=output / jnp.sqrt(variance),
      bias=-mean / jnp.sqrt(variance),
      noise_variance=jnp.float32(config.noise**2),
    ),
    spec=_spec(config),
    description=(
      f'{_arms(config)}, reward a network of them with {config.hidden_dim} rectified linear '
      f'units, with mean 0 and variance 1 among arms{_noise(config)}'
    ),
  )


def _wheel(key: jax.Array, config: configs.WheelConfig) -> World:
  del key
  return World(
    environment=wheel_environment(),
    data=WheelData(disc_radius=jnp.float32(config.disc_radius), noise=jnp.float32(config.noise)),
    spec=ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=2, arm_dim=ARM_DIM),
    description=f'5 arms, inner disc of radius {config.disc_radius:g}{_noise(config)}',
  )


def _classification(key: jax.Array, config: configs.ClassificationConfig) -> World:
  del key
  if config.table not in CLASSIFICATION_TABLES:
    known = ', '.join(CLASSIFICATION_TABLES)
    raise InputError(f'unknown table {config.table!r}; known: {known}: set --config.table')
  table = read_classification(classification_file(config.table))
  data = classification_data(table.attributes, table.labels)
  num_rows, query_dim = data.queries.shape
  num_classes = len(table.classes)
  return World(
    environment=classification_environment(num_classes),
    data=data,
    spec=ArmSpec(num_classes, num_classes, query_dim, num_classes * query_dim),
    description=(
      f'{config.table}, {num_rows:,} rows of {query_dim - 1} attributes in an order of each '
      f"seed's own; reward 1 for the right one of {num_classes} classes, else 0"
    ),
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
  )


def _matrix(key: jax.Array, config: configs.MatrixConfig) -> World:
  del key
  if not config.rewards:
    raise InputError('no reward matrix given; set --config.rewards=FILE.npz')
  data = read_matrix(config.rewards)
  spec = matrix_spec(data)
  return World(
    environment=matrix_environment(),
    data=data,
    spec=spec,
    description=(
      f'{spec.num_users:,} users, of whom one is drawn in each round, and {spec.num_arms:,} items; '
      f'candidates are the items with a known reward, {data.mask.sum(axis=1).mean():.4g} on '
      'average; rewards as they stand'
    ),
    file=config.rewards,
  )


def _replay(key: jax.Array, config: configs.ReplayConfig) -> World:
  del key
  log = _uniform_log(config.log)
  try:
    data = replay_data(log)
  except InputError as error:
    raise InputError(f'{config.log}: {error}') from error
  num_logged = len(log.action)
  if config.num_rounds > num_logged:
    raise InputError(
      f'num_rounds is {config.num_rounds} and the log has {num_logged} rounds; set '
      f'--config.num_rounds to {num_logged} or less'
    )
  spec = replay_spec(data)
  return World(
    environment=replay_environment(),
    data=data,
    spec=spec,
    description=(
      f'the uniform log {config.log} of {spec.num_arms:,} items, replayed by rejection: rounds in '
      'which the policy chooses another item than the log teach nothing and do not count'
    ),
    measure=REPLAY,
    file='' if config.log in open_bandit.CAMPAIGNS else config.log,
  )


def _uniform_log(name: str) -> LoggedFeedback:
  """A file in our format, or the random log of a campaign of the Open Bandit sample."""
  if name not in open_bandit.CAMPAIGNS:
    return logged.read(name)
  with tempfile.TemporaryDirectory() as directory:
    open_bandit.write(open_bandit_folder(), 'random', name, directory)
    return open_bandit.read(directory, 'random', name)


def _weights(key: jax.Array, config: configs.ArmsConfig) -> jax.Array:
  """[F] of length sqrt(F), so that features . weights has variance 1 among arms."""
  direction = jax.random.normal(jax.random.fold_in(key, 1), (config.dim,))
  return direction / jnp.linalg.norm(direction) * jnp.sqrt(config.dim)


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
  'linear': _linear,
  'logistic': _logistic,
  'neural': _neural,
  'drifting': _drifting,
  'piecewise': _piecewise,
  'wheel': _wheel,
  'classification': _classification,
  'taste': _taste,
  'matrix': _matrix,
  'replay': _replay,
}
