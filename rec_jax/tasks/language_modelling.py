"""What a text encoder learns from unlabelled text; masked or causal is the objective's matter.

Two variants start from the same weights and see the same batches: 'frozen' trains the head on the
encoder as it is, 'continued' trains the Transformer blocks as well, at a rate of their own and only
from half of the steps on: through a head that is still random they would learn noise.
"""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data.pipeline import text_batches
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks.config import PretrainConfig
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task
from rec_jax.types import InputError

VARIANTS = ('frozen', 'continued')
_EMA_DECAY = 0.9


class Objective(NamedTuple):
  """Which tokens are predicted, and from what.

  Attributes:
    name: 'masked' or 'causal'.
    target: what a loss is of, in words.
    model: (encoder, seed) -> a module with the parts `encoder` and `head`.
    losses: (model, key, input_ids [B, L], mask [B, L], rngs) -> losses in nats and weights, both
      [B, P] for P tokens of each text. `rngs` is None out of training.
    has_target: (input_ids [n, L], mask [n, L]) -> [n], whether a text has a token to predict.
  """

  name: str
  target: str
  model: Callable[[TextEncoder, int], nnx.Module]
  losses: Callable[..., tuple[jax.Array, jax.Array]]
  has_target: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Texts:
  """Token ids and masks [n, L] of the texts to train on and of those held out."""

  train: tuple[np.ndarray, np.ndarray]
  held_out: tuple[np.ndarray, np.ndarray]

  @classmethod
  def split(cls, input_ids: np.ndarray, mask: np.ndarray, num_held_out: int, seed: int) -> 'Texts':
    """Holds out a random part, at most half."""
    num_held_out = min(num_held_out, len(input_ids) // 2)
    if not num_held_out:
      raise InputError(f'{len(input_ids)} texts before the cut are too few to pre-train on')
    order = np.random.default_rng((seed, 1)).permutation(len(input_ids))
    held_out, train = order[:num_held_out], order[num_held_out:]
    return cls((input_ids[train], mask[train]), (input_ids[held_out], mask[held_out]))


def task(
  variant: str,
  encoder: TextEncoder,
  texts: Texts,
  objective: Objective,
  config: PretrainConfig,
  seed: int,
) -> Task:
  """The task of one variant; the encoder is changed in place."""
  # The embeddings, tied to the output, stay.
  places = ('head',) if variant == 'frozen' else ('head', 'transformer')

  def losses(
    model: nnx.Module, key: jax.Array, batch: jax.Array, data: Any, phase: Hashable
  ) -> tuple[jax.Array, jax.Array, Metrics]:
    del phase
    input_ids, mask = data
    target_key, dropout_key = jax.random.split(key)
    rngs = nnx.Rngs(dropout=dropout_key)
    return *objective.losses(model, target_key, input_ids[batch], mask[batch], rngs), {}

  def validate(model: nnx.Module) -> dict[str, float]:
    return {'negative_loss': -float(held_out_losses(model, texts, objective, config, seed).mean())}

  return Task(
    name=f'pretrain {variant}',
    model=objective.model(encoder, seed),
    trainable=nnx.All(nnx.Param, lambda path, _: any(place in path for place in places)),
    losses=losses,
    batches=text_batches(len(texts.train[0]), config.batch_size, seed),
    optimizer=_optimizer(config, len(encoder.transformer.blocks)),
    schedule=Schedule(config.num_steps, config.validate_every),
    validate=validate,
    ema_decay=_EMA_DECAY,
    data=jax.tree.map(jnp.asarray, texts.train),
  )


def held_out_losses(
  model: nnx.Module, texts: Texts, objective: Objective, config: PretrainConfig, seed: int
) -> np.ndarray:
  """[n] mean loss in nats over the predicted tokens of each held-out text.

  The same tokens are predicted by every model.
  """
  model = nnx.view(model, deterministic=True)
  keys = jax.random.split(jax.random.key(seed), len(texts.held_out[0]))
  (ids, mask), size = texts.held_out, config.batch_size
  parts = [
    _text_losses(model, keys[i], ids[i : i + size], mask[i : i + size], losses=objective.losses)
    for i in range(0, len(keys), size)
  ]
  return np.concatenate(parts)


def _optimizer(config: PretrainConfig, num_layers: int) -> optax.GradientTransformation:
  """Of the head, and another of the blocks, which join at half of the steps."""
  head, blocks = (
    optimizers.make(
      rate,
      config.num_steps,
      weight_decay=config.weight_decay,
      optimizer=config.optimizer,
      schedule=config.schedule,
      start=start,
    )
    for rate, start in (
      (config.learning_rate, 0),
      (config.encoder_learning_rate, config.num_steps // 2),
    )
  )

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)

  blocks = optax.chain(blocks, optimizers.layerwise(config.encoder_layer_decay, num_layers))
  return optax.multi_transform({'head': head, 'encoder': blocks}, groups)


@nnx.jit(static_argnames='losses')
def _text_losses(
  model: nnx.Module,
  key: jax.Array,
  input_ids: ArrayLike,
  mask: ArrayLike,
  losses: Callable[..., tuple[jax.Array, jax.Array]],
) -> jax.Array:
  values, weights = losses(model, key, jnp.asarray(input_ids), jnp.asarray(mask), None)
  return (values * weights).sum(1) / jnp.maximum(weights.sum(1), 1)
