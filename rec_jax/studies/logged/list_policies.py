"""What a policy would do in the ranked lists of a log.

Shape letters: n lists, L positions, K items, M rows of the log, one an item shown.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rec_jax.data import logged
from rec_jax.data.logged_feedback import chosen_index
from rec_jax.data.ranked_lists import RankedLists, filled
from rec_jax.studies.logged import own_policy
from rec_jax.studies.logged.log_checks import LOGGED
from rec_jax.types import InputError

# The policy that shows the items in the order of what they have earned.
POPULAR = 'popularity_greedy'
# Its prior successes and failures, those of the registry.
_PRIOR = (1.0, 9.0)
# What the name of a column of marginal probabilities ends with.
MARGINAL = '_marginal'


@dataclasses.dataclass(frozen=True)
class ListPolicy:
  """What a policy would do in the logged lists.

  Attributes:
    target: [n, L] probability of each logged item given those above it.
    distribution: [n, L, K] of all items, given the logged ones above; None if not known.
    marginal: [n, L] of each logged item at its position, whatever stands above; None likewise.
    marginals: [n, L, K] of all items likewise.
  """

  target: np.ndarray
  distribution: np.ndarray | None = None
  marginal: np.ndarray | None = None
  marginals: np.ndarray | None = None


def policy_of(
  name: str, lists: RankedLists, path: str | Path, num_train: int = 0, flag: str = '--policy'
) -> ListPolicy:
  """What a policy would do in the logged lists.

  Args:
    name: 'logged'; 'uniform', over lists without repetition; 'popularity_greedy', which learns
      from the first lists and shows those items first that have earned most when shown; or of
      `own_policy.probabilities`, given the logged items above. Beside 'column:NAME' a column
      'NAME_marginal' may hold the probabilities whatever stands above.
    lists: that were logged.
    path: of their log.
    num_train: how many lists may teach the policy.
    flag: that named it.

  Raises:
    InputError: it is not one that can be asked, or gives no probabilities.
  """
  log = lists.log
  if name == LOGGED:
    return ListPolicy(lists.propensity, marginal=logged_marginal(lists, path))
  if name == 'uniform':
    return _uniform(lists)
  if name == POPULAR:
    return _popular(lists, num_train, flag)
  if not own_policy.is_own(name):
    raise InputError(
      f'{flag}: {name} learns from single items, and this log is of ranked lists; give logged, '
      f'uniform, {POPULAR}, column:NAME, FILE.npy or python:MODULE:FUNCTION'
    )
  target, distribution = _by_list(own_policy.probabilities(name, log, path, flag), lists)
  if not (target * (lists.row >= 0)).any():
    raise InputError(f'{flag}: no overlap: it gives every logged item probability 0')
  column = f'{name}{MARGINAL}'
  if not name.startswith(own_policy.COLUMN) or not _has(path, column):
    return ListPolicy(target, distribution)
  once = own_policy.probabilities(column, log, path, flag)
  return ListPolicy(target, distribution, *_by_list(once, lists))


# Of both the arrays have a row a list.
Record = TypeVar('Record', RankedLists, ListPolicy)


def logged_marginal(lists: RankedLists, path: str | Path) -> np.ndarray | None:
  """[n, L] probability of each logged item at its position, whatever stands above, if known.

  It is a column of the log, or follows from lists that were drawn uniformly without repetition.

  Raises:
    InputError: the column holds something else than probabilities.
  """
  column = f'{own_policy.COLUMN}propensity{MARGINAL}'
  if _has(path, column):
    values = own_policy.probabilities(column, lists.log, path, '--log')
    if values.ndim != 1 or not (values > 0).all():
      row = int(np.argmax(values <= 0)) if values.ndim == 1 else 0
      raise InputError(
        f'{column}, row {row}: not in (0, 1]; give a probability of each logged item'
      )
    return filled(lists.row, values, 1)
  if is_uniform(lists):
    return filled(lists.row, 1 / lists.log.num_candidates, 1)
  return None


def after(record: Record, num_train: int) -> Record:
  """The lists, or what a policy would do in them, without the first ones."""
  values: dict[str, Any] = {
    field.name: getattr(record, field.name) for field in dataclasses.fields(record)
  }
  columns: dict[str, Any] = {
    name: each for name, each in values.items() if isinstance(each, np.ndarray)
  }
  return dataclasses.replace(record, **{name: each[num_train:] for name, each in columns.items()})


def is_uniform(lists: RankedLists) -> bool:
  """Whether all lists of the candidates without repetition were equally likely."""
  left = lists.log.num_candidates - lists.log.position
  is_drawn = np.abs(lists.log.propensity * left - 1) <= own_policy.TOLERANCE
  return bool(is_drawn.all() and not repeated(lists.action).any())


def memory() -> int:
  """Bytes of this machine."""
  return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def repeated(action: np.ndarray) -> np.ndarray:
  """[n, L] whether an item stands further up in its list as well."""
  found = np.zeros(action.shape, bool)
  for place in range(1, action.shape[1]):
    found[:, place] = (action[:, :place] == action[:, place, None]).any(1)
  return found & (action >= 0)


def _uniform(lists: RankedLists) -> ListPolicy:
  log, num_items = lists.log, len(lists.log.item_ids)
  left = log.num_candidates - log.position
  if (left < 1).any():
    row = int(np.argmax(left < 1))
    raise InputError(
      f'num_candidates, row {row}: {log.num_candidates[row]} are too few for position '
      f'{log.position[row]} of a list without repetition; take another --policy than uniform'
    )
  target = np.where(repeated(lists.action), 0, filled(lists.row, 1 / left, 1))
  once = filled(lists.row, 1 / log.num_candidates, 1)
  # Five tables of all items in every place are held at once.
  is_small = 5 * 8 * lists.action.size * num_items < memory()
  if not is_small or log.candidates is not None or (log.num_candidates != num_items).any():
    return ListPolicy(target, marginal=once)
  shown = (lists.action[:, :, None] == np.arange(num_items)).cumsum(1)
  above = np.concatenate([np.zeros_like(shown[:, :1]), shown[:, :-1]], axis=1)
  free = (above == 0) & (lists.row >= 0)[:, :, None]
  distribution = free / np.maximum(free.sum(2, keepdims=True), 1)
  return ListPolicy(target, distribution, once, np.full(free.shape, 1 / num_items))


def _popular(lists: RankedLists, num_train: int, flag: str) -> ListPolicy:
  log, num_positions = lists.log, lists.action.shape[1]
  num_items = len(log.item_ids)
  if log.candidates is not None or (log.num_candidates != num_items).any():
    raise InputError(
      f'{flag}: {POPULAR} ranks all items, and not every list is of all; take another'
    )
  shown, earned = lists.action[:num_train], lists.reward[:num_train]
  held = shown >= 0
  count = np.bincount(shown[held], minlength=num_items)
  total = np.bincount(shown[held], earned[held], minlength=num_items)
  order = np.argsort(-(total + _PRIOR[0]) / (count + sum(_PRIOR)), kind='stable')[:num_positions]
  target = np.where(lists.row >= 0, lists.action == order, 1).astype(float)
  # As many tables of all items in every place as the uniform policy has.
  if 5 * 8 * lists.action.size * num_items >= memory():
    return ListPolicy(target, marginal=target)
  distribution = (order[:, None] == np.arange(num_items)) * (lists.row >= 0)[:, :, None].astype(
    float
  )
  return ListPolicy(target, distribution, target, distribution)


def _by_list(values: np.ndarray, lists: RankedLists) -> tuple[np.ndarray, np.ndarray | None]:
  """Of the logged items [n, L] and, where given, of all items [n, L, K]; from [M] or [M, C, L]."""
  log, rows = lists.log, np.arange(len(lists.log.action))
  if values.ndim == 1:
    return filled(lists.row, values, 1), None
  each = values[rows, :, log.position]
  target = filled(lists.row, each[rows, chosen_index(log)], 1)
  return target, filled(lists.row, each, 0) if log.candidates is None else None


def _has(path: str | Path, column: str) -> bool:
  return column.removeprefix(own_policy.COLUMN) in logged.columns(path)
