"""Pre-training of a text encoder, whatever its objective is: variants, batches, held-out losses.

Where an objective has a head beside the encoder, two variants start from the same weights and see
the same batches: 'frozen' trains the head on the encoder as it is, 'continued' trains the encoder
as well, at a rate of its own. Of a published one these are the blocks and the norm behind them, and
only from half of the steps on: through a head that is still random they would learn noise. One of
random weights learns whole and from the first step on. Without a head there is 'continued' alone.
"""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from rec_jax.data import text_batches
from rec_jax.data.text_batches import Batch, TextBatch, TextSource
from rec_jax.models import compute
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks.config import FEWEST_PRETRAIN_STEPS, MOST_PRETRAIN_STEPS, PretrainConfig
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task
from rec_jax.types import InputError

VARIANTS = ('frozen', 'continued')
# What is trained, by what the encoder starts from: published embeddings, which may be tied to the
# output, stay.
_TRAINED = {'published': ('head', 'transformer', 'final_norm'), 'random': ('head', 'encoder')}
_EMA_DECAY = 0.9


class Objective(NamedTuple):
  """What is predicted, and from what.

  Attributes:
    metric: name of the loss.
    target: what a loss is of, in words.
    has_head: whether a head is trained beside the encoder.
    model: (encoder, seed) -> a module with the part `encoder` and, if there is one, `head`.
    losses: (model, key, batch, rngs) -> losses in nats and weights, both [B, P] for P predictions
      of each text, or [R, W] for the tokens of packed rows. `rngs` is None out of training.
    has_target: (input_ids [n, L], mask [n, L]) -> [n], whether a text has something to predict.
  """

  metric: str
  target: str
  has_head: bool
  model: Callable[[TextEncoder, int], nnx.Module]
  losses: Callable[..., tuple[jax.Array, jax.Array]]
  has_target: Callable[[np.ndarray, np.ndarray], np.ndarray]

  @property
  def variants(self) -> tuple[str, ...]:
    """Those of `VARIANTS` that are trained."""
    return VARIANTS if self.has_head else VARIANTS[1:]


@dataclasses.dataclass(frozen=True)
class Texts:
  """Texts to train on, or pairs of them, and a batch of all that are held out."""

  train: TextSource
  held_out: Batch

  @classmethod
  def split(cls, input_ids: np.ndarray, mask: np.ndarray, num_held_out: int, seed: int) -> 'Texts':
    """Holds out a random part, at most half."""
    train, held_out = hold_out(len(input_ids), num_held_out, seed, 'texts')
    return cls(
      text_batches.in_memory(input_ids[train], mask[train]),
      TextBatch(input_ids[held_out], mask[held_out]),
    )


def hold_out(number: int, num_held_out: int, seed: int, what: str) -> tuple[np.ndarray, np.ndarray]:
  """Indices to train on and to hold out, at most half, at random.

  Raises:
    InputError: of fewer than two.
  """
  num_held_out = min(num_held_out, number // 2)
  if not num_held_out:
    raise InputError(f'{number} {what} before the cut are too few to pre-train on')
  order = np.random.default_rng((seed, 1)).permutation(number)
  return order[num_held_out:], order[:num_held_out]


def num_steps(texts: Texts, config: PretrainConfig) -> int:
  """Those that are set, or as many as read each text or pair once, within bounds."""
  one_pass = -(-texts.train.size // config.batch_size)
  return config.num_steps or int(np.clip(one_pass, FEWEST_PRETRAIN_STEPS, MOST_PRETRAIN_STEPS))


def task(
  variant: str,
  encoder: TextEncoder,
  texts: Texts,
  objective: Objective,
  config: PretrainConfig,
  seed: int,
) -> Task:
  """The task of one variant; the encoder is changed in place."""
  places = ('head',) if variant == 'frozen' else _TRAINED[config.init]
  steps = num_steps(texts, config)

  def losses(
    model: nnx.Module, key: jax.Array, batch: Batch, data: Any, phase: Hashable
  ) -> tuple[jax.Array, jax.Array, Metrics]:
    del data, phase
    # The model is a copy of this step's; validation computes in full.
    compute.configure(model, config.dtype, config.rematerialise)
    target_key, dropout_key = jax.random.split(key)
    rngs = nnx.Rngs(dropout=dropout_key)
    return *objective.losses(model, target_key, batch, rngs), {}

  def validate(model: nnx.Module) -> dict[str, float]:
    return {'negative_loss': -float(held_out_losses(model, texts, objective, config, seed).mean())}

  return Task(
    name=f'pretrain {variant}',
    model=objective.model(encoder, seed),
    trainable=nnx.All(nnx.Param, lambda path, _: any(place in path for place in places)),
    losses=losses,
    batches=text_batches.batches(
      texts.train, config.batch_size, seed, config.layout, config.micro_batches
    ),
    optimizer=_optimizer(objective, config, steps, len(encoder.transformer.blocks)),
    schedule=Schedule(steps, config.validate_every),
    validate=validate,
    ema_decay=_EMA_DECAY,
    micro_batches=config.micro_batches,
  )


def held_out_losses(
  model: nnx.Module, texts: Texts, objective: Objective, config: PretrainConfig, seed: int
) -> np.ndarray:
  """[n] mean loss in nats over the predictions of each held-out text.

  The same tokens are predicted by every model.
  """
  model = nnx.view(model, deterministic=True)
  number = len(jax.tree.leaves(texts.held_out)[0])
  keys, size = jax.random.split(jax.random.key(seed), number), config.batch_size
  parts = []
  for start in range(0, number, size):
    part = jax.tree.map(lambda rows, at=start: rows[at : at + size], texts.held_out)
    parts.append(_text_losses(model, keys[start], part, losses=objective.losses))
  return np.concatenate(parts)


def _optimizer(
  objective: Objective, config: PretrainConfig, steps: int, num_layers: int
) -> optax.GradientTransformation:
  """Of the head, and another of the encoder; a published one joins a head at half of the steps."""
  joins_late = objective.has_head and config.init == 'published'
  head, encoder = (
    optimizers.make(
      rate,
      steps,
      weight_decay=config.weight_decay,
      optimizer=config.optimizer,
      schedule=config.schedule,
      start=start,
    )
    for rate, start in (
      (config.learning_rate, 0),
      (config.encoder_learning_rate, steps // 2 if joins_late else 0),
    )
  )

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)

  encoder = optax.chain(encoder, optimizers.layerwise(config.encoder_layer_decay, num_layers))
  return optax.multi_transform({'head': head, 'encoder': encoder}, groups)


@nnx.jit(static_argnames='losses')
def _text_losses(
  model: nnx.Module,
  key: jax.Array,
  batch: Batch,
  losses: Callable[..., tuple[jax.Array, jax.Array]],
) -> jax.Array:
  values, weights = losses(model, key, jax.tree.map(jnp.asarray, batch), None)
  return (values * weights).sum(1) / jnp.maximum(weights.sum(1), 1)
