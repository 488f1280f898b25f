"""The published files of the Open Bandit data (Saito et al. 2021), a batch of rows at a time.

`FOLDER/{random,bts}/{all,men,women}/` holds `CAMPAIGN.csv`, a row a round, and `item_context.csv`.
The full logs have up to 12 million rounds of some 90 columns. Four of these describe the user, by
categories of which few combinations occur. A round is kept as the number of its combination and
the few columns that an estimator reads, 16 bytes in all.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from rec_jax.types import InputError

POLICIES = ('random', 'bts')
CAMPAIGNS = ('all', 'men', 'women')
CATEGORIES = ('category_1', 'category_2', 'category_3')
USER_FEATURES = tuple(f'user_feature_{i}' for i in range(4))
# Stands between the features of a user, none of which holds it.
_SEPARATOR = '\x1f'
# Rows held at once while a file is read.
_BATCH = 250_000
_NUMBERS = {
  'item_id': pl.Int32,
  'position': pl.Int32,
  'click': pl.Int32,
  'propensity_score': pl.Float64,
}


@dataclasses.dataclass(frozen=True)
class Impressions:
  """A log of the Open Bandit data in the order of its file.

  Attributes:
    user: [n] int32 in [0, U), which combination of user features.
    item: [n] int16 in [0, K).
    position: [n] int8 in [0, L).
    click: [n] int8, 0 or 1.
    propensity: [n] float64 in (0, 1].
    context: [U, D] float32, features of users, one-hot without the first category.
    action_context: [K, 4] float64, codes of the three categorical item features, then the number.
  """

  user: np.ndarray
  item: np.ndarray
  position: np.ndarray
  click: np.ndarray
  propensity: np.ndarray
  context: np.ndarray
  action_context: np.ndarray


def read(folder: Path, policy: str, campaign: str) -> Impressions:
  """Reads one log, a batch of rows at a time.

  Args:
    folder: the data as they come.
    policy: 'random' or 'bts' (Bernoulli Thompson sampling).
    campaign: 'all', 'men' or 'women'.

  Raises:
    InputError: a file is missing or is not of the data set; one line with the column and the first
      offending row, from 0.
  """
  check_names(policy, campaign)
  path = folder / policy / campaign
  items = read_items(path)
  found: dict[str, int] = {}
  parts: dict[str, list[np.ndarray]] = {name: [] for name in ('user', *_NUMBERS)}
  row = 0
  for batch in _batches(path / f'{campaign}.csv'):
    _check(path / f'{campaign}.csv', batch, row, len(items))
    for user in batch['user'].unique(maintain_order=True):
      found.setdefault(user, len(found))
    parts['user'].append(
      batch['user'].replace_strict(found, return_dtype=pl.Int32).to_numpy().copy()
    )
    for name, dtype in (('item_id', np.int16), ('position', np.int16), ('click', np.int8)):
      parts[name].append(batch[name].to_numpy().astype(dtype))
    parts['propensity_score'].append(batch['propensity_score'].to_numpy().copy())
    row += len(batch)
  if row == 0:
    raise InputError(f'{path}/{campaign}.csv: the log is empty; give at least one round')
  columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
  users = np.array([user.split(_SEPARATOR) for user in found])
  places = np.flatnonzero(np.bincount(columns['position']))
  return Impressions(
    user=columns['user'],
    item=columns['item_id'],
    position=np.searchsorted(places, columns['position']).astype(np.int8),
    click=columns['click'],
    propensity=columns['propensity_score'],
    context=np.concatenate([one_hot(column) for column in users.T], axis=1),
    action_context=action_context(items),
  )


def check_names(policy: str, campaign: str) -> None:
  """Raises InputError unless there are such a policy and campaign."""
  for name, value, known in (('policy', policy, POLICIES), ('campaign', campaign, CAMPAIGNS)):
    if value not in known:
      raise InputError(f'Open Bandit {name} "{value}" is unknown; choose {", ".join(known)}')


def read_items(path: Path) -> pl.DataFrame:
  """The items of one log, sorted by id: `item_id`, `number` and `CATEGORIES`.

  Raises:
    InputError: the file is missing or is not of the data set.
  """
  items = select(
    path / 'item_context.csv',
    pl.col('item_id').cast(pl.Int32),
    pl.col('item_feature_0').cast(pl.Float64).alias('number'),
    *(pl.col(f'item_feature_{i}').alias(name) for i, name in enumerate(CATEGORIES, 1)),
  ).sort('item_id')
  if items['item_id'].to_list() != list(range(len(items))):
    raise InputError(f'{path}/item_context.csv: item_id is not 0..{len(items) - 1}, each once')
  return items


def select(path: Path, *columns: pl.Expr) -> pl.DataFrame:
  """Columns of a file, whole.

  Raises:
    InputError: there is no such file, a column or type is another one, or a value is missing.
  """
  try:
    table = _scan(path).select(columns).collect()
  except pl.exceptions.PolarsError as error:
    raise _foreign(path, error) from error
  for name in table.columns:
    if table[name].null_count():
      row = int(table[name].is_null().to_numpy().argmax())
      raise InputError(f'{path}: column "{name}", row {row}: empty; leave the row out')
  return table


def action_context(items: pl.DataFrame) -> np.ndarray:
  """[K, 4] float64 codes of the categories in alphabetical order, then the number."""
  codes = [np.unique(items[name].to_numpy(), return_inverse=True)[1] for name in CATEGORIES]
  return np.stack([*codes, items['number'].to_numpy()], axis=1).astype(np.float64)


def one_hot(values: np.ndarray) -> np.ndarray:
  """[n, categories - 1] float32; the first category is all zeros."""
  categories = np.unique(values)[1:]
  return (values[:, None] == categories).astype(np.float32)


def _scan(path: Path) -> pl.LazyFrame:
  if not path.is_file():
    raise InputError(f'{path}: no such file; the folder of the Open Bandit data has it')
  return pl.scan_csv(path, infer_schema=False)


def _foreign(path: Path, error: Exception) -> InputError:
  reason = str(error).splitlines()[0]
  return InputError(f'{path}: not a file of the Open Bandit data ({reason})')


def _batches(path: Path) -> Iterator[pl.DataFrame]:
  """The columns that are read, a number that cannot be one as null, users as one string."""
  columns = [pl.col(name).cast(dtype, strict=False) for name, dtype in _NUMBERS.items()]
  user = pl.concat_str(USER_FEATURES, separator=_SEPARATOR).alias('user')
  try:
    query = _scan(path).select(*columns, user)
    yield from query.collect_batches(chunk_size=_BATCH, maintain_order=True, lazy=True)
  except pl.exceptions.PolarsError as error:
    raise _foreign(path, error) from error


def _check(path: Path, batch: pl.DataFrame, first: int, num_items: int) -> None:
  """Raises where a row of a batch, whose own first row is `first`, is no round."""
  wrong = {
    'item_id': (~pl.col('item_id').is_between(0, num_items - 1), f'not in 0..{num_items - 1}'),
    'position': (~pl.col('position').is_between(0, 999), 'not in 0..999'),
    'click': (~pl.col('click').is_in([0, 1]), 'not 0 or 1'),
    'propensity_score': (
      ~pl.col('propensity_score').is_between(1e-30, 1),
      'not in (0, 1], or below 1e-30',
    ),
    'user': (pl.lit(False), ''),
  }
  for name, (is_wrong, what) in wrong.items():
    # What is no number has become null.
    rows = batch.select(is_wrong.or_(pl.col(name).is_null()).fill_null(True).alias('wrong'))
    if rows['wrong'].any():
      row = int(rows['wrong'].to_numpy().argmax())
      value = batch[name][row]
      what = 'empty, or no number; mend it or leave the row out' if value is None else what
      shown = '' if value is None else f'{value} is '
      raise InputError(f'{path}: column "{name}", row {first + row}: {shown}{what}')
