"""Classification of sequences and of tokens: what a head and what is below it learn from labels.

What is descended is minus the log-likelihood of the labels: of exclusive classes the cross-entropy
of a softmax, of others the sum of binary ones, of each class by itself.
"""

import functools
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from rec_jax.data import pipeline
from rec_jax.losses.classification import binary_cross_entropy
from rec_jax.losses.language_modelling import token_cross_entropy
from rec_jax.tasks.config import FEWEST_STEPS, MOST_STEPS, FinetuneConfig
from rec_jax.tasks.two_tower_optimizer import encoder_rate
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task
from rec_jax.types import InputError

# How often each example is learnt from, unless the config says how many steps are done.
_PASSES = 20
# One unit of so many is held out.
_HELD_OUT = 10
# Examples whose logits are computed at once.
_CHUNK = 64


class Examples(NamedTuple):
  """n labelled sequences.

  Attributes:
    inputs: what the model reads, arrays [n, ...].
    labels: [n, C], or [n, L, C] of tokens, float32: 1 for the classes that hold.
    weights: [n] or [n, L] float32, 0 for what is not judged, such as padding.
    units: [n] int, what is independent of what, such as users.
  """

  inputs: tuple[np.ndarray, ...]
  labels: np.ndarray
  weights: np.ndarray
  units: np.ndarray

  def take(self, rows: np.ndarray) -> 'Examples':
    """The examples at positions `rows`."""
    return Examples(*jax.tree.map(lambda leaf: leaf[rows], tuple(self)))


class Problem(NamedTuple):
  """What is to be told, by which model, learnt from what and judged on what.

  Attributes:
    classes: names of the C classes.
    exclusive: whether one class holds of each example; else any number do.
    model: called with the inputs of examples, gives logits [B, C] or [B, L, C].
    trainable: filter of the variables that gradients change.
    train: to learn from.
    held_out: not learnt from; their likelihood says when to stop.
    test: to be judged.
    protocol: what is judged, in words.
  """

  classes: tuple[str, ...]
  exclusive: bool
  model: Any
  trainable: nnx.filterlib.Filter
  train: Examples
  held_out: Examples
  test: Examples
  protocol: str


def task(problem: Problem, config: FinetuneConfig, balanced: bool, seed: int) -> Task:
  """The task of a problem; its model is changed in place.

  Args:
    problem: from `text_classification` or `history_classification`.
    config: of the towers and the encoder.
    balanced: whether rare classes weigh as much as frequent ones, see `class_weights`.
    seed: of the batches.
  """
  train = problem.train
  num_steps = config.num_steps or int(
    np.clip(_PASSES * len(train.labels) / config.batch_size, FEWEST_STEPS, MOST_STEPS)
  )
  num_classes = len(problem.classes)
  weights = jnp.asarray(class_weights(problem) if balanced else np.ones(num_classes, np.float32))
  compare = functools.partial(label_losses, exclusive=problem.exclusive, class_weights=weights)

  def losses(
    model: nnx.Module, key: jax.Array, batch: jax.Array, data: Any, phase: Hashable
  ) -> tuple[jax.Array, jax.Array, Metrics]:
    del phase
    inputs, labels, shown = jax.tree.map(lambda leaf: leaf[batch], data)
    values, more = compare(model(*inputs, rngs=nnx.Rngs(dropout=key)), labels)
    return values.ravel(), (more * shown).ravel(), {}

  def validate(model: nnx.Module) -> Mapping[str, float]:
    held_out = problem.held_out
    values, more = compare(jnp.asarray(logits(model, held_out)), jnp.asarray(held_out.labels))
    more = more * held_out.weights
    return {'log_likelihood': -float((values * more).sum() / more.sum())}

  return Task(
    name='classify',
    model=problem.model,
    trainable=problem.trainable,
    losses=losses,
    batches=pipeline.shuffled(len(train.labels), config.batch_size, seed).to_iter_dataset(
      pipeline.READ
    ),
    optimizer=_optimizer(config, num_steps, problem.model),
    schedule=Schedule(num_steps, config.validate_every, config.patience),
    validate=validate,
    ema_decay=config.ema_decay,
    data=jax.tree.map(jnp.asarray, (train.inputs, train.labels, train.weights)),
  )


