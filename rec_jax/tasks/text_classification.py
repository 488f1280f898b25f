"""Classification of sequences, the texts of items: genre, news category, any column of the table.

Judged on items without an event before the cut: neither training nor pre-training has read them.
"""

import numpy as np
from flax import nnx

from rec_jax.data import item_labels
from rec_jax.data.config import DataConfig
from rec_jax.data.dataset import Dataset
from rec_jax.models.classifiers import TextClassifier
from rec_jax.models.peft import methods as peft
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks import catalogue_text, text_encoders
from rec_jax.tasks.classification import Examples, Problem, hold_out
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.types import InputError

# One item of so many is judged where none is new.
_JUDGED = 5


def problem(
  encoder: TextEncoder,
  dataset: Dataset,
  data: DataConfig,
  config: FinetuneConfig,
  column: str,
  seed: int,
) -> Problem:
  """A column of the item table, told from the text without it; the encoder is tuned in place.

  Where some item has several labels, each label is told by itself. Items without one are left out.

  Args:
    encoder: of the stage `pretrain`.
    dataset: of the stage `prepare`.
    data: settings of it.
    config: how the encoder is tuned.
    column: see `item_labels.read`.
    seed: of the head and of what is held out.

  Raises:
    InputError: there is no such column, or it tells nothing that could be learnt.
  """
  known = item_labels.read(data, column, dataset.items.ids.tolist())
  has_label = np.array([bool(each) for each in known.labels])
  classes = sorted({label for each in known.labels for label in each})
  if not 1 < len(classes) <= has_label.sum() / 2:
    raise InputError(
      f'column "{column}" has {len(classes)} labels for {has_label.sum()} items: name one by '
      '--column with at least two labels, each of several items'
    )
  number = {label: i for i, label in enumerate(classes)}
  labels = np.zeros((len(has_label), len(classes)), np.float32)
  for row, each in enumerate(known.labels):
    labels[row, [number[label] for label in each]] = 1
  judged, what = _judged(dataset, has_label, seed)
  encoder, rngs = nnx.view(encoder, deterministic=False), nnx.Rngs(seed)
  method, num_blocks = config.encoder_method, config.encoder_blocks
  peft.adapt(encoder, method, num_blocks, config.encoder_rank, rngs)
  depth = peft.depth(encoder, method, num_blocks)
  tokens = text_encoders.encode(data, known.text)
  text = catalogue_text.make(encoder, *tokens[:2], depth, is_tuned=True)
  every = np.arange(len(labels))
  inputs = np.asarray(text.rows), np.asarray(text.mask)
  items = Examples(inputs, labels, np.ones(len(labels), np.float32), every)
  train, held_out = hold_out(items.take(every[has_label & ~judged]), seed)
  of_encoder = nnx.All(nnx.PathContains('encoder'), peft.trainable(method, depth))
  return Problem(
    classes=tuple(classes),
    exclusive=bool((labels[has_label].sum(1) == 1).all()),
    model=TextClassifier(encoder, depth, len(classes), rngs=rngs),
    trainable=nnx.Any(nnx.All(nnx.PathContains('head'), nnx.Param), of_encoder),
    train=train,
    held_out=held_out,
    test=items.take(every[judged]),
    protocol=f'"{column}" told from the text without it; {what}',
  )


def _judged(dataset: Dataset, has_label: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
  """[N] bool, and in words what they are."""
  judged = dataset.split.cold_items & has_label
  if judged.any():
    return judged, 'items without an event before the cut'
  drawn = np.random.default_rng((seed, 7)).permutation(np.flatnonzero(has_label))
  judged[drawn[: max(1, len(drawn) // _JUDGED)]] = True
  return judged, 'items drawn at random, which pre-training may have read, as none is new'
