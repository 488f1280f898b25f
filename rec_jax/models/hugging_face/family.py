"""What a family of models has of its own: the names of its tensors and of its sizes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rec_jax.models.config import TextEncoderConfig

Path = tuple[Any, ...]
_LEAF = {'kernel': 'weight', 'scale': 'weight', 'embedding': 'weight', 'bias': 'bias'}
# Of feed-forward layers without a gate.
ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh'}


class Family(NamedTuple):
  """One table for models that differ in sizes alone.

  Attributes:
    architectures: the `model_type` of a config.json to the class that holds the bare encoder.
    sizes: the fields of a config.json to our config; pooling is not its matter.
    fixed: fields of a config.json that must have this value, or be absent.
    prefix: what stands before the names of tensors where the model has a head as well.
    outside: our modules outside of the blocks, to theirs.
    blocks: what stands before the number of a block.
    inside: our modules inside of a block, to theirs. Those that share one are split from it in
      this order, along the outputs.
    is_transposed: whether matrices are [out, in], as those of PyTorch's linear layers.
    is_tied: whether logits are by the token embedding where `tie_word_embeddings` is absent.
  """

  architectures: Mapping[str, str]
  sizes: Callable[[Mapping[str, Any]], TextEncoderConfig]
  fixed: Mapping[str, Any]
  prefix: str
  outside: Mapping[str, str]
  blocks: str
  inside: Mapping[str, str]
  is_transposed: bool = True
  is_tied: bool = True


def names(family: Family, paths: Iterable[Path]) -> dict[str, list[Path]]:
  """The family's tensors to the parameters of ours that are in each, in order along the outputs."""
  found: dict[str, list[Path]] = {}
  order = [*family.outside, *family.inside]
  for path in sorted(paths, key=lambda path: order.index(_module(path))):
    found.setdefault(_name(family, path), []).append(path)
  return found


def size(fields: Mapping[str, Any], name: str) -> int:
  """A field that has to be a positive whole number.

  Raises:
    ValueError: it is not.
  """
  value = fields[name]
  if not isinstance(value, int) or isinstance(value, bool) or value < 1:
    raise ValueError(f'{name} is {value!r}')
  return value


def _module(path: Path) -> str:
  return '/'.join(path[3:-1] if path[0] == 'transformer' else path[:-1])


def _name(family: Family, path: Path) -> str:
  module, leaf = _module(path), _LEAF[path[-1]]
  if path[0] == 'transformer':
    return f'{family.blocks}{path[2]}.{family.inside[module]}.{leaf}'
  return f'{family.outside[module]}.{leaf}'