def hold_out(examples: Examples, seed: int) -> tuple[Examples, Examples]:
  """What is learnt from, and one unit in ten that is not.

  Raises:
    InputError: there is a single one.
  """
  units = np.unique(examples.units)
  if len(units) < 2:
    raise InputError(f'{len(units)} labelled before the cut: too few to learn from')
  drawn = np.random.default_rng((seed, 8)).permutation(units)[: max(1, len(units) // _HELD_OUT)]
  is_drawn = np.isin(examples.units, drawn)
  return examples.take(np.flatnonzero(~is_drawn)), examples.take(np.flatnonzero(is_drawn))


def label_losses(
  logits: jax.Array, labels: jax.Array, exclusive: bool, class_weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Minus the log-likelihood of labels, and the weights of its mean.

  Args:
    logits: [..., C].
    labels: [..., C], 1 for the classes that hold.
    exclusive: whether exactly one does.
    class_weights: [C], how much an example of a class counts; of classes that are not exclusive,
      how much it counts that the class holds, beside that it does not.

  Returns:
    Losses [...] in nats and weights [...].
  """
  if exclusive:
    target = labels.argmax(-1)
    return token_cross_entropy(logits, target), class_weights[target]
  losses = binary_cross_entropy(logits, labels, class_weights).sum(-1)
  return losses, jnp.ones_like(losses)


def class_weights(problem: Problem) -> np.ndarray:
  """[C] float32, with which all classes have the same part in the loss of what is learnt from.

  n / (C n_c) of exclusive classes, n_c being how often class c holds among n; of others
  (n - n_c) / n_c, so that holding and not holding do. 1 for a class that never, or always, holds.
  """
  shown, labels = problem.train.weights > 0, problem.train.labels
  count, number = labels[shown].sum(0), shown.sum()
  weight = number / len(count) if problem.exclusive else number - count
  return np.where((count > 0) & (count < number), weight / np.maximum(count, 1), 1.0).astype(
    np.float32
  )


def logits(model: nnx.Module, examples: Examples) -> np.ndarray:
  """[n, C] or [n, L, C] of a model, without dropout."""
  model = nnx.view(model, deterministic=True)
  number, parts = len(examples.labels), []
  for start in range(0, number, _CHUNK):
    # Padded by the last example, so that nothing is compiled twice.
    rows = np.minimum(np.arange(start, start + _CHUNK), number - 1)
    parts.append(
      np.asarray(_call(model, tuple(jnp.asarray(each[rows]) for each in examples.inputs)))
    )
  return np.concatenate(parts)[:number]


def decide(logits: np.ndarray, exclusive: bool) -> np.ndarray:
  """[..., C] bool: the likeliest of exclusive classes, of others those likelier than not."""
  if not exclusive:
    return logits > 0
  return logits.argmax(-1)[..., None] == np.arange(logits.shape[-1])


def most_frequent(problem: Problem) -> np.ndarray:
  """[C] bool, the class that holds most often where it is learnt: what needs no model."""
  count = problem.train.labels[problem.train.weights > 0].sum(0)
  return np.arange(len(count)) == count.argmax()


@nnx.jit
def _call(model: Any, inputs: tuple[jax.Array, ...]) -> jax.Array:
  return model(*inputs)


def _optimizer(config: FinetuneConfig, num_steps: int, model: Any) -> optax.GradientTransformation:
  """Of the towers and the head, and another of the encoder, where it is a part of the model."""
  make = functools.partial(
    optimizers.make, num_steps=num_steps, optimizer=config.optimizer, schedule=config.schedule
  )
  encoder = getattr(model, 'encoder', None)
  num_layers = len(encoder.transformer.blocks) if encoder else 0
  of_encoder = optax.chain(
    make(encoder_rate(config), weight_decay=0.0),
    optimizers.layerwise(config.encoder_layer_decay, num_layers),
  )
  others = make(config.learning_rate, weight_decay=config.weight_decay)

  def groups(params: nnx.State) -> nnx.State:
    return jax.tree_util.tree_map_with_path(
      lambda path, _: 'encoder' if path[0].key == 'encoder' else 'others', params
    )

  return optax.multi_transform({'encoder': of_encoder, 'others': others}, groups)
