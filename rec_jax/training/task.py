"""What a model is trained to do: the seam between models and the one loop."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import grain
import jax
import optax
from flax import nnx

from rec_jax.training.state import ModelParts, TrainState

Metrics = dict[str, jax.Array]
# (model, key, batch, data, phase) -> (losses [n], weights [n], metrics). A weight of 0 is padding.
# The model is a copy of this step's: what it writes to its cached variables is kept, without a
# gradient.
Losses = Callable[[Any, jax.Array, Any, Any, Hashable], tuple[jax.Array, jax.Array, Metrics]]


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


def _one_phase(step: int) -> Hashable:
  del step
  return None


def _no_host_work(step: int, state: TrainState, parts: ModelParts) -> TrainState:
  del step, parts
  return state


class Task(NamedTuple):
  """All that `loop.train` needs to know of a model and of what it is to learn.

  Attributes:
    name: shown beside the progress bar.
    model: an nnx.Module as it is before the first step.
    trainable: filter of the variables that gradients change.
    losses: per-example losses of a batch, see `Losses`; a step descends their weighted mean.
    batches: endless.
    optimizer: of the trainable variables.
    schedule: when to validate and stop.
    validate: model with averaged weights -> scalars; the first of them selects the best, higher is
      better. The model is a copy that it may change.
    ema_decay: of the moving average of the weights that is evaluated.
    data: arrays that the losses read and never change.
    cached: filter of the variables that a step may rewrite without a gradient.
    phase: number of steps done -> in which way the next one is done; each phase is compiled once.
    micro_batches: parts of a batch that are computed one after another; more than one are the first
      axis of its arrays.
    after_step: host work, (steps done, state, parts of the model) -> state.
  """

  name: str
  model: Any
  trainable: nnx.filterlib.Filter
  losses: Losses
  batches: grain.IterDataset
  optimizer: optax.GradientTransformation
  schedule: Schedule
  validate: Callable[[Any], Mapping[str, float]]
  ema_decay: float
  data: Any = ()
  cached: nnx.filterlib.Filter = nnx.Nothing()
  phase: Callable[[int], Hashable] = _one_phase
  micro_batches: int = 1
  after_step: Callable[[int, TrainState, ModelParts], TrainState] = _no_host_work
