"""Whether a log is long enough, says what there was to choose from, and fits into memory."""

import os

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.types import InputError

# The name of the policy that logged.
LOGGED = 'logged'
NUM_FOLDS = 3
# Tables of probabilities and expected rewards, with their copies, that a valuation holds at once.
NUM_TABLES = 5


def check_parts(num_rounds: int, *parts: int) -> None:
  """Raises unless each part of a log of so many rounds is enough to learn from or to judge by."""
  if min(parts) < NUM_FOLDS:
    raise InputError(
      f'of {num_rounds} rounds a part has {min(parts)}: at least {NUM_FOLDS} are needed to learn '
      f'from and {NUM_FOLDS} to judge by; give a longer log or another --train_share'
    )


def check_size(log: LoggedFeedback, num_rounds: int) -> None:
  """Raises unless the memory of this machine holds what valuing so many rounds of a log takes."""
  num_actions, num_positions = len(log.item_ids), int(log.position.max()) + 1
  num_offered = num_actions if log.candidates is None else log.candidates.shape[1]
  cells = NUM_TABLES * num_rounds * num_offered * num_positions
  # Without features of its own each item is a column.
  cells += 0 if log.action_context is not None else num_actions**2
  memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  if 8 * cells > memory:
    raise InputError(
      f'{num_rounds:,} rounds of {num_offered:,} candidates at {num_positions} positions, of '
      f'{num_actions:,} items, take {8 * cells / 2**30:,.1f} GiB, and this machine has '
      f'{memory / 2**30:.1f}; give fewer rounds, the candidates of each, or an action_context'
    )


def check_candidates(log: LoggedFeedback) -> None:
  """Raises unless the log says what there was to choose from in every round."""
  if are_candidates_unknown(log):
    row = int(np.argmax(log.num_candidates != len(log.item_ids)))
    raise InputError(
      f'num_candidates, row {row}: chosen from {log.num_candidates[row]} of {len(log.item_ids)} '
      'items, and the log does not say which; give a log with a column "candidates", or take '
      f'--policy={LOGGED} or uniform'
    )


def are_candidates_unknown(log: LoggedFeedback) -> bool:
  """Whether there was less to choose from than all items, and the log does not say what."""
  return log.candidates is None and bool((log.num_candidates != len(log.item_ids)).any())
