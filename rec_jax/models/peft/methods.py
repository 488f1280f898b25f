"""The ways to tune a text encoder: what each adds to the upper blocks, and what of them trains.

Only the upper blocks are adapted. Below them nothing changes, so that what they read is computed
once for the whole catalogue and a step costs only the upper blocks.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.peft.added import Adapter, Added, DoRA, lora
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.transformer import Block, Prefix, Prompt
from rec_jax.types import InputError

# (encoder, number of blocks that stay as they are, rank, rngs) -> None, in place.
Adapt = Callable[[TextEncoder, int, int, nnx.Rngs], None]


class Method(NamedTuple):
  """One way to tune.

  Attributes:
    adapt: adds what the method adds to the blocks from a depth on.
    trains: path of a parameter within a block that the encoder had before -> whether it trains.
      What was added always does.
    starts_equal: whether the adapted encoder starts as the one that it was.
    merges: whether what was learnt can become weights of the encoder as it was, see `merge`.
  """

  adapt: Adapt
  trains: Callable[[tuple], bool]
  starts_equal: bool = True
  merges: bool = True


def adapt(encoder: TextEncoder, method: str, num_blocks: int, rank: int, rngs: nnx.Rngs) -> None:
  """Prepares the upper `num_blocks` blocks for tuning, in place.

  Args:
    encoder: gains what the method adds.
    method: one of `METHODS`.
    num_blocks: how many of the upper blocks to adapt.
    rank: of 'lora' and 'dora', on the query and value projections (Hu et al. 2022, section 4.2);
      the width of each 'adapter', after attention and after the feed-forward layer; how many
      vectors 'prefix' gives each block and 'prompt' the lowest of them. All are the bottleneck of
      one form (He et al. 2022).
    rngs: stream `params`.

  Raises:
    InputError: an unknown method, or more blocks than there are.
  """
  chosen = _method(method)
  num_layers = len(encoder.transformer.blocks)
  if not 0 < num_blocks <= num_layers:
    raise InputError(
      f'{num_blocks} blocks of an encoder that has {num_layers}; '
      f'set --config.finetune.encoder_blocks between 1 and {num_layers}'
    )
  chosen.adapt(encoder, num_layers - num_blocks, rank, rngs)


def depth(encoder: TextEncoder, method: str, num_blocks: int) -> int:
  """How many of the lower blocks tuning leaves as they are: all of them if none trains."""
  num_layers = len(encoder.transformer.blocks)
  return num_layers if method == 'frozen' else max(0, num_layers - num_blocks)


def trainable(method: str, depth: int) -> nnx.filterlib.Filter:
  """The filter of what tuning changes in an encoder adapted above `depth` blocks."""
  trains = _method(method).trains

  def in_upper_block(path: tuple, value: object) -> bool:
    # The encoder may be a part of a model, whose paths lead to it.
    if _BLOCKS not in path:
      return False
    number, *inside = path[path.index(_BLOCKS) + 1 :]
    return number >= depth and trains(tuple(inside))

  return nnx.Any(Added, nnx.All(nnx.Param, in_upper_block))


def merge(encoder: TextEncoder) -> None:
  """Moves what was added into the weights that it adapts, in place; the outputs stay the same.

  Raises:
    InputError: the encoder gained what its weights have no place for.
  """
  _replace(encoder, 0, _PROJECTIONS, _merged)
  if left := nnx.to_flat_state(nnx.state(encoder, Added)):
    place = '/'.join(map(str, left[0][0]))
    raise InputError(
      f'the weights of this encoder have no place for {place}, which it gained in tuning: '
      f'set --config.finetune.encoder_method to {" or ".join(_MERGED)}'
    )


def _add_nothing(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  del encoder, depth, rank, rngs


def _add_lora(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  _replace(encoder, depth, _PROJECTIONS, lambda base: lora(base, rank, rngs))


def _add_dora(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  _replace(encoder, depth, _PROJECTIONS, lambda base: DoRA(base, rank, rngs=rngs))


def _add_adapters(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  _replace(encoder, depth, _SUBLAYERS, lambda base: Adapter(base, rank, rngs=rngs))


def _add_prefix(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  """Keys and values of each block (Li & Liang 2021), those of words as it starts (4.3 there).

  They are learnt as they are, not through a network that makes them.
  """
  for block, x in zip(_upper(encoder, depth), _words(encoder, depth, rank, rngs), strict=True):
    attention = block.attention
    _, key, value = attention.project(block.attention_norm(x) if block.norm_first else x)
    attention.prefix = Prefix(Added(key[:, 0]), Added(value[:, 0]))


def _add_prompt(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  """Vectors before the text (Lester et al. 2021), words as they start (section 3.2 there).

  They stand at the input of the lowest adapted block: theirs, the input of the encoder, if that is
  the first.
  """
  words = _words(encoder, depth, rank, rngs)[0]
  encoder.transformer.prompt = Prompt(Added(words[:, 0]), depth)


def _add_biases(encoder: TextEncoder, depth: int, rank: int, rngs: nnx.Rngs) -> None:
  """Zeros, where a linear map of these blocks has no bias: decoders often have none at all."""
  del rank, rngs
  for block in _upper(encoder, depth):
    for _, layer in nnx.iter_modules(block):
      if isinstance(layer, nnx.Linear) and layer.bias is None:
        layer.bias, layer.use_bias = Added(jnp.zeros(layer.out_features)), True


def _words(encoder: TextEncoder, depth: int, num: int, rngs: nnx.Rngs) -> list[jax.Array]:
  """What each upper block reads of words of the vocabulary, each a text of its own: [num, 1, D]."""
  ids = jax.random.randint(rngs.params(), (num, 1), 0, encoder.token.num_embeddings)
  return _activations(nnx.view(encoder, deterministic=True), ids, depth)


@nnx.jit(static_argnames='depth')
def _activations(encoder: TextEncoder, ids: jax.Array, depth: int) -> list[jax.Array]:
  mask = jnp.ones_like(ids)
  found = [encoder.lower(ids, mask, depth)]
  for number in range(depth, len(encoder.transformer.blocks) - 1):
    found.append(encoder.transformer(found[-1], mask, first=number, end=number + 1))
  return found


def _merged(layer: nnx.Module) -> nnx.Module:
  """The linear map that a layer is; the layer itself if it has gained nothing."""
  if isinstance(layer, nnx.LoRA):
    base = cast(nnx.Linear, layer.base_module)
    base.kernel[...] += layer.lora_a[...] @ layer.lora_b[...]
    return base
  if isinstance(layer, DoRA):
    layer.base_module.kernel[...] = layer.merged_kernel()
    return layer.base_module
  return layer


def _replace(
  encoder: TextEncoder,
  depth: int,
  places: Sequence[tuple[str, ...]],
  replacement: Callable[[Any], nnx.Module],
) -> None:
  """Puts another layer in the place of some of each upper block."""
  for block in _upper(encoder, depth):
    for *holders, name in places:
      holder = functools.reduce(getattr, holders, block)
      setattr(holder, name, replacement(getattr(holder, name)))


def _upper(encoder: TextEncoder, depth: int) -> Sequence[Block]:
  return encoder.transformer.blocks[depth:]


def _none(path: tuple) -> bool:
  del path
  return False


METHODS: Mapping[str, Method] = {
  'frozen': Method(_add_nothing, _none),
  'lora': Method(_add_lora, _none),
  'dora': Method(_add_dora, _none),
  'adapter': Method(_add_adapters, _none, merges=False),
  'prefix': Method(_add_prefix, _none, starts_equal=False, merges=False),
  'prompt': Method(_add_prompt, _none, starts_equal=False, merges=False),
  # BitFit (Ben Zaken et al. 2022).
  'bias': Method(_add_biases, lambda path: path[-1] == 'bias', merges=False),
  'full': Method(_add_nothing, lambda path: True),
}
# Where a block hands on what it computed, and the projections that low-rank terms are beside.
_SUBLAYERS = (('attention', 'out'), ('mlp_out',))
_PROJECTIONS = (('attention', 'query'), ('attention', 'value'))
_BLOCKS = 'blocks'
_MERGED = [name for name, method in METHODS.items() if method.merges]


def _method(name: str) -> Method:
  if name not in METHODS:
    raise InputError(
      f'unknown method "{name}"; set --config.finetune.encoder_method to one of '
      f'{", ".join(METHODS)}'
    )
  return METHODS[name]
