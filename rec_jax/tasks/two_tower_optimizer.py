"""The optimizers of the two towers and, in its steps, of their text encoder."""

import functools

import jax
import optax
from flax import nnx

from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import optimizers


def make(
  config: FinetuneConfig, joint: range, num_steps: int, num_layers: int
) -> optax.GradientTransformation:
  """Of the towers; for the encoder another whose rate is zero outside of its steps.

  Args:
    config: of both.
    joint: the steps of the encoder.
    num_steps: of the towers.
    num_layers: blocks of the encoder.
  """
  of_name = functools.partial(optimizers.make, optimizer=config.optimizer, schedule=config.schedule)
  towers = of_name(config.learning_rate, num_steps, weight_decay=config.weight_decay)
  encoder = optax.chain(
    of_name(config.encoder_learning_rate, joint.stop, start=joint.start, weight_decay=0.0),
    optimizers.layerwise(config.encoder_layer_decay, num_layers),
    optax.scale_by_schedule(lambda step: step < joint.stop),
  )

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)

  return optax.multi_transform({'towers': towers, 'encoder': encoder}, groups)
