"""Causal language modelling, the objective of causal encoders (Radford et al. 2018, eq. 1)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data.text_batches import TextBatch
from rec_jax.losses.language_modelling import token_cross_entropy
from rec_jax.models import packing
from rec_jax.models.text_encoder import CausalLanguageModelHead, TextEncoder
from rec_jax.models.two_tower import Buffer
from rec_jax.tasks.pretraining import Objective


class CausalLanguageModel(nnx.Module):
  """The encoder and its head, with the token embedding as output matrix or one of its own."""

  def __init__(
    self, encoder: TextEncoder, output_matrix: ArrayLike | None = None, *, rngs: nnx.Rngs
  ):
    self.encoder = encoder
    embedding = encoder.token
    self.head = CausalLanguageModelHead(embedding.num_embeddings, embedding.features, rngs=rngs)
    own = None if output_matrix is None else Buffer(jnp.asarray(output_matrix))
    self.output_matrix = own

  def __call__(
    self, batch: TextBatch, rngs: nnx.Rngs | None = None
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The tokens after the first of texts or of packed rows, each from those before it.

    Returns:
      Logits [B, L - 1, V], tokens [B, L - 1] and weights [B, L - 1], or [R, W - 1] where the batch
      is packed: logits of its padding would be most of the work. A weight of 0 is padding or the
      first token of a text.
    """
    ids, mask, packed = batch
    if packed is None:
      hidden, weights = self.encoder(ids, mask, rngs), mask[:, 1:]
    else:
      hidden = packing.encode(self.encoder, ids, packed, rngs)
      # Numbers of the tokens of a text follow each other, and so may the last of one text and the
      # first of the next, which is a multiple of L.
      follows = (packed[:, 1:] == packed[:, :-1] + 1) & (packed[:, 1:] % ids.shape[1] > 0)
      ids, weights = packing.take(ids, packed), follows
    own = self.output_matrix
    matrix = self.encoder.token.embedding[...] if own is None else own[...]
    return self.head(hidden[:, :-1], matrix), ids[:, 1:], weights.astype(jnp.float32)


def objective(output_matrix: np.ndarray | None = None) -> Objective:
  """Every token after the first is predicted from those before it.

  Args:
    output_matrix: [V, H] of a published language model; None for the token embedding.
  """

  def losses(
    model: CausalLanguageModel,
    key: jax.Array,
    batch: TextBatch,
    rngs: nnx.Rngs | None,
  ) -> tuple[jax.Array, jax.Array]:
    del key
    logits, tokens, weights = model(batch, rngs)
    return token_cross_entropy(logits, tokens), weights

  return Objective(
    metric='causal_lm_loss',
    target='a token after the first, given those before it',
    has_head=True,
    model=lambda encoder, seed: CausalLanguageModel(encoder, output_matrix, rngs=nnx.Rngs(seed)),
    losses=losses,
    has_target=lambda input_ids, mask: mask.sum(1) > 1,
  )
