"""The worlds of a sweep that are read from a file."""

import tempfile

import jax

from rec_jax.data import logged, open_bandit
from rec_jax.data.classification import read_classification
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.open_bandit_files import CAMPAIGNS
from rec_jax.data.sources import (
  CLASSIFICATION_TABLES,
  classification_file,
  open_bandit_folder,
)
from rec_jax.environments.classification import classification_data, classification_environment
from rec_jax.environments.matrix import matrix_environment, matrix_spec, read_matrix
from rec_jax.environments.replay import replay_data, replay_environment, replay_spec
from rec_jax.studies.sweep import config as configs
from rec_jax.studies.sweep.sweep_metrics import REPLAY
from rec_jax.studies.sweep.world import World
from rec_jax.types import ArmSpec, InputError


def classification(key: jax.Array, config: configs.ClassificationConfig) -> World:
  """A table for classification that comes with the project."""
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


def matrix(key: jax.Array, config: configs.MatrixConfig) -> World:
  """A reward matrix of the user's own."""
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


def replay(key: jax.Array, config: configs.ReplayConfig) -> World:
  """A uniform log, replayed."""
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
    file='' if config.log in CAMPAIGNS else config.log,
  )


def _uniform_log(name: str) -> LoggedFeedback:
  """A file in our format, or the random log of a campaign of the Open Bandit sample."""
  if name not in CAMPAIGNS:
    return logged.read(name, flag='config.log')
  with tempfile.TemporaryDirectory() as directory:
    open_bandit.write(open_bandit_folder(), 'random', name, directory)
    return open_bandit.read(directory, 'random', name)
