"""Published weights for the text encoder: BERT checkpoints as safetensors."""

import json
import os
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import nnx
from safetensors.numpy import load_file

from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError


def load_bert(weights: str | os.PathLike, config: str | os.PathLike) -> TextEncoder:
  """Builds a text encoder from a BERT checkpoint.

  Args:
    weights: safetensors file with the tensor names of BERT, without a `bert.` prefix.
    config: the `config.json` that goes with it.

  Returns:
    The encoder, with the sizes that `config` states.

  Raises:
    InputError: a file is missing or unreadable, a tensor is missing or has another shape, or the
      file has more layers than `config` states.
  """
  encoder_config = read_config(config)
  encoder = nnx.eval_shape(lambda: TextEncoder(encoder_config, rngs=nnx.Rngs(0)))
  tensors = _read_tensors(weights)
  graphdef, state = nnx.split(encoder)
  loaded = [
    (path, variable.replace(_tensor(tensors, path, variable.shape, weights)))
    for path, variable in nnx.to_flat_state(state)
  ]
  _check_no_layer_is_left(tensors, (path for path, _ in loaded), weights)
  return nnx.merge(graphdef, nnx.from_flat_state(loaded))


def read_config(path: str | os.PathLike) -> TextEncoderConfig:
  """Reads the sizes of a BERT model from its `config.json`."""
  try:
    with open(path, encoding='utf-8') as file:
      fields = json.load(file)
    return TextEncoderConfig(
      vocab_size=fields['vocab_size'],
      max_length=fields['max_position_embeddings'],
      num_types=fields['type_vocab_size'],
      transformer=TransformerConfig(
        num_layers=fields['num_hidden_layers'],
        num_heads=fields['num_attention_heads'],
        hidden_dim=fields['hidden_size'],
        mlp_dim=fields['intermediate_size'],
        dropout_rate=fields['hidden_dropout_prob'],
        norm_epsilon=fields['layer_norm_eps'],
      ),
    )
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(f'{path}: not the config.json of a BERT model ({error!r})') from error


_LAYER = {
  'attention/query': 'attention.self.query',
  'attention/key': 'attention.self.key',
  'attention/value': 'attention.self.value',
  'attention/out': 'attention.output.dense',
  'attention_norm': 'attention.output.LayerNorm',
  'mlp_in': 'intermediate.dense',
  'mlp_out': 'output.dense',
  'mlp_norm': 'output.LayerNorm',
}
_EMBEDDINGS = {
  'token': 'word_embeddings',
  'position': 'position_embeddings',
  'type': 'token_type_embeddings',
  'norm': 'LayerNorm',
}
_LEAF = {'kernel': 'weight', 'scale': 'weight', 'embedding': 'weight', 'bias': 'bias'}


def bert_name(path: tuple) -> str:
  """BERT's name of one of our parameters.

  >>> bert_name(('transformer', 'blocks', 0, 'attention', 'query', 'kernel'))
  'encoder.layer.0.attention.self.query.weight'
  """
  *module, leaf = path
  if module[0] == 'transformer':
    _, _, layer, *rest = module
    return f'encoder.layer.{layer}.{_LAYER["/".join(rest)]}.{_LEAF[leaf]}'
  return f'embeddings.{_EMBEDDINGS[module[0]]}.{_LEAF[leaf]}'


def _read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
  try:
    return load_file(path)
  except (OSError, safetensors.SafetensorError) as error:
    raise InputError(f'{path}: not a readable safetensors file ({error})') from error


def _tensor(tensors: dict, path: tuple, shape: tuple, source: str | os.PathLike) -> jax.Array:
  name = bert_name(path)
  if name not in tensors:
    raise InputError(f'{source}: tensor {name} is missing; use the weights of a BERT model')
  # PyTorch keeps linear weights as [out, in].
  is_kernel = path[-1] == 'kernel'
  value, wanted = tensors[name], shape[::-1] if is_kernel else shape
  if value.shape != wanted:
    raise InputError(f'{source}: tensor {name} has shape {value.shape}, config.json asks {wanted}')
  return jnp.asarray(value.T if is_kernel else value, jnp.float32)


def _check_no_layer_is_left(
  tensors: dict, paths: Iterable[tuple], source: str | os.PathLike
) -> None:
  left = {name for name in tensors if name.startswith('encoder.')} - set(map(bert_name, paths))
  if left:
    raise InputError(f'{source}: tensor {min(left)} has no place in the model of config.json')
