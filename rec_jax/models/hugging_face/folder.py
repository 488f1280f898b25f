"""A folder in the Hugging Face layout to a text encoder, and back."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax import files
from rec_jax.models.config import POOLINGS
from rec_jax.models.hugging_face import description, tensors
from rec_jax.models.hugging_face.description import Description
from rec_jax.models.hugging_face.family import Family, names
from rec_jax.models.hugging_face.tensors import Stored
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError

_TOKENIZER_FILES = (
  *('tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'),
  *('vocab.txt', 'vocab.json', 'merges.txt', 'tokenizer.model', 'sentencepiece.bpe.model'),
)
# What older files keep in a block beside its weights: masks and angles that follow from the sizes.
_DERIVED = ('attn.bias', 'attn.masked_bias', 'rotary_emb.inv_freq')


def check(folder: Path) -> None:
  """Looks whether the tensors are those that the config asks for; reads no more than headers.

  Raises:
    InputError: of the config, or a tensor is missing or misshapen, or has no place in a block.
  """
  model = description.read(folder, POOLINGS[0])
  _, state = nnx.split(_abstract(model))
  _places(folder, model, state)


def load(folder: Path, pooling: str = 'auto') -> TextEncoder:
  """The text encoder in a folder, in float32.

  Args:
    folder: with `config.json` and `model.safetensors`, or several such files and their index.
    pooling: as in `description.read`.

  Raises:
    InputError: as in `check`.
  """
  model = description.read(folder, pooling)
  graphdef, state = nnx.split(_abstract(model))
  values: dict[tuple, jax.Array] = {}
  for stored, paths in _places(folder, model, state):
    value = tensors.read(stored)
    value = value.T if _is_transposed(model.family, paths) else value
    for path, part in zip(paths, np.split(value, len(paths), axis=-1), strict=True):
      values[path] = jnp.asarray(part)
  loaded = [(path, each.replace(values[path])) for path, each in nnx.to_flat_state(state)]
  return nnx.merge(graphdef, nnx.from_flat_state(loaded))


def output_matrix(folder: Path) -> np.ndarray | None:
  """[V, H], by which a language model in a folder makes logits if not by its token embedding.

  Raises:
    InputError: it is misshapen, or the files are as in `check`.
  """
  model = description.read(folder, POOLINGS[0])
  stored = tensors.find(folder).get('lm_head.weight')
  if stored is None or model.fields.get('tie_word_embeddings', model.family.is_tied):
    return None
  _check_shape(stored, (model.config.vocab_size, model.config.transformer.hidden_dim))
  return tensors.read(stored)


def save(encoder: TextEncoder, source: Path, output: Path, length: int) -> None:
  """Writes a folder that other libraries read: the bare encoder in float32, without a head.

  Args:
    encoder: of the sizes of the model in `source`, without adapters.
    source: the folder that it began as, whose config and tokenizer are copied.
    output: is made, and is there only when whole.
    length: tokens that texts are cut at.

  Raises:
    InputError: `source` is damaged, or there is something at `output`.
  """
  if output.is_file() or (output.is_dir() and any(output.iterdir())):
    raise InputError(f'{output} is there already: give another --output')
  model = description.read(source, encoder.pooling)
  values = dict(nnx.to_flat_state(nnx.state(encoder, nnx.Param)))
  stored = {}
  for name, paths in names(model.family, values).items():
    value = np.concatenate([np.asarray(values[path][...]) for path in paths], axis=-1)
    stored[name] = value.T.copy() if _is_transposed(model.family, paths) else value
  with files.replacing_directory(output) as partial:
    partial.mkdir(parents=True)
    description.write(partial, model, encoder.pooling, length)
    for name in _TOKENIZER_FILES:
      if (source / name).is_file():
        shutil.copyfile(source / name, partial / name)
    tensors.write(partial, stored)


def _abstract(model: Description) -> TextEncoder:
  return nnx.eval_shape(lambda: TextEncoder(model.config, rngs=nnx.Rngs(0)))


def _is_transposed(family: Family, paths: list[tuple]) -> bool:
  return family.is_transposed and paths[0][-1] == 'kernel'


def _places(folder: Path, model: Description, state: nnx.State) -> list[tuple[Stored, list[tuple]]]:
  """Each tensor of the encoder, with the parameters of ours that it holds."""
  main, family = tensors.main_file(folder), model.family
  prefix, found = family.prefix, tensors.find(folder)
  found = {name.removeprefix(prefix): each for name, each in found.items()}
  shapes = {path: variable.shape for path, variable in nnx.to_flat_state(state)}
  wanted = names(family, shapes)
  places = []
  for name, paths in wanted.items():
    if name not in found:
      raise InputError(
        f'{main}: tensor {name} is missing; give the weights of the {model.kind} of config.json'
      )
    shape = (*shapes[paths[0]][:-1], sum(shapes[path][-1] for path in paths))
    _check_shape(found[name], shape[::-1] if _is_transposed(family, paths) else shape)
    places.append((found[name], paths))
  left = [name for name in sorted(found) if name.startswith(family.blocks) and name not in wanted]
  left = [name for name in left if not name.endswith(_DERIVED)]
  if left:
    raise InputError(f'{main}: tensor {left[0]} has no place in the model of config.json')
  return places


def _check_shape(stored: Stored, wanted: tuple[int, ...]) -> None:
  if stored.shape != wanted:
    raise InputError(
      f'{stored.file}: tensor {stored.name} has shape {stored.shape}, config.json asks {wanted}'
    )
