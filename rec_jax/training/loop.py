"""The one training loop: resume, step, validate, checkpoint, stop early."""

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grain
import numpy as np

from rec_jax import checkpoint
from rec_jax.training import tracking
from rec_jax.training.state import Metrics, StepFn, TrainState, record_validation
from rec_jax.types import InputError


class Schedule(NamedTuple):
  """When what happens; all in steps.

  Attributes:
    num_steps: at most.
    validate_every: also how often a checkpoint is saved.
    patience: validations without a new best before the run stops; 0 never stops early.
    log_every: distance of the logged training metrics.
  """

  num_steps: int
  validate_every: int
  patience: int = 0
  log_every: int = 10


def train(
  name: str,
  directory: str | os.PathLike[str],
  state: TrainState,
  step_at: Callable[[int], StepFn],
  batches: grain.IterDataset,
  constants: Any,
  schedule: Schedule,
  config: Mapping[str, Any],
  validate: Callable[[TrainState], Mapping[str, float]],
  after_step: Callable[[int, TrainState], TrainState] = lambda step, state: state,
) -> TrainState:
  """Trains until the schedule ends, resuming from the newest whole checkpoint in `directory`.

  Args:
    name: shown beside the progress bar.
    directory: gets `checkpoints/`, TensorBoard events and `scalars.jsonl`.
    state: before the first step.
    step_at: number of steps done -> what to do next, made by `make_step`.
    batches: endless.
    constants: third argument of a step.
    schedule: when to validate and stop.
    config: stored with every checkpoint.
    validate: state -> scalars of its average; the first of them selects the best, higher is better.
    after_step: host work between steps, given the number of steps done.

  Returns:
    The final state; `best` holds what was best in validation.

  Raises:
    InputError: the loss or its gradient is not finite; names the step and the last good checkpoint.
  """
  iterator = iter(batches)
  with contextlib.ExitStack() as stack:
    saved = stack.enter_context(checkpoint.open(f'{directory}/checkpoints', config))
    restored = saved.restore_latest(state, iterator)
    start, state = restored or (0, state)
    write = stack.enter_context(tracking.writer(directory, start))
    advance = stack.enter_context(tracking.progress(name, schedule.num_steps, start))
    pending: tuple[int, Metrics] | None = None
    note = ''
    step = start
    while step < schedule.num_steps and not _is_stale(state, step, schedule):
      state, metrics = step_at(step)(state, next(iterator), constants)
      step += 1
      # Fetched only now that the next step runs, so that the device never waits for the host.
      _log(write, pending, schedule, directory)
      pending = step, metrics
      state = after_step(step, state)
      if step % schedule.validate_every == 0 or step == schedule.num_steps:
        _log(write, pending, schedule, directory)
        pending = None
        scalars = validate(state)
        write(step, scalars)
        state = record_validation(state, next(iter(scalars.values())))
        note = ' '.join(f'{key} {value:.4g}' for key, value in scalars.items())
        saved.save(step, state, iterator)
      advance(1, note)
  return state


def _is_stale(state: TrainState, step: int, schedule: Schedule) -> bool:
  """Whether the best validation lies too far back; only validations change the answer."""
  if not schedule.patience or step % schedule.validate_every:
    return False
  return step - int(state.best_step) >= schedule.patience * schedule.validate_every


def _log(
  write: tracking.WriteScalars,
  pending: tuple[int, Metrics] | None,
  schedule: Schedule,
  directory: str | os.PathLike[str],
) -> None:
  if pending is None:
    return
  step, metrics = pending
  # A loss may be finite where its gradient is not; the weights after that step are lost.
  for name in ('loss', 'gradient_norm'):
    if not np.isfinite(metrics[name]):
      raise InputError(
        f'the {name.replace("_", " ")} is {metrics[name]} at step {step}; the last good checkpoint '
        f'is the newest in {directory}/checkpoints: lower the learning rate'
      )
  if step % schedule.log_every == 0:
    write(step, {key: float(value) for key, value in metrics.items()})
