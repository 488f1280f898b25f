"""Whether a log says what there was to choose from in every round."""

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.types import InputError


def are_candidates_unknown(log: LoggedFeedback) -> bool:
  """Whether there was less, or more, to choose from than the known items, and nothing says what."""
  return log.candidates is None and bool((log.num_candidates != len(log.item_ids)).any())


def check_offered(log: LoggedFeedback, remedy: str) -> None:
  """Raises where `are_candidates_unknown`, with the first such row and the remedy."""
  if are_candidates_unknown(log):
    row = int(np.argmax(log.num_candidates != len(log.item_ids)))
    raise InputError(
      f'num_candidates, row {row}: chosen from {log.num_candidates[row]} of {len(log.item_ids)} '
      f'items, and the log does not say which; {remedy}'
    )
