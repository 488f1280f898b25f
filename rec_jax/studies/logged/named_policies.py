"""The policies that `--policy` and `--against` name."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from rec_jax import bandits
from rec_jax.data import logged_doses
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.studies.logged import own_policy, policy_checkpoint
from rec_jax.studies.logged.log_checks import LOGGED
from rec_jax.studies.logged.policy_checkpoint import FrozenPolicy
from rec_jax.types import InputError

# The policy that always shows one item.
ITEM = 'item:'
# The policy that always chooses one number.
DOSE = 'dose:'


def split(value: str, item_ids: Collection[str] = ()) -> list[str]:
  """The names between the commas of `--policy`; one item or one path may have commas in it.

  Raises:
    InputError: a name is empty, or there twice.
  """
  is_item = value.startswith(ITEM) and value.removeprefix(ITEM) in item_ids
  if is_item or (',' in value and Path(value).exists()):
    return [value]
  names = value.split(',')
  if '' in map(str.strip, names):
    raise InputError(f'--policy: {value!r} has an empty name; give one, or several between commas')
  if len(set(names)) < len(names):
    raise InputError('--policy: one of them is there twice; give each once')
  return names


def named(
  name: str, log: LoggedFeedback, path: str | Path, flag: str
) -> str | FrozenPolicy | np.ndarray:
  """What `policy_value.evaluate_policy` takes.

  Args:
    name: 'logged', one of the registry, which goes before a directory of this name, 'item:ID', a
      directory of a checkpoint, or as in `own_policy.probabilities`.
    log: of n rounds.
    path: its file.
    flag: that named the policy.

  Raises:
    InputError: there is none, one line that says what there is instead.
  """
  if own_policy.is_own(name):
    return own_policy.probabilities(name, log, path, flag)
  if name.startswith(ITEM) or name in (LOGGED, *bandits.names()):
    return name
  if name and Path(name).is_dir():
    if not any(child.name.isdigit() for child in Path(name).iterdir()):
      raise InputError(
        f'{flag}: {name} is a directory without a policy; give the DIR/policy that '
        'experiments.learn_policy --out=DIR wrote'
      )
    return policy_checkpoint.load(name)
  if name.startswith(DOSE):
    raise InputError(
      f'{flag}: {name} is for logs of numbers, and {path} has no column "{logged_doses.ACTION}"; '
      f'give another policy, such as {ITEM}ID'
    )
  if flag != own_policy.POLICY and ',' in name:
    raise InputError(f'{flag}: {name}: give one policy; several go to {own_policy.POLICY}')
  raise InputError(
    f'{flag}: unknown policy {name!r}, and no such directory; give item:ID, column:NAME, FILE.npy, '
    f'python:MODULE:FUNCTION, {LOGGED} or one of {", ".join(bandits.names())}'
  )
