"""The text of a catalogue as the adapted blocks of an encoder read it, and items encoded anew."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct

from rec_jax.data.tokenizer import Tokens
from rec_jax.models import encoding
from rec_jax.models.text_encoder import TextEncoder


@struct.dataclass
class CatalogueText:
  """What the adapted blocks of the encoder read.

  Attributes:
    lower: [N, L, H], each item's text after the blocks that stay as they are.
    mask: [N, L].
    shifts: [V, N, H], from the text vector of each item to that of each of its V variants, by the
      encoder before it is adapted.
    depth: how many blocks these are; the others make text vectors of `lower`.
  """

  lower: jax.Array
  mask: jax.Array
  shifts: jax.Array
  depth: int = struct.field(pytree_node=False)


def with_variants(
  text: CatalogueText, encoder: TextEncoder, variants: Sequence[Tokens]
) -> CatalogueText:
  """The catalogue and what training may read in place of each of its texts."""
  if not variants:
    return text
  vectors = text_vectors(encoder, text)
  shifts = [encoding.text_vectors(encoder, *tokens[:2]) - vectors for tokens in variants]
  return dataclasses.replace(text, shifts=jnp.stack(shifts))


def text_vectors(encoder: TextEncoder, text: CatalogueText) -> np.ndarray:
  """[N, H] text vectors of all items by an encoder whose lower blocks made `text`."""
  rows = np.asarray(text.lower), np.asarray(text.mask)
  return encoding.upper_text_vectors(encoder, *rows, text.depth)


def choose_items(key: jax.Array, items: jax.Array, num_items: int, count: int) -> jax.Array:
  """Distinct items [count, or N if that is less]: those of a batch first, then others at random.

  Args:
    key: typed key.
    items: [B, L] int32, item index + 1, 0 for padding.
    num_items: N.
    count: how many.
  """
  in_batch = jnp.zeros(num_items).at[jnp.maximum(items - 1, 0)].max((items > 0).astype(jnp.float32))
  order = in_batch + jax.random.uniform(key, (num_items,))
  return jax.lax.top_k(order, min(count, num_items))[1]


def encode_again(
  encoder: TextEncoder, text: CatalogueText, chosen: jax.Array, rngs: nnx.Rngs | None
) -> jax.Array:
  """[n, H] text vectors of the items chosen [n], by the upper blocks as they now are."""
  mask = text.mask[chosen]
  return encoder.pool(encoder.upper(text.lower[chosen], mask, text.depth, rngs), mask)
