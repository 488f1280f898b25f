"""A learning-rate range test: the loss while the rate rises from step to step (Smith 2017)."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from rec_jax.training import loop, optimizers
from rec_jax.training.task import Task
from rec_jax.types import InputError

# Weight of the past in the mean of the losses, and by which factor of its least the test ends.
_SMOOTHING, _TOO_HIGH = 0.9, 4.0
# Fewer tell nothing of a slope.
_FEWEST = 10


class Found(NamedTuple):
  """What a range test saw in T steps.

  Attributes:
    rate: [T] of each step.
    loss: [T] before it.
    smoothed: [T] mean of the losses so far, weighted towards the last.
    steepest: rate at which the mean falls fastest, by orders of magnitude: what to set.
    least: rate at which it is lowest: higher ones do harm.
  """

  rate: np.ndarray
  loss: np.ndarray
  smoothed: np.ndarray
  steepest: float
  least: float


def find(task: Task, key: jax.Array, highest: float, num_steps: int) -> Found:
  """Trains until the rate has risen to its end or the mean loss to four times its least.

  Args:
    task: whose optimizer has the schedule `optimizers.RISING` over `num_steps` up to `highest`.
    key: typed key.
    highest: rate at the end.
    num_steps: until there.

  Raises:
    InputError: the loss was of no use after a few steps.
  """
  state, parts = loop.start(task, key)
  iterator = iter(task.batches)
  step_of = functools.cache(functools.partial(loop.make_step, task, parts.graphdef))
  losses: list[float] = []
  for step in range(num_steps):
    do_step = step_of(task.phase(step))
    state, metrics = do_step(state, next(iterator), (parts.frozen, task.data))
    losses.append(float(metrics['loss']))
    means = smooth(losses)
    if not np.isfinite(means[-1]) or means[-1] > _TOO_HIGH * means.min():
      break
  schedule = optimizers.rate(optimizers.RISING, highest, 0, num_steps)
  return judge(np.array([float(schedule(step)) for step in range(len(losses))]), losses)


def smooth(losses: list[float]) -> np.ndarray:
  """[T] exponential moving means whose weights add up to one from the first on."""
  decay = _SMOOTHING ** np.arange(len(losses))
  # Each mean is of the losses so far, newest first.
  total = np.convolve(losses, decay)[: len(losses)]
  return total / np.cumsum(decay)


def judge(rate: np.ndarray, losses: list[float]) -> Found:
  """Where the mean loss falls fastest and where it is least.

  Args:
    rate: [T].
    losses: T of them; they end where they are not finite.

  Raises:
    InputError: fewer than ten are finite, or they never fall.
  """
  finite = np.isfinite(losses)
  number = len(losses) if finite.all() else int(np.argmin(finite))
  means = smooth(losses[:number]) if number >= _FEWEST else np.zeros(1)
  least = int(np.argmin(means))
  if least < 2:
    raise InputError(
      f'the loss does not fall in the {number} steps that it is finite; lower --highest or raise '
      '--num_steps'
    )
  slope = np.gradient(means[: least + 1], np.log10(rate[: least + 1]))
  return Found(
    rate[:number],
    np.array(losses[:number]),
    means,
    float(rate[np.argmin(slope)]),
    float(rate[least]),
  )
