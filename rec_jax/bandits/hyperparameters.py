"""Hyperparameters: a number, a traced number or an Optax schedule, checked on the host."""

from collections.abc import Callable

import jax
import numpy as np
from jax.typing import ArrayLike

from rec_jax.types import InputError

Schedule = Callable[[ArrayLike], ArrayLike]
Hyperparameter = ArrayLike | Schedule


def value_at(hyperparameter: Hyperparameter, count: jax.Array) -> ArrayLike:
  """The value after `count` rows of feedback: a schedule is evaluated, a number stays."""
  return hyperparameter(count) if callable(hyperparameter) else hyperparameter


def check_range(
  name: str, value: Hyperparameter, low: float, high: float = np.inf, *, open_low: bool = False
) -> None:
  """Raises InputError unless every entry is in [low, high], or (low, high] if `open_low`.

  Traced values and schedules cannot be looked at on the host and pass.
  """
  if callable(value) or isinstance(value, jax.core.Tracer):
    return
  array = np.asarray(value, np.float64)
  inside = (array > low if open_low else array >= low) & (array <= high)
  if not inside.all():
    bracket = '(' if open_low else '['
    raise InputError(
      f'{name} = {array[~inside].flat[0]:g} is outside {bracket}{low:g}, {high:g}]; '
      'give a number in that range'
    )
