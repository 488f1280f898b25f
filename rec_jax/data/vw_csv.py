"""Logs of Vowpal Wabbit as CSV, its `--csv --cb K`: a round a line, actions by their number.

The header names a column `_label`, action:cost:probability, and all features, NAMESPACE|FEATURE;
strings are features of their own. What is offered stands in the label as further numbers of actions
(1 2:-1:0.25 3); where there are none, all of them are. An action is known by the `_tag` of the
rounds that chose it where there is one for each action, else by its number. There is no place for
what is known of the actions.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

from rec_jax import files
from rec_jax.data import vw
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.vw import Features, Round
from rec_jax.data.vw_write import check, parts
from rec_jax.types import InputError

SUFFIX = '.vw.csv'
LABEL, TAG = '_label', '_tag'
# Vowpal Wabbit takes a line without any feature for the end of a block.
_CONSTANT = 'Log|constant'


def is_vw_csv(path: Path | str) -> bool:
  """Whether a file is named as such a log."""
  return str(path).endswith(SUFFIX)


def read(path: Path | str) -> LoggedFeedback:
  """Reads a log.

  Raises:
    InputError: one line with the file, the line, from 0, and what is wrong with it.
  """
  try:
    with open(path, newline='', encoding='utf-8-sig') as stream:
      table = list(csv.reader(stream, strict=True))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise InputError(f'{path}: cannot be read as CSV ({error})') from error
  if not table or LABEL not in table[0]:
    raise InputError(f'{path}: line 0: no column "{LABEL}" in the header, with which it begins')
  rows = [
    (number, dict(zip(table[0], row, strict=False)), len(row))
    for number, row in enumerate(table)
    if number and row
  ]
  labels, contexts = [], []
  for number, cells, length in rows:
    try:
      if length != len(table[0]):
        raise ValueError(f'{length} cells, and the header has {len(table[0])}')
      labels.append(_label(cells[LABEL]))
      contexts.append(dict(_features(cells)))
    except ValueError as error:
      raise InputError(f'{path}: line {number}: no round ({error})') from error
  if not rows:
    raise InputError(f'{path}: the log is empty; give at least one round')
  largest = max(max(offered) for _, _, _, offered in labels)
  tags = [cells.get(TAG, '').removeprefix("'") for _, cells, _ in rows]
  names = _names(largest, [chosen for chosen, *_ in labels], tags)
  rounds: list[Round] = []
  # Held once for all rounds that offer the same.
  actions: dict[tuple[int, ...], list[tuple[str, Features]]] = {}
  for (chosen, cost, probability, offered), shared in zip(labels, contexts, strict=True):
    # A single number leaves the others open.
    every = offered if len(offered) > 1 else tuple(range(1, largest + 1))
    own = actions.setdefault(every, [(names[each - 1], {}) for each in every])
    rounds.append(Round(every.index(chosen), cost, probability, shared, own))
  return vw.log_of(str(path), rounds, names)


def write(path: Path | str, log: LoggedFeedback) -> None:
  """Writes a log that `read` gives back, but for users, rounds, `pi_b` and features of actions.

  Raises:
    InputError: the log has several positions, or does not say what there was to choose from.
  """
  check(log)
  width = 0 if log.context is None else log.context.shape[1]
  names = [f'Context|{i}' for i in range(width)] or [_CONSTANT]
  with files.replacing(Path(path)) as stream:
    stream.write(_line([LABEL, TAG, *names]))
    for row in range(len(log.action)):
      offered, chosen, cost, probability = parts(log, row)
      words = [str(slot + 1) for slot in offered]
      words[chosen] += f':{cost!r}:{probability!r}'
      item_id = str(log.item_ids[log.action[row]])
      if '\n' in item_id or '\r' in item_id:
        raise InputError(f'item_ids: {item_id!r} has more than one line; write .dsjson instead')
      values = ['1'] if log.context is None else [repr(float(x)) for x in log.context[row]]
      stream.write(_line([' '.join(words), f"'{item_id}", *values]))


def _line(cells: list[str]) -> bytes:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerow(cells)
  return text.getvalue().encode()


def _label(text: str) -> tuple[int, float, float, tuple[int, ...]]:
  """(chosen, cost, probability, offered), actions from 1 on."""
  chosen, offered = [], []
  for word in text.split():
    action, *more = word.split(':')
    if not re.fullmatch(r'[1-9]\d{0,5}', action) or len(more) not in (0, 2):
      raise ValueError(f'{word!r} is no action, 1 to 999999, and no action:cost:probability')
    offered.append(int(action))
    if more:
      chosen.append((int(action), float(more[0]), float(more[1])))
  if len(chosen) != 1 or len(set(offered)) < len(offered):
    raise ValueError(f'the label {text!r} has not one action:cost:probability, or an action twice')
  return (*chosen[0], tuple(offered))


def _features(cells: dict[str, str]) -> Iterator[tuple[str, float]]:
  for name, text in cells.items():
    if name in (LABEL, TAG, _CONSTANT) or not text:
      continue
    namespace, bar, feature = name.rpartition('|')
    named = f'{namespace}.{feature}' if bar else name
    try:
      value = float(text)
    except ValueError:
      named, value = f'{named}={text}', 1.0
    if not math.isfinite(value):
      raise ValueError(f'{name} is NaN or infinite')
    yield named, value


def _names(largest: int, chosen: list[int], tags: list[str]) -> list[str]:
  """The id of each action: its tag, where each has one of its own, else its number."""
  found: dict[int, str] = {}
  numbers = [str(number) for number in range(1, largest + 1)]
  for action, tag in zip(chosen, tags, strict=True):
    if not tag or found.setdefault(action, tag) != tag:
      return numbers
  names = [found.get(number, str(number)) for number in range(1, largest + 1)]
  return names if len(set(names)) == largest else numbers
