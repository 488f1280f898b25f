"""Contrastive pre-training: texts that belong together lie side by side, others apart.

A text and itself, read with other dropout (SimCSE, Gao et al. 2021, section 3), or what a user has
chosen and the item that belongs to it, see `item_pairs`. Negatives are the others of a batch. There
is no head: what is compared is what later stages read.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.text_batches import PairBatch, TextBatch
from rec_jax.losses.contrastive import info_nce
from rec_jax.models import packing
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks.pretraining import Objective
from rec_jax.types import InputError

# Usual temperatures: that of SimCSE between a text and itself; and one of items, of which the next
# is mostly chance, so that at a low one every pair that looks unlike would be a large error.
OF_TEXTS, OF_ITEMS = 0.05, 1.0


class ContrastiveModel(nnx.Module):
  """The encoder alone."""

  def __init__(self, encoder: TextEncoder):
    self.encoder = encoder

  def __call__(self, batch: TextBatch, rngs: nnx.Rngs | None = None) -> jax.Array:
    """[B, H] unit vectors of texts."""
    hidden = packing.token_vectors(self.encoder, *batch, rngs=rngs)
    return self.encoder.pool(hidden, batch.mask)


def of_texts(temperature: float) -> Objective:
  """Each text of a `TextBatch` is told from the others by a second reading of it."""

  def model(encoder: TextEncoder, seed: int) -> ContrastiveModel:
    del seed
    if encoder.dropout.rate == 0:
      raise InputError(
        'pretrain.objective is "contrastive", which reads a text twice with different dropout, but '
        'the encoder has none; set --config.pretrain.objective=pairs, or its dropout in config.json'
      )
    # A loaded encoder is in evaluation mode.
    return ContrastiveModel(nnx.view(encoder, deterministic=False))

  def losses(
    model: ContrastiveModel, key: jax.Array, batch: TextBatch, rngs: nnx.Rngs | None
  ) -> tuple[jax.Array, jax.Array]:
    del key
    first, second = model(batch, rngs), model(batch, rngs)
    # A text that occurs twice is no negative of itself.
    ids = batch.input_ids
    is_same = (ids[:, None] == ids[None]).all(-1)
    return _one_each(info_nce(first, second, temperature, is_same))

  return Objective(
    metric='contrastive_loss',
    target='a text, told from the others of its batch; without dropout both readings are the same',
    has_head=False,
    model=model,
    losses=losses,
    has_target=_has_token,
  )


def of_pairs(temperature: float, what: str) -> Objective:
  """Each item of a `PairBatch` is told from the others by the text that belongs to it.

  Args:
    temperature: of the cosines.
    what: what the items are, in words.
  """

  def losses(
    model: ContrastiveModel, key: jax.Array, batch: PairBatch, rngs: nnx.Rngs | None
  ) -> tuple[jax.Array, jax.Array]:
    del key
    is_same = batch.item[:, None] == batch.item[None]
    values = info_nce(model(batch.text, rngs), model(batch.other, rngs), temperature, is_same)
    return _one_each(values)

  return Objective(
    metric='item_loss',
    target=f'{what}, told from the others of its batch',
    has_head=False,
    model=lambda encoder, seed: ContrastiveModel(encoder),
    losses=losses,
    has_target=_has_token,
  )


def _one_each(values: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Losses [B] as one prediction a text, with weights."""
  return values[:, None], jnp.ones((len(values), 1))


def _has_token(input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
  del input_ids
  return mask.sum(1) > 0
