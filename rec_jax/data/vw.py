"""Logs of Vowpal Wabbit: dsjson, a round a line, and cb_adf text, a block of lines a round.

Costs are rewards with the other sign. Shared features become the context and features of an action
its action context, a column a name in the order in which they appear, 0 where a line lacks one; a
string is a column of zeros and ones. An action is known by its tag, and by its features where it
has none. Both formats hold one position.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, checked
from rec_jax.types import InputError

SUFFIXES = ('.dsjson', '.vw')
# Numbers of a table of features: 2^27 take 1 GiB.
_MOST_FEATURES = 1 << 27
_LABEL = re.compile(r'(\d+):([^\s:|]+):([^\s:|]+)(?=[\s|]|$)')

# The namespace in which `vw_write` gives an action its id, for want of other features.
_ID = 'Item'

Features = dict[str, float]


class Round(NamedTuple):
  """A round: `chosen` is a place in `actions`; of each action its id and features."""

  chosen: int
  cost: float
  probability: float
  shared: Features
  actions: list[tuple[str, Features]]
  pi_b: list[float] | None = None
  event: str = ''
  user: str = ''


def read(path: Path | str) -> LoggedFeedback:
  """Reads a log, in dsjson where the file is named so, else as cb_adf text.

  Raises:
    InputError: one line with the file, the line or the column, and the first offending one.
  """
  path = Path(path)
  parse = _dsjson if path.suffix == '.dsjson' else _text
  try:
    with path.open() as stream:
      rounds = list(parse(stream, str(path)))
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f'{path}: cannot be read as text ({error})') from error
  if not rounds:
    raise InputError(f'{path}: the log is empty; give at least one round')
  return log_of(str(path), rounds)


def log_of(source: str, rounds: list[Round], item_ids: Sequence[str] = ()) -> LoggedFeedback:
  """A log of these rounds.

  Args:
    source: that is named in messages.
    rounds: in the order of time.
    item_ids: actions in their order, those that are in no round among them; by the order in which
      they appear if not given.

  Raises:
    InputError: one line with the source and the round.
  """
  slot = {item_id: place for place, item_id in enumerate(item_ids)}
  features: list[Features] = [{} for _ in item_ids]
  for row, one in enumerate(rounds):
    for item_id, own in one.actions:
      if slot.setdefault(item_id, len(slot)) == len(features):
        features.append(own)
      elif features[slot[item_id]] != own:
        raise InputError(
          f'{source}: round {row}: action {item_id!r} has other features than before; leave out '
          'its tag, or what depends on the round'
        )
  offered = [[slot[item_id] for item_id, _ in each.actions] for each in rounds]
  count = np.array([len(each) for each in offered])
  candidates = None
  if any(each != list(range(len(slot))) for each in offered):
    candidates = np.full((len(rounds), count.max()), -1)
    for row, each in enumerate(offered):
      candidates[row, : len(each)] = each
  pi_b = None
  if all(each.pi_b is not None for each in rounds):
    pi_b = np.zeros((len(rounds), len(slot), 1))
    for row, one in enumerate(rounds):
      pi_b[row, offered[row], 0] = one.pi_b
  number = np.arange(len(rounds))
  if all(re.fullmatch(r'\d{1,18}', each.event) for each in rounds):
    numbers = np.array([int(each.event) for each in rounds])
    number = numbers if (np.diff(numbers) > 0).all() else number
  return checked(
    source,
    LoggedFeedback(
      round=number,
      user_id=np.array([each.user for each in rounds]),
      item_ids=np.array(list(slot)),
      action=np.array([each[one.chosen] for each, one in zip(offered, rounds, strict=True)]),
      num_candidates=count,
      position=np.zeros(len(rounds), np.int64),
      propensity=np.array([each.probability for each in rounds]),
      reward=0 - np.array([each.cost for each in rounds]),
      context=_matrix(source, [each.shared for each in rounds]),
      action_context=_matrix(source, features),
      pi_b=pi_b,
      candidates=candidates,
    ),
  )


def _matrix(source: str, rows: list[Features]) -> np.ndarray | None:
  """[rows, names] of features, None where there are none."""
  names: dict[str, int] = {}
  for row in rows:
    for name in row:
      names.setdefault(name, len(names))
  if not names:
    return None
  if len(names) * len(rows) > _MOST_FEATURES:
    raise InputError(
      f'{source}: {len(names):,} names of features in {len(rows):,} rows are too many for a table; '
      'leave out those that are rare'
    )
  table = np.zeros((len(rows), len(names)))
  for place, row in enumerate(rows):
    for name, value in row.items():
      table[place, names[name]] = value
  return table


def _dsjson(stream: Iterator[str], source: str) -> Iterator[Round]:
  dropped = None
  for number, line in enumerate(stream):
    if not line.strip():
      continue
    try:
      event = json.loads(line)
      actions, chosen = event['c']['_multi'], event['_labelIndex']
      shared = {name: value for name, value in event['c'].items() if name != '_multi'}
      pi_b = None
      if len(event.get('a', [])) == len(event.get('p', [])) == len(actions):
        if sorted(event['a']) != list(range(1, len(actions) + 1)):
          raise ValueError(f'a is {event["a"]}, not each of 1..{len(actions)}')
        pi_b = [float(chance) for _, chance in sorted(zip(event['a'], event['p'], strict=True))]
      if type(chosen) is not int or not 0 <= chosen < len(actions):
        raise ValueError(f'_labelIndex {chosen} is not in 0..{len(actions) - 1}')
      pdrop = event.get('pdrop', 0)
      if dropped is not None and pdrop != dropped:
        raise ValueError(f'pdrop {pdrop} is not that of the lines before, {dropped}')
      dropped = pdrop
      yield Round(
        chosen,
        float(event['_label_cost']),
        float(event['_label_probability']),
        _flat(shared),
        [_action(each) for each in actions],
        pi_b,
        str(event.get('EventId', '')),
        str(event.get('UserId', '')),
      )
    except KeyError as error:
      raise InputError(f'{source}: line {number}: no {error}; a round of dsjson has it') from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
      raise InputError(f'{source}: line {number}: no round of dsjson ({error})') from error


def _action(action: dict[str, Any]) -> tuple[str, Features]:
  tag = action.get('_tag', json.dumps(action, sort_keys=True))
  own = _flat(action)
  own.pop(f'{_ID}.id={tag}', None)
  return str(tag), own


def _flat(value: Any, name: str = '') -> Features:
  """Names joined by dots -> numbers; a string is a name of its own."""
  if isinstance(value, dict):
    inner = {key: each for key, each in value.items() if not key.startswith('_')}
  elif isinstance(value, list):
    inner = {str(place): each for place, each in enumerate(value)}
  elif isinstance(value, str):
    return {f'{name}={value}': 1.0}
  else:
    return {} if value is None else {name: float(value)}
  found: Features = {}
  for key, each in inner.items():
    found |= _flat(each, f'{name}.{key}' if name else key)
  return found


def _text(stream: Iterator[str], source: str) -> Iterator[Round]:
  block: list[tuple[int, str]] = []
  for number, line in enumerate(stream):
    if line.strip():
      block.append((number, line.strip()))
    elif block:
      yield _block(block, source)
      block = []
  if block:
    yield _block(block, source)


def _block(block: list[tuple[int, str]], source: str) -> Round:
  shared: Features = {}
  actions: list[tuple[str, Features]] = []
  chosen = None
  for number, line in block:
    head, bar, rest = line.partition('|')
    try:
      own = _namespaces(rest) if bar else {}
      if head.split()[:1] == ['shared']:
        shared = own
        continue
      if label := _LABEL.match(head):
        if chosen is not None:
          raise ValueError('a second action has a label')
        chosen = (len(actions), float(label[2]), float(label[3]))
        head = head[label.end() :]
      tag = head.strip().removeprefix("'") or json.dumps(own, sort_keys=True)
      if ' ' in head.strip():
        raise ValueError(f'{head.strip()!r} is no label action:cost:probability and no tag')
      own.pop(f'{_ID}.{tag}', None)
      actions.append((tag, own))
    except ValueError as error:
      raise InputError(f'{source}: line {number}: no line of cb_adf ({error})') from error
  if chosen is None:
    raise InputError(
      f'{source}: line {block[0][0]}: no action of this round has a label action:cost:probability'
    )
  return Round(*chosen, shared, actions)


def _namespaces(text: str) -> Features:
  """Features of 'Name:scale a b:2 |Other c', which may begin with a space: no name."""
  found: Features = {}
  for part in text.split('|'):
    name, scale = '', 1.0
    words = part.split()
    if words and not part[0].isspace():
      name, _, factor = words.pop(0).partition(':')
      scale = float(factor or 1)
    for word in words:
      feature, _, value = word.partition(':')
      found[f'{name}.{feature}'] = scale * float(value or 1)
  if not all(map(math.isfinite, found.values())):
    raise ValueError('a feature is NaN or infinite')
  return found
