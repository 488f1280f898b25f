"""Parameter-efficient fine-tuning of the text encoder.

Only the upper blocks are adapted. Below them nothing changes, so that what they read is computed
once for the whole catalogue and a step costs only the upper blocks.
"""

from typing import cast

from flax import nnx

from rec_jax.models.config import TUNING_METHODS
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError

# The projections that gain a low-rank term.
_ADAPTED = ('query', 'value')


def adapt(encoder: TextEncoder, method: str, num_blocks: int, rank: int, rngs: nnx.Rngs) -> None:
  """Prepares the upper `num_blocks` blocks for fine-tuning, in place.

  Args:
    encoder: changed for 'lora', where the query and value projections gain a low-rank term that
      starts at zero (Hu et al. 2022, section 4); untouched for 'full'.
    method: one of `TUNING_METHODS`.
    num_blocks: how many of the upper blocks to adapt.
    rank: of the low-rank terms.
    rngs: stream `params`.

  Raises:
    InputError: an unknown method, or more blocks than there are.
  """
  if method not in TUNING_METHODS:
    raise InputError(
      f'unknown method "{method}"; set --config.finetune.encoder_method to one of '
      f'{", ".join(TUNING_METHODS)}'
    )
  num_layers = len(encoder.transformer.blocks)
  if not 0 <= num_blocks <= num_layers:
    raise InputError(
      f'{num_blocks} blocks of an encoder that has {num_layers}; '
      f'set --config.finetune.encoder_blocks between 0 and {num_layers}'
    )
  if method == 'full':
    return
  for block in _upper(encoder, num_blocks):
    attention = block.attention
    for name in _ADAPTED:
      base = getattr(attention, name)
      dim_in, dim_out = base.kernel.shape
      setattr(attention, name, nnx.LoRA(dim_in, rank, dim_out, base_module=base, rngs=rngs))


def merge(encoder: TextEncoder) -> None:
  """Adds every low-rank term to the matrix that it adapts, in place; the outputs stay the same."""
  for block in encoder.transformer.blocks:
    attention = block.attention
    for name in _ADAPTED:
      layer = getattr(attention, name)
      if isinstance(layer, nnx.LoRA):
        base = cast(nnx.Linear, layer.base_module)
        base.kernel[...] += layer.lora_a[...] @ layer.lora_b[...]
        setattr(attention, name, base)


def trainable(method: str, depth: int) -> nnx.filterlib.Filter:
  """The filter of what fine-tuning changes in an adapted encoder: `depth` blocks stay frozen."""
  if method == 'lora':
    return nnx.LoRAParam

  def in_upper_block(path: tuple, value: object) -> bool:
    return path[:2] == ('transformer', 'blocks') and path[2] >= depth

  return nnx.All(nnx.Param, in_upper_block)


def _upper(encoder: TextEncoder, num_blocks: int) -> list:
  blocks = list(encoder.transformer.blocks)
  return blocks[len(blocks) - num_blocks :]
