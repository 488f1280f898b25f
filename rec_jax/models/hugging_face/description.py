"""What the small files of a folder say: the family, the sizes, and how vectors are pooled."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rec_jax import files
from rec_jax.models.config import POOLINGS, TextEncoderConfig
from rec_jax.models.hugging_face.bert import BERT, ROBERTA
from rec_jax.models.hugging_face.decoder import DECODER
from rec_jax.models.hugging_face.family import Family
from rec_jax.models.hugging_face.gpt2 import GPT2
from rec_jax.types import InputError

FAMILIES = {kind: each for each in (BERT, ROBERTA, GPT2, DECODER) for kind in each.architectures}
CONFIG, POOLING, MODULES = 'config.json', '1_Pooling/config.json', 'modules.json'
# Of sentence-transformers: a word, or in older files a truth value for each mode.
_WORDS = {'mean': 'mean', 'cls': 'first', 'lasttoken': 'last'}
_SWITCHES = {
  'pooling_mode_mean_tokens': 'mean',
  'pooling_mode_cls_token': 'first',
  'pooling_mode_lasttoken': 'last',
}
_MODULES = (('Transformer', ''), ('Pooling', '1_Pooling'), ('Normalize', '2_Normalize'))


class Description(NamedTuple):
  """A model, but for its weights.

  Attributes:
    family: that it is of.
    fields: of its config.json.
    config: the same for our modules.
  """

  family: Family
  fields: Mapping[str, Any]
  config: TextEncoderConfig

  @property
  def kind(self) -> str:
    """The `model_type`."""
    return self.fields['model_type']


def read(folder: Path, pooling: str = 'auto') -> Description:
  """Reads the config of a folder.

  Args:
    folder: with a `config.json`.
    pooling: one of `POOLINGS`, or 'auto': as `1_Pooling/config.json` says, and without it the mean
      of a bidirectional encoder and the last token of a causal one.

  Raises:
    InputError: a file is missing or unreadable, the architecture is not known here, or
      `modules.json` has more make the vectors than is read.
  """
  path = folder / CONFIG
  fields = _read_json(path)
  kind = fields.get('model_type')
  if not isinstance(kind, str) or kind not in FAMILIES:
    raise InputError(f'{path}: model_type is {kind!r}; those known are {", ".join(FAMILIES)}')
  family = FAMILIES[kind]
  for field, allowed in family.fixed.items():
    if fields.get(field, allowed) != allowed:
      raise InputError(f'{path}: {field} is {fields[field]!r}; only {allowed!r} is known here')
  try:
    config = family.sizes(fields)
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f'{path}: not the config.json of a {kind} model ({error!r})') from error
  _check_modules(folder)
  if pooling == 'auto':
    pooling = _pooling(folder, config.transformer.causal)
  return Description(family, fields, dataclasses.replace(config, pooling=pooling))


def write(folder: Path, model: Description, pooling: str, length: int) -> None:
  """Writes the config of a bare encoder in float32, and what sentence-transformers asks for."""
  fields = {key: value for key, value in model.fields.items() if key != 'torch_dtype'}
  bare = {'architectures': [model.family.architectures[model.kind]], 'dtype': 'float32'}
  files.write_json(folder / CONFIG, fields | bare)
  switches = {switch: name == pooling for switch, name in _SWITCHES.items()}
  width = {'word_embedding_dimension': model.config.transformer.hidden_dim}
  (folder / POOLING).parent.mkdir()
  files.write_json(folder / POOLING, width | switches)
  files.write_json(folder / 'sentence_bert_config.json', {'max_seq_length': length})
  modules = [
    {'idx': i, 'name': str(i), 'path': path, 'type': f'sentence_transformers.models.{kind}'}
    for i, (kind, path) in enumerate(_MODULES)
  ]
  files.write_json(folder / MODULES, modules)


def _check_modules(folder: Path) -> None:
  path, known = folder / MODULES, [kind for kind, _ in _MODULES]
  if not path.is_file():
    return
  for module in _read_json(path, list):
    kind = str(module.get('type') if isinstance(module, dict) else module).rpartition('.')[2]
    if kind not in known:
      raise InputError(
        f'{path}: the module {kind} is not read, and without it vectors would be other ones; give '
        f'an encoder of {", ".join(known)} alone'
      )


def _pooling(folder: Path, causal: bool) -> str:
  path = folder / POOLING
  if not path.is_file():
    return 'last' if causal else 'mean'
  fields = _read_json(path)
  word = fields.get('pooling_mode')
  modes = [name for name, value in fields.items() if name.startswith('pooling_mode_') and value]
  found = [word] if isinstance(word, str) else word or modes
  known = [(_WORDS | _SWITCHES).get(mode) for mode in found]
  if len(known) != 1 or known[0] is None:
    raise InputError(
      f'{path}: pools by {", ".join(map(str, found)) or "nothing"}; '
      f'set --config.data.text_pooling to {" or ".join(POOLINGS)}'
    )
  return known[0]


def _read_json(path: Path, kind: type = dict) -> Any:
  try:
    fields = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError as error:
    raise InputError(
      f'{path}: no such file; a model is a folder with config.json, tokenizer.json and '
      'model.safetensors'
    ) from error
  except (OSError, ValueError) as error:
    raise InputError(f'{path}: not readable as JSON ({error!r})') from error
  if not isinstance(fields, kind):
    wanted = 'object' if kind is dict else 'array'
    raise InputError(f'{path}: a JSON {wanted} is expected, not a {type(fields).__name__}')
  return fields
