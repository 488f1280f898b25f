"""Which policies a sweep runs, and under which settings: read from text, checked on the host."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from rec_jax import bandits
from rec_jax.types import InputError

Hyperparameters = dict[str, float]


def settings_of(policies: str, grid: str, baseline: str) -> dict[str, list[Hyperparameters]]:
  """The settings of each policy of a sweep, all combinations of the values of its grid.

  >>> settings_of('lin_ucb', 'lin_ucb.alpha=0.1|1', 'uniform')
  {'lin_ucb': [{'alpha': 0.1}, {'alpha': 1.0}], 'uniform': [{}]}

  Args:
    policies: names of the registry, separated by commas.
    grid: entries policy.hyperparameter=value|value, separated by commas.
    baseline: a policy that is run as well where `policies` lacks it.

  Returns:
    Name of the policy -> its settings; a whole number stays an int where the default is one.

  Raises:
    InputError: a policy or a hyperparameter is unknown, an entry cannot be read, or a value is out
      of its range or there twice.
  """
  names = [name for name in _parts(policies) if name]
  if not names:
    raise InputError(f'policies is "{policies}"; set --config.policies to some of the registry')
  values: dict[str, dict[str, list[float]]] = {name: {} for name in [*names, baseline]}
  for name in values:
    bandits.hyperparameters(name)
  for entry in filter(None, _parts(grid)):
    policy, hyperparameter, numbers = _read(entry)
    if policy not in values:
      raise InputError(
        f'grid entry "{entry}" is about a policy that does not run; these do: {", ".join(values)}'
      )
    if hyperparameter in values[policy]:
      raise InputError(f'grid has two entries for {policy}.{hyperparameter}; join them by |')
    values[policy][hyperparameter] = numbers
  return {name: _combinations(name, table) for name, table in values.items()}


def label(policy: str, setting: Hyperparameters) -> str:
  """The policy with its setting.

  >>> label('lin_ucb', {'alpha': 0.1})
  'lin_ucb, alpha=0.1'
  """
  return ', '.join([policy, *(f'{name}={value:g}' for name, value in setting.items())])


def _parts(text: str) -> list[str]:
  return [part.strip() for part in text.split(',')]


def _read(entry: str) -> tuple[str, str, list[float]]:
  """Policy, hyperparameter and values of one entry."""
  name, equals, numbers = entry.partition('=')
  policy, dot, hyperparameter = name.partition('.')
  if not (equals and dot):
    raise InputError(f'grid entry "{entry}" cannot be read; write policy.hyperparameter=0.1|1')
  known = bandits.hyperparameters(policy)
  if hyperparameter not in known:
    raise InputError(
      f'unknown hyperparameter {hyperparameter!r} of policy {policy!r} in grid; '
      f'known: {", ".join(known) or "none"}'
    )
  default = known[hyperparameter]
  if not isinstance(default, int | float):
    raise InputError(f'{policy}.{hyperparameter} is not a number and cannot be in grid')
  try:
    values = [type(default)(number) for number in numbers.split('|')]
  except ValueError as error:
    raise InputError(
      f'grid entry "{entry}" cannot be read ({error}); write policy.hyperparameter=0.1|1'
    ) from error
  if not np.isfinite(values).all():
    raise InputError(f'grid entry "{entry}" has a value that is not finite; give numbers')
  if len({f'{value:g}' for value in values}) < len(values):
    raise InputError(
      f'grid entry "{entry}" has a value twice, to the six digits of its label; give each once'
    )
  return policy, hyperparameter, values


def _combinations(policy: str, values: Mapping[str, Sequence[float]]) -> list[Hyperparameters]:
  # Whole numbers first, so that settings of one structure stand together.
  names = sorted(values, key=lambda name: isinstance(values[name][0], float))
  points = itertools.product(*(values[name] for name in names))
  settings = [dict(zip(names, point, strict=True)) for point in points]
  for setting in settings:
    # Under jit the ranges cannot be looked at.
    bandits.make(policy, **setting)
  return settings
