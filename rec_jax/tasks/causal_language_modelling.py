"""Causal language modelling, the objective of causal encoders (Radford et al. 2018, eq. 1)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.losses.language_modelling import token_cross_entropy
from rec_jax.models.text_encoder import CausalLanguageModelHead, TextEncoder
from rec_jax.models.two_tower import Buffer
from rec_jax.tasks.language_modelling import Objective


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
    self, token_ids: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """Logits [B, L - 1, V] of the tokens after the first of texts [B, L], from those before."""
    hidden = self.encoder(token_ids, mask, rngs)[:, :-1]
    own = self.output_matrix
    return self.head(hidden, self.encoder.token.embedding[...] if own is None else own[...])


def objective(output_matrix: np.ndarray | None = None) -> Objective:
  """Every token after the first is predicted from those before it.

  Args:
    output_matrix: [V, H] of a published language model; None for the token embedding.
  """

  def losses(
    model: CausalLanguageModel,
    key: jax.Array,
    input_ids: jax.Array,
    mask: jax.Array,
    rngs: nnx.Rngs | None,
  ) -> tuple[jax.Array, jax.Array]:
    del key
    values = token_cross_entropy(model(input_ids, mask, rngs), input_ids[:, 1:])
    return values, mask[:, 1:].astype(values.dtype)

  return Objective(
    name='causal',
    target='a token after the first, given those before it',
    model=lambda encoder, seed: CausalLanguageModel(encoder, output_matrix, rngs=nnx.Rngs(seed)),
    losses=losses,
    has_target=lambda input_ids, mask: mask.sum(1) > 1,
  )
