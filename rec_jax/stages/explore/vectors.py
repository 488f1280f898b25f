"""The user's own item and user vectors, for exploration without a chain of models."""

import zipfile

import numpy as np

from rec_jax.types import InputError


def read(path: str) -> dict[str, np.ndarray]:
  """The user's own vectors.

  Args:
    path: .npz with `items` [N, F], `users` [U, F] and optionally `rewards` [U, N] in [0, 1], NaN
      where unknown.

  Raises:
    InputError: the file cannot be read, an array is missing, misshapen or not finite, or a user
      has no known reward.
  """
  arrays = _read_npz(path)
  for name in ('items', 'users'):
    if name not in arrays:
      raise InputError(
        f'{path}: no array {name!r}, only {", ".join(arrays) or "nothing"}; '
        'it needs items [N, F] and users [U, F]'
      )
    shape = arrays[name].shape
    if len(shape) != 2 or 0 in shape:
      raise InputError(f'{path}: {name} are {shape}; give a matrix with a row for each')
    _require_numbers(path, name, arrays[name])
  items, users = arrays['items'], arrays['users']
  if items.shape[1] != users.shape[1]:
    raise InputError(
      f'{path}: items {items.shape} and users {users.shape} differ in width; '
      'give vectors of one model'
    )
  if 'rewards' in arrays:
    _check_rewards(path, arrays['rewards'], (len(users), len(items)))
  return arrays


def _read_npz(path: str) -> dict[str, np.ndarray]:
  try:
    with np.load(path) as archive:
      return {name: archive[name] for name in archive.files}
  except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
    raise InputError(f'{path}: not a readable .npz file ({error}); write it by np.savez') from error


def _require_numbers(path: str, name: str, array: np.ndarray) -> None:
  """Raises InputError unless all are finite as float32."""
  with np.errstate(over='ignore'):
    if array.dtype.kind not in 'biuf' or not np.isfinite(array.astype(np.float32)).all():
      raise InputError(
        f'{path}: {name} {array.shape} of {array.dtype} must be finite numbers; clean them first'
      )


def _check_rewards(path: str, rewards: np.ndarray, expected: tuple[int, int]) -> None:
  if rewards.shape != expected:
    raise InputError(f'{path}: rewards are {rewards.shape}, not [U, N] = {expected}')
  is_known = rewards == rewards  # NaN equals nothing, and text may be compared too.
  known = rewards[is_known]
  _require_numbers(path, 'rewards', known)
  if known.size and not 0 <= known.min() <= known.max() <= 1:
    raise InputError(
      f'{path}: rewards {rewards.shape} go from {known.min():g} to {known.max():g}; '
      'bring them to [0, 1], NaN where unknown'
    )
  unknown = np.flatnonzero(~is_known.any(1))
  if len(unknown):
    raise InputError(
      f'{path}: rewards {rewards.shape}, row {unknown[0]}: no reward of this user is known; '
      'leave the user out'
    )
