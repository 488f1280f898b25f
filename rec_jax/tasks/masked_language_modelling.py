"""Masked language modelling, the objective of bidirectional encoders (Devlin et al. 2019, 3.1)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.text_batches import TextBatch
from rec_jax.data.tokenizer import Vocabulary
from rec_jax.losses.language_modelling import mask_tokens, token_cross_entropy
from rec_jax.models import packing
from rec_jax.models.text_encoder import MaskedLanguageModelHead, TextEncoder
from rec_jax.tasks.pretraining import Objective


class MaskedLanguageModel(nnx.Module):
  """The encoder and its head."""

  def __init__(self, encoder: TextEncoder, *, rngs: nnx.Rngs):
    self.encoder = encoder
    embedding = encoder.token
    self.head = MaskedLanguageModelHead(embedding.num_embeddings, embedding.features, rngs=rngs)

  def __call__(
    self, batch: TextBatch, positions: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """Logits [B, P, V] of the tokens at positions [B, P] of texts [B, L]."""
    hidden = packing.token_vectors(self.encoder, *batch, rngs=rngs)
    hidden = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    return self.head(hidden, self.encoder.token.embedding[...])


def objective(vocabulary: Vocabulary, mask_rate: float) -> Objective:
  """A share of the tokens is hidden and predicted from all others.

  Args:
    vocabulary: with a token that hides others; those of its frame are never hidden.
    mask_rate: the share.

  Raises:
    ValueError: the vocabulary has no such token.
  """
  mask_id, special = vocabulary.mask, (vocabulary.pad, *vocabulary.frame)
  if mask_id is None:
    raise ValueError('masked language modelling needs a vocabulary with a mask token')

  def losses(
    model: MaskedLanguageModel,
    key: jax.Array,
    batch: TextBatch,
    rngs: nnx.Rngs | None,
  ) -> tuple[jax.Array, jax.Array]:
    # Drawn anew in every step (Liu et al. 2019, 4.1), and before texts are packed, so that the
    # same key hides the same tokens in every layout.
    masked = mask_tokens(
      key,
      batch.input_ids,
      ~jnp.isin(batch.input_ids, jnp.array(special)),
      rate=mask_rate,
      mask_id=mask_id,
      vocab_size=model.encoder.token.num_embeddings,
    )
    logits = model(batch._replace(input_ids=masked.token_ids), masked.positions, rngs)
    return token_cross_entropy(logits, masked.targets), masked.weights

  def has_target(input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    del mask
    return np.count_nonzero(~np.isin(input_ids, special), axis=1) > 0

  return Objective(
    metric='masked_lm_loss',
    target=f'a hidden token, {mask_rate:.0%} of the tokens hidden',
    has_head=True,
    model=lambda encoder, seed: MaskedLanguageModel(encoder, rngs=nnx.Rngs(seed)),
    losses=losses,
    has_target=has_target,
  )
