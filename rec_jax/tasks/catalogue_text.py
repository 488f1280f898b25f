"""The text of a catalogue as the adapted blocks of an encoder read it, and items encoded anew."""

import dataclasses
import logging
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct

from rec_jax import host
from rec_jax.data.tokenizer import Tokens
from rec_jax.models import encoding
from rec_jax.models.text_encoder import TextEncoder

# What `CatalogueText.rows` may hold of a text.
ACTIVATIONS, TOKENS, VECTORS = 'activations', 'tokens', 'vectors'
# Bytes of activations that are kept, those of 87,000 texts of 32 tokens in a width of 384, and of
# the memory of the machine.
_MOST_BYTES, _SHARE = 2**32, 0.125

logger = logging.getLogger(__name__)


@struct.dataclass
class CatalogueText:
  """What text vectors are made of while an encoder is tuned.

  Attributes:
    rows: [N, L, H], each item's text after the blocks that stay as they are. Where these would take
      too much memory, the tokens [N, L] to compute them from whenever they are read, or, if no
      block is tuned, the text vectors themselves [N, H].
    mask: [N, L].
    shifts: [V, N, H], from the text vector of each item to that of each of its V variants, by the
      encoder before it is adapted.
    depth: how many blocks stay as they are; the others make text vectors of what these leave.
    kind: ACTIVATIONS, TOKENS or VECTORS.
  """

  rows: jax.Array
  mask: jax.Array
  shifts: jax.Array
  depth: int = struct.field(pytree_node=False)
  kind: str = struct.field(pytree_node=False, default=ACTIVATIONS)


def make(
  encoder: TextEncoder, input_ids: np.ndarray, mask: np.ndarray, depth: int, is_tuned: bool
) -> CatalogueText:
  """Texts without variants, with as much computed beforehand as memory allows.

  Args:
    encoder: before it is adapted.
    input_ids: [N, L] int32.
    mask: [N, L].
    depth: how many of its blocks stay as they are.
    is_tuned: whether the others do not.
  """
  width = encoder.token.features
  size, kind = 4 * input_ids.size * width, ACTIVATIONS
  if size <= min(_MOST_BYTES, _SHARE * host.memory()):
    rows = encoding.lower_activations(encoder, input_ids, mask, depth)
  elif is_tuned:
    kind, rows = TOKENS, input_ids
    logger.info(
      'activations of %d texts would take %.1f GB: computed anew for the texts that are read',
      *(len(mask), size / 1e9),
    )
  else:
    kind, rows = VECTORS, encoding.text_vectors(encoder, input_ids, mask)
    logger.info(
      'activations of %d texts would take %.1f GB: only text vectors are kept',
      *(len(mask), size / 1e9),
    )
  no_shifts = jnp.zeros((0, len(mask), width))
  return CatalogueText(jnp.asarray(rows), jnp.asarray(mask), no_shifts, depth, kind)


def text_vectors(encoder: TextEncoder, text: CatalogueText) -> np.ndarray:
  """[N, H] text vectors of all items by an encoder whose lower blocks made `text`."""
  rows, mask = np.asarray(text.rows), np.asarray(text.mask)
  if text.kind == VECTORS:
    return rows
  if text.kind == TOKENS:
    return encoding.text_vectors(encoder, rows, mask)
  return encoding.upper_text_vectors(encoder, rows, mask, text.depth)


def with_variants(
  text: CatalogueText, encoder: TextEncoder, variants: Sequence[Tokens]
) -> CatalogueText:
  """The catalogue and what training may read in place of each of its texts."""
  if not variants:
    return text
  vectors = text_vectors(encoder, text)
  shifts = [encoding.text_vectors(encoder, *tokens[:2]) - vectors for tokens in variants]
  return dataclasses.replace(text, shifts=jnp.stack(shifts))


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
  rows, mask = text.rows[chosen], text.mask[chosen]
  if text.kind == TOKENS:
    # Blocks that are not tuned have no dropout, as if what they leave had been kept.
    rows = nnx.view(encoder, deterministic=True).lower(rows, mask, text.depth)
  return encoder.pool(encoder.upper(rows, mask, text.depth, rngs), mask)
