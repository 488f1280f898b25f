"""Files of logged feedback by their suffix: our own table, Parquet or CSV, and what others write.

`.npz` is OBP's dictionary, `.dsjson`, `.vw` and `.vw.csv` are logs of Vowpal Wabbit, other `.csv`
is CSV, `.parquet` is Parquet. Each is read as one `LoggedFeedback` and written from it. A table
holds a row a round and what the dictionary (see `obp`) knows beyond that in columns of fixed
length; what belongs to the actions is in the metadata of Parquet, or in a file beside the CSV.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_jax import files
from rec_jax.data import logged_csv, logged_tables, obp, ranked_lists, vw, vw_csv, vw_write
from rec_jax.data.logged_feedback import PER_ROUND, LoggedFeedback, checked
from rec_jax.types import InputError

COLUMNS = {
  'round': pl.Int64,
  'user_id': pl.String,
  'item_id': pl.String,
  'num_candidates': pl.Int64,
  'propensity': pl.Float64,
  'reward': pl.Float64,
}


def read(
  path: Path | str, *, ranked: bool = False, with_propensity: bool = True, flag: str = 'log'
) -> LoggedFeedback:
  """Reads a log by its suffix; a table has at least the six columns of `COLUMNS`.

  A column `candidates` of lists of item ids says what there was to choose from where that changes;
  `expected_reward` is then a list in the same order.

  Args:
    path: of the file.
    ranked: whether a round may have several rows, the items of a ranked list, which are then for
      `ranked_lists.from_rows` to check.
    with_propensity: whether `propensity` and `pi_b` are read. Else neither has to be there, and
      `propensity` is 1, which stands for unknown.
    flag: that named the file, for errors.

  Raises:
    InputError: one line with the file, the column and the first offending row, from 0.
  """
  if Path(path).suffix == '.npz':
    return obp.read_npz(path, with_propensity=with_propensity)
  if _is_vw(path):
    log = vw_csv.read(path) if vw_csv.is_vw_csv(path) else vw.read(path)
    return (
      log if with_propensity else dataclasses.replace(log, propensity=np.ones_like(log.propensity))
    )
  frame, metadata = logged_tables.read(Path(path), flag)
  if not with_propensity:
    frame = frame.drop('pi_b', strict=False).with_columns(propensity=pl.lit(1.0))
  for column in COLUMNS:
    if column not in frame.columns:
      what = f'no column "{column}"; a log has {", ".join(COLUMNS)}'
      raise InputError(f'{path}: {what}{obp.UNKNOWN if column == "propensity" else ""}')
  frame = _typed(str(path), frame)
  lists = _lists(str(path), frame)
  offered = lists['candidates'].explode().cast(pl.String) if lists else frame['item_id'].clear()
  known = _of_items(str(path), metadata, 'item_ids')
  if known is not None and not all(isinstance(item_id, str) for item_id in known):
    raise InputError(f'{path}: item_ids of the metadata are not all strings; give strings')
  item, offered, known = logged_tables.item_ids(str(path), frame['item_id'], offered, known or [])
  slot = {item_id: index for index, item_id in enumerate(known)}
  if not item.is_in(known).all():
    row = int(np.argmin(item.is_in(known).to_numpy()))
    raise InputError(
      f'{path}: item_id, row {row}: {item[row]!r} is not among the item_ids of the file; add it'
    )
  extra = {
    name: _array(str(path), frame[name])
    for name in PER_ROUND
    if name in frame.columns and name not in lists
  }
  if lists:
    slots = offered.replace_strict(slot, default=-1, return_dtype=pl.Int64)
    extra['candidates'] = _padded(lists['candidates'].list.len(), slots, -1)
    if 'expected_reward' in lists:
      values = lists['expected_reward'].explode().cast(pl.Float64)
      extra['expected_reward'] = _padded(lists['expected_reward'].list.len(), values, 0.0)
  action_context = _of_items(str(path), metadata, 'action_context')
  log = LoggedFeedback(
    round=frame['round'].to_numpy(),
    user_id=frame['user_id'].to_numpy().astype(str),
    item_ids=np.array(known, str),
    action=np.array([slot[item_id] for item_id in item], np.int64),
    num_candidates=frame['num_candidates'].to_numpy(),
    position=frame['position'].to_numpy(),
    propensity=frame['propensity'].to_numpy(),
    reward=frame['reward'].to_numpy(),
    action_context=None
    if action_context is None
    else obp.numbers(str(path), 'action_context', action_context),
    is_adaptive=metadata.get('is_adaptive') == 'true',
    **extra,
  )
  return log if ranked and ranked_lists.has_lists(log) else checked(str(path), log)


def read_column(path: Path | str, name: str) -> np.ndarray:
  """[n], [n, C] or [n, C, L] the numbers of a column of a Parquet log that `read` does not know.

  Lists may be of different lengths, as those of candidates are; 0 stands behind their ends.

  Raises:
    InputError: there is no such column, or it is not of numbers.
  """
  if not is_table(path):
    raise InputError(f'{path}: it has no column "{name}"; give a Parquet or CSV log')
  frame, _ = logged_tables.read(Path(path), 'log')
  if name not in frame.columns:
    raise InputError(f'{path}: no column "{name}"; it has {", ".join(frame.columns)}')
  column = frame[name]
  if column.dtype == pl.String and column.str.starts_with('[').any():
    column = logged_csv.lists(str(path), column)
  elif column.dtype == pl.String:
    column = column.cast(pl.Float64, strict=False)
  inner = column.dtype.inner if isinstance(column.dtype, pl.List) else pl.List
  if not inner.is_numeric():
    return _array(str(path), column)
  length, flat = column.list.len().fill_null(0), column.explode().cast(pl.Float64)
  holes = length.to_numpy() == 0
  holes |= column.list.eval(pl.element().is_null()).list.any().fill_null(True).to_numpy()
  if holes.any():
    row = int(np.argmax(holes))
    raise InputError(f'{path}: column "{name}", row {row}: empty, or an element is; fill it')
  return _padded(length, flat, 0.0)


def columns(path: Path | str) -> list[str]:
  """Names of the columns of a log, none where it is no table."""
  return logged_tables.read(Path(path), 'log')[0].columns if is_table(path) else []


def is_table(path: Path | str) -> bool:
  """Whether a file of this name has columns, as Parquet and CSV have."""
  return Path(path).suffix != '.npz' and not _is_vw(path)


def write(path: Path | str, log: LoggedFeedback) -> None:
  """Writes a log that `read` gives back exactly, ids that it reads otherwise (`ids`) excepted.

  The file appears whole or not at all: Parquet, CSV or one of the following by its suffix.
  A dictionary, `.npz`, holds neither users nor item ids, and nothing but Parquet `is_adaptive`; for
  logs of Vowpal Wabbit see `vw_write`.

  Raises:
    InputError: the file cannot hold the log.
  """
  path = Path(path)
  if path.suffix == '.npz':
    obp.write_npz(path, log)
    return
  if _is_vw(path):
    (vw_csv if vw_csv.is_vw_csv(path) else vw_write).write(path, log)
    return
  columns: dict[str, Any] = {
    'round': log.round,
    'user_id': log.user_id,
    'item_id': log.item_ids[log.action],
    'num_candidates': log.num_candidates,
    'propensity': log.propensity,
    'reward': log.reward,
    'position': log.position,
  }
  for name in PER_ROUND:
    values = getattr(log, name)
    if values is not None:
      columns[name] = np.asarray(values, np.float64)
  if log.candidates is not None:
    held = log.candidates >= 0
    columns['candidates'] = _ragged(held, log.item_ids[log.candidates])
    if log.expected_reward is not None:
      columns['expected_reward'] = _ragged(held, columns['expected_reward'])
  metadata = {'item_ids': json.dumps(log.item_ids.tolist())}
  metadata |= {'is_adaptive': 'true'} if log.is_adaptive else {}
  if log.action_context is not None:
    metadata['action_context'] = json.dumps(np.asarray(log.action_context).tolist())
  frame, suffix = pl.DataFrame(columns), path.suffix.lower()
  if suffix == '.csv':
    logged_csv.write(path, frame, metadata)
    return
  if suffix != '.parquet':
    raise InputError(f'{path}: a log is a .parquet, .csv or .npz file, or one of Vowpal Wabbit')
  with files.replacing(path) as stream:
    frame.write_parquet(stream, metadata=metadata)


def _is_vw(path: Path | str) -> bool:
  return Path(path).suffix in vw.SUFFIXES or vw_csv.is_vw_csv(path)


def _of_items(source: str, metadata: dict[str, str], name: str) -> list[Any] | None:
  """A list with an element an item, JSON in the metadata of the file; None where there is none."""
  try:
    found = json.loads(metadata.get(name, 'null'))
  except (json.JSONDecodeError, RecursionError) as error:
    raise InputError(
      f'{source}: {name} of the metadata is not JSON ({error}); give a list with an element an item'
    ) from error
  if not (found is None or isinstance(found, list)):
    raise InputError(f'{source}: {name} of the metadata is no list; give an element an item')
  return found


def _typed(source: str, frame: pl.DataFrame) -> pl.DataFrame:
  """The columns of one value a row in their types, and a position."""
  if 'position' not in frame.columns:
    frame = frame.with_columns(position=pl.lit(0))
  for name, dtype in (COLUMNS | {'position': pl.Int64}).items():
    found = frame[name].dtype
    if found.is_nested() or found == pl.Binary:
      raise InputError(f'{source}: column "{name}" is {found}; give one value in each row')
    column = frame[name].cast(dtype, strict=False)
    if dtype == pl.Int64 and found.is_numeric():
      fraction = column.cast(pl.Float64) != frame[name].cast(pl.Float64)
      column = column.set(fraction.fill_null(False), None)
    if column.null_count():
      row = int(column.is_null().to_numpy().argmax())
      what = 'empty' if frame[name][row] is None else f'{frame[name][row]!r} is no {dtype}'
      unknown = obp.UNKNOWN if name == 'propensity' else ''
      raise InputError(
        f'{source}: column "{name}", row {row}: {what}; fill it or leave the row out{unknown}'
      )
    if name == 'user_id' or (dtype == pl.String and found != pl.String and not found.is_integer()):
      column = logged_tables.ids_of(source, frame[name])
    frame = frame.with_columns(column)
  return frame


def _array(source: str, column: pl.Series) -> np.ndarray:
  """[n, ...] the numbers of a column of lists, or of lists of lists, of one length."""
  name, values, shape = column.name, column, [len(column)]
  while isinstance(values.dtype, pl.List | pl.Array):
    lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
    length = lists.list.len().fill_null(0).to_numpy()
    wrong = (length == 0) | (length != length[:1])
    if wrong.any():
      row = int(np.argmax(wrong)) * shape[0] // len(wrong)
      raise InputError(
        f'{source}: column "{name}", row {row}: a list is empty, or of another length than the '
        'first'
      )
    shape.append(int(length.max(initial=0)))
    values = lists.explode()
  if values.dtype.is_nested():
    raise InputError(f'{source}: column "{name}" is {column.dtype}; give lists of numbers')
  return obp.numbers(source, name, values.to_numpy()).reshape(shape)


def _lists(source: str, frame: pl.DataFrame) -> dict[str, pl.Series]:
  """The columns of one list a row in the order of the candidates, where those are given."""
  if 'candidates' not in frame.columns:
    return {}
  columns = ('candidates', 'expected_reward')
  lists = {name: frame[name] for name in columns if name in frame.columns}
  for name, column in lists.items():
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else pl.List
    if inner.is_nested() or (name == 'expected_reward' and not inner.is_numeric()):
      what = 'item ids' if name == 'candidates' else 'numbers'
      raise InputError(
        f'{source}: column "{name}" is {column.dtype}; give a list of {what} in each row'
      )
    wrong = (column.list.len() != lists['candidates'].list.len()).fill_null(True)
    wrong |= column.list.len().fill_null(0) == 0
    if wrong.any():
      row = int(wrong.to_numpy().argmax())
      raise InputError(
        f'{source}: column "{name}", row {row}: empty, or of another length than the candidates'
      )
    holes = column.list.eval(pl.element().is_null()).list.any()
    if holes.any():
      row = int(holes.to_numpy().argmax())
      raise InputError(f'{source}: column "{name}", row {row}: an element is empty; fill it')
  return lists


def _padded(length: pl.Series, values: pl.Series, fill: float) -> np.ndarray:
  """[n, C] of the elements of lists, one after another, with `fill` behind the end of each list."""
  count = length.to_numpy()
  held = np.arange(count.max()) < count[:, None]
  padded = np.full(held.shape, fill)
  padded[held] = values.to_numpy()
  return padded


def _ragged(held: np.ndarray, values: np.ndarray) -> pl.Series:
  """The elements of [n, C] that are held, as a list a row."""
  count = held.sum(1)
  flat = pl.DataFrame({'row': np.repeat(np.arange(len(held)), count), 'value': values[held]})
  return flat.group_by('row', maintain_order=True).agg('value')['value']
