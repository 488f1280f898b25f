"""The optimizers of the two towers and, in its steps, of their text encoder."""

import functools

import jax
import optax
from flax import nnx

from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import optimizers

# Weights that pre-training has set move less than what is added to them.
_FULL_RATE, _ADDED_RATE = 1e-4, 1e-3


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
    of_name(encoder_rate(config), joint.stop, start=joint.start, weight_decay=0.0),
    optimizers.layerwise(config.encoder_layer_decay, num_layers),
    optax.scale_by_schedule(lambda step: step < joint.stop),
  )

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)

  return optax.multi_transform({'towers': towers, 'encoder': encoder}, groups)


def encoder_rate(config: FinetuneConfig) -> float:
  """The peak rate of the encoder: as set, or as suits the method."""
  of_method = _FULL_RATE if config.encoder_method == 'full' else _ADDED_RATE
  return config.encoder_learning_rate or of_method
