"""What can be asked of a recommender."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.retrieval.padding import Histories
from rec_jax.types import InputError


def check_left(asked: Histories, k: int, mask: np.ndarray, exclude_seen: bool) -> None:
  """Raises InputError unless k items are left for every user.

  Args:
    asked: of n users.
    k: how many.
    mask: [C] bool, what anybody may be shown.
    exclude_seen: whether what a user has met is left out.
  """
  number = int(mask.sum())
  if not number:
    raise InputError('the constraints leave no item: allow more or block less')
  seen = [int(mask[rows].sum()) if exclude_seen else 0 for rows in asked.seen]
  check_count(k, number - max(seen, default=0))


def check_count(k: int, left: int) -> None:
  """Raises InputError unless k items can be given of those that are left."""
  if k < 1:
    raise InputError(f'k is {k}: ask for one item or more')
  if k > left:
    raise InputError(f'k is {k}, but {max(left, 0)} items are left: ask for fewer or allow more')


def check_finite(vectors: ArrayLike) -> None:
  """Raises InputError where a number is NaN or infinite."""
  if not np.isfinite(jnp.sum(jnp.asarray(vectors))):
    raise InputError('item vectors are not all finite numbers: the model is damaged')
