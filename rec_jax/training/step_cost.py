"""What one training step of a task takes: memory by the compiled program, and measured time."""

import statistics
import time
from collections.abc import Hashable
from typing import Any, NamedTuple

import jax

from rec_jax.training import loop
from rec_jax.training.task import Task

_REPEATS = 8


class StepCost(NamedTuple):
  """Of one step.

  Attributes:
    peak_bytes: what the compiled program holds at most: its arguments (state, batch, frozen weights
      and the data of the task), its results, and what it needs on the way, by XLA's own account.
    seconds: measured, median of several.
  """

  peak_bytes: int
  seconds: float


def measure(task: Task, phase: Hashable) -> StepCost:
  """The cost of a step of one phase, from the start of training on; compiles it.

  Raises:
    ValueError: the backend does not say what a program takes.
  """
  state, parts = loop.start(task, jax.random.key(0))
  batch, constants = next(iter(task.batches)), (parts.frozen, task.data)
  # A step is a jitted function, of which its type says no more than how to call it.
  step: Any = loop.make_step(task, parts.graphdef, phase)
  compiled = step.lower(state, batch, constants).compile()
  memory = compiled.memory_analysis()
  if memory is None:
    raise ValueError('this backend does not say what a program takes')
  # Arguments that are donated hold results as well.
  held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
  seconds = []
  for _ in range(_REPEATS + 1):
    begin = time.perf_counter()
    state, _ = jax.block_until_ready(compiled(state, batch, constants))
    seconds.append(time.perf_counter() - begin)
  # The first call also brings its arguments to where they are needed.
  return StepCost(held + memory.temp_size_in_bytes, statistics.median(seconds[1:]))
