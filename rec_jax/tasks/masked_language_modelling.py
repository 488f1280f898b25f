"""Masked language modelling, the objective of bidirectional encoders (Devlin et al. 2019, 3.1)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.tokenizer import Vocabulary
from rec_jax.losses.language_modelling import mask_tokens, token_cross_entropy
from rec_jax.models.text_encoder import MaskedLanguageModelHead, TextEncoder
from rec_jax.tasks.language_modelling import Objective


class MaskedLanguageModel(nnx.Module):
  """The encoder and its head."""

  def __init__(self, encoder: TextEncoder, *, rngs: nnx.Rngs):
    self.encoder = encoder
    embedding = encoder.token
    self.head = MaskedLanguageModelHead(embedding.num_embeddings, embedding.features, rngs=rngs)

  def __call__(
    self, token_ids: jax.Array, mask: jax.Array, positions: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """Logits [B, P, V] of the tokens at positions [B, P] of texts [B, L]."""
    hidden = self.encoder(token_ids, mask, rngs)
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
    input_ids: jax.Array,
    mask: jax.Array,
    rngs: nnx.Rngs | None,
  ) -> tuple[jax.Array, jax.Array]:
    masked = mask_tokens(
      key,
      input_ids,
      ~jnp.isin(input_ids, jnp.array(special)),
      rate=mask_rate,
      mask_id=mask_id,
      vocab_size=model.encoder.token.num_embeddings,
    )
    logits = model(masked.token_ids, mask, masked.positions, rngs)
    return token_cross_entropy(logits, masked.targets), masked.weights

  def has_target(input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    del mask
    return np.count_nonzero(~np.isin(input_ids, special), axis=1) > 0

  return Objective(
    name='masked',
    target=f'a hidden token, {mask_rate:.0%} of the tokens hidden',
    model=lambda encoder, seed: MaskedLanguageModel(encoder, rngs=nnx.Rngs(seed)),
    losses=losses,
    has_target=has_target,
  )
