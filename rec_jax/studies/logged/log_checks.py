"""Whether a log is long enough, says what there was to choose from, and fits into memory."""

import os

import numpy as np

from rec_jax.data import ranked_lists
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.offered import check_offered
from rec_jax.evaluation.off_policy.validation import check_level
from rec_jax.types import InputError

# The name of the policy that logged.
LOGGED = 'logged'
NUM_FOLDS = 3
# Beyond 32 bits JAX would take them modulo 2^32.
NUM_SEEDS = 1 << 32
# Copies of what a policy reads of the items, in what it learns and on the way.
NUM_TABLES = 3


def check_settings(train_share: float, seed: int, level: float = 0.95) -> None:
  """Raises unless the flags that most commands on logs have are in their ranges."""
  if not 0 < train_share < 1:
    raise InputError(f'--train_share: {train_share:g} is not in (0, 1)')
  if not 0 <= seed < NUM_SEEDS:
    raise InputError(f'--seed: {seed} is not in 0..{NUM_SEEDS - 1}; give a number in it')
  check_level(level)


def check_parts(num_rounds: int, *parts: int) -> None:
  """Raises unless each part of a log of so many rounds is enough to learn from or to judge by."""
  if min(parts) < NUM_FOLDS:
    raise InputError(
      f'of {num_rounds} rounds a part has {min(parts)}: at least {NUM_FOLDS} are needed to learn '
      f'from and {NUM_FOLDS} to judge by; give a longer log or another --train_share'
    )


def check_positions(log: LoggedFeedback) -> None:
  """Raises unless a policy that shows lists of distinct items can fill all positions of the log."""
  num_offered = len(log.item_ids) if log.candidates is None else log.candidates.shape[1]
  if log.position.max() >= num_offered:
    row = int(np.argmax(log.position >= num_offered))
    raise InputError(
      f'position, row {row}: {log.position[row]}, and there are {num_offered} items to choose from '
      'at most: a list has no more places than items; number its places from 0'
    )


def check_size(log: LoggedFeedback) -> None:
  """Raises unless memory holds what a policy of the registry reads of the items.

  Without features of its own each item is a column, of all items.
  """
  num_actions = len(log.item_ids)
  if log.action_context is None:
    check_memory(
      NUM_TABLES * num_actions**2,
      f'{num_actions:,} items without features, a column each,',
      'give an action_context, fewer items, or learn by learn_policy',
    )


def check_memory(num_values: int, what: str, remedy: str) -> None:
  """Raises unless the memory of this machine holds so many numbers in single precision."""
  memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  if 4 * num_values > memory:
    raise InputError(
      f'{what} take {4 * num_values / 2**30:,.1f} GiB, and this machine has '
      f'{memory / 2**30:.1f}; {remedy}'
    )


def single(log: LoggedFeedback, refusal: str) -> LoggedFeedback:
  """The log itself, read as one that may be of lists; raises with the refusal if it is."""
  if ranked_lists.has_lists(log):
    row = int(np.argmax(np.diff(log.round) == 0)) + 1
    raise InputError(
      f'{refusal}: row {row} is of the round of the row before, as in ranked lists; give a log of '
      'one item a round'
    )
  return log


def check_candidates(log: LoggedFeedback) -> None:
  """Raises unless the log says what there was to choose from in every round."""
  check_offered(log, f'give a log with a column "candidates", or take --policy={LOGGED} or uniform')
