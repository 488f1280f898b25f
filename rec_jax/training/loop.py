"""The one training loop: resume, step, validate, checkpoint, stop early."""

import contextlib
import functools
import os
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from rec_jax import checkpoint
from rec_jax.training import state as train_state
from rec_jax.training import tracking
from rec_jax.training.state import ModelParts, StepFn, TrainState
from rec_jax.training.task import Metrics, Schedule, Task
from rec_jax.types import InputError


def start(task: Task, key: jax.Array) -> tuple[TrainState, ModelParts]:
  """The state before the first step, and what of the model is not in it."""
  graphdef, *states = nnx.split(task.model, task.trainable, task.cached, ...)
  params, cache, frozen = states
  return train_state.init(key, params, task.optimizer, cache), ModelParts(graphdef, frozen)


def make_step(task: Task, graphdef: nnx.GraphDef, phase: Hashable) -> StepFn:
  """The step of one phase; its constants are the frozen variables and the data of the task."""

  def loss_fn(
    params: Any, cache: Any, key: jax.Array, batch: Any, constants: Any
  ) -> tuple[jax.Array, tuple[jax.Array, Any, Metrics]]:
    frozen, data = constants
    model = nnx.merge(graphdef, params, cache, frozen, copy=True)
    losses, weights, metrics = task.losses(model, key, batch, data, phase)
    cache = jax.lax.stop_gradient(nnx.state(model, task.cached))
    return (losses * weights).sum(), (weights.sum(), cache, metrics)

  return train_state.make_step(loss_fn, task.optimizer, task.ema_decay, task.micro_batches)


def train(
  task: Task, directory: str | os.PathLike[str], key: jax.Array, config: Mapping[str, Any]
) -> tuple[TrainState, ModelParts]:
  """Trains until the schedule ends, resuming from the newest whole checkpoint in `directory`.

  Args:
    task: what is learnt.
    directory: gets `checkpoints/`, TensorBoard events and `scalars.jsonl`.
    key: typed key; step t draws from fold_in(key, t).
    config: stored with every checkpoint.

  Returns:
    The final state, whose `best` holds what was best in validation, and the parts of the model
    that `merge` joins with it.

  Raises:
    InputError: the loss or its gradient is not finite; names the step and the last good checkpoint.
  """
  state, parts = start(task, key)
  schedule = task.schedule
  iterator = iter(task.batches)
  step_of = functools.cache(functools.partial(make_step, task, parts.graphdef))
  with contextlib.ExitStack() as stack:
    saved = stack.enter_context(checkpoint.open(f'{directory}/checkpoints', config))
    restored = saved.restore_latest(state, iterator)
    begin, state = restored or (0, state)
    write = stack.enter_context(tracking.writer(directory, begin))
    advance = stack.enter_context(tracking.progress(task.name, schedule.num_steps, begin))
    pending: tuple[int, Metrics] | None = None
    note = ''
    step = begin
    while step < schedule.num_steps and not _is_stale(state, step, schedule):
      do_step = step_of(task.phase(step))
      state, metrics = do_step(state, next(iterator), (parts.frozen, task.data))
      step += 1
      # Fetched only now that the next step runs, so that the device never waits for the host.
      _log(write, pending, schedule, directory)
      pending = step, metrics
      state = task.after_step(step, state, parts)
      if step % schedule.validate_every == 0 or step == schedule.num_steps:
        _log(write, pending, schedule, directory)
        pending = None
        scalars = task.validate(parts.merge(state.average, state.cache))
        write(step, scalars)
        state = train_state.record_validation(state, next(iter(scalars.values())))
        note = ' '.join(f'{key} {value:.4g}' for key, value in scalars.items())
        saved.save(step, state, iterator)
      advance(1, note)
  return state, parts


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
