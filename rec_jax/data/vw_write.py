"""Writing logs for Vowpal Wabbit, in its dsjson or as cb_adf text; see `vw` for reading.

Beyond what Vowpal Wabbit reads, dsjson keeps the number of the round in `EventId` and the user in
`UserId`. Neither format holds `expected_reward`; text holds neither rounds nor users nor `pi_b`.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.offered import check_offered
from rec_jax.types import InputError


def write(path: Path | str, log: LoggedFeedback) -> None:
  """Writes a log that `vw.read` gives back, but for what the format does not hold.

  Args:
    path: dsjson where it is named `.dsjson`, else text.
    log: of one position.

  Raises:
    InputError: the log has several positions, does not say what there was to choose from, or has an
      id that text cannot hold.
  """
  check(log)
  path = Path(path)
  encode = _dsjson_line if path.suffix == '.dsjson' else _text_block
  with files.replacing(path) as stream:
    for row in range(len(log.action)):
      stream.write(encode(log, row).encode())


def check(log: LoggedFeedback) -> None:
  """Raises InputError for several positions, or where what there was to choose from is unknown."""
  if log.position.any():
    row = int(np.argmax(log.position > 0))
    raise InputError(f'position, row {row}: {log.position[row]} has no place in a log of VW; use 0')
  check_offered(log, 'a log of VW names them: give them as candidates')


def _dsjson_line(log: LoggedFeedback, row: int) -> str:
  offered, chosen, cost, probability = parts(log, row)
  context: dict[str, Any] = {} if log.context is None else {'Context': _plain(log.context[row])}
  actions = []
  for slot in offered:
    item_id = str(log.item_ids[slot])
    own: dict[str, Any] = {'Item': {'id': item_id}}
    if log.action_context is not None:
      own = {'Features': _plain(log.action_context[slot])}
    actions.append({'_tag': item_id} | own)
  event: dict[str, Any] = {
    '_label_cost': cost,
    '_label_probability': probability,
    '_label_Action': chosen + 1,
    '_labelIndex': chosen,
    'Version': '1',
    'EventId': str(log.round[row]),
    'UserId': str(log.user_id[row]),
    'c': context | {'_multi': actions},
    'VWState': {'m': 'N/A'},
  }
  if log.pi_b is not None:
    # The chosen action first, as the rest were ranked below it.
    order = [chosen, *(place for place in range(len(offered)) if place != chosen)]
    event['a'] = [place + 1 for place in order]
    event['p'] = [float(log.pi_b[row, offered[place], 0]) for place in order]
  return json.dumps(event) + '\n'


def _text_block(log: LoggedFeedback, row: int) -> str:
  offered, chosen, cost, probability = parts(log, row)
  lines = ['shared |Context' + _words(None if log.context is None else log.context[row])]
  for place, slot in enumerate(offered):
    item_id = str(log.item_ids[slot])
    if re.search(r'[\s|:]', item_id) or not item_id or item_id.startswith(("'", 'shared')):
      raise InputError(f'item_ids: {item_id!r} is no tag of cb_adf text; write .dsjson instead')
    label = f'0:{cost!r}:{probability!r} ' if place == chosen else ''
    own = f'|Item {item_id}'
    if log.action_context is not None:
      own = '|Features' + _words(log.action_context[slot])
    lines.append(f"{label}'{item_id} {own}")
  return '\n'.join(lines) + '\n\n'


def parts(log: LoggedFeedback, row: int) -> tuple[list[int], int, float, float]:
  """What was offered, the place of the chosen action in it, its cost and its probability."""
  offered = list(range(len(log.item_ids)))
  if log.candidates is not None:
    offered = [int(slot) for slot in log.candidates[row] if slot >= 0]
  chosen = offered.index(int(log.action[row]))
  return offered, chosen, float(0 - log.reward[row]), float(log.propensity[row])


def _plain(values: np.ndarray) -> list[float]:
  return [float(value) for value in values]


def _words(values: np.ndarray | None) -> str:
  return '' if values is None else ''.join(f' {i}:{float(v)!r}' for i, v in enumerate(values))
