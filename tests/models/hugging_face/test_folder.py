"""Every parameter from the tensor of its name, and one line for every broken folder."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rec_jax.models.hugging_face import description, folder
from rec_jax.models.hugging_face.bert import BERT
from rec_jax.models.hugging_face.family import names
from rec_jax.types import InputError
from tests.models import modules

GOLDEN = pathlib.Path(__file__).parents[2] / 'data/encoders'
CONFIG = {
  'model_type': 'bert',
  'vocab_size': 11,
  'max_position_embeddings': 7,
  'type_vocab_size': 2,
  'num_hidden_layers': 2,
  'num_attention_heads': 2,
  'hidden_size': 4,
  'intermediate_size': 6,
  'hidden_dropout_prob': 0.1,
  'layer_norm_eps': 1e-12,
}
# As in BERT checkpoints; linear weights are [out, in].
EMBEDDINGS = {
  'word_embeddings.weight': (11, 4),
  'position_embeddings.weight': (7, 4),
  'token_type_embeddings.weight': (2, 4),
  'LayerNorm.weight': (4,),
  'LayerNorm.bias': (4,),
}
LAYER = {
  'attention.self.query.weight': (4, 4),
  'attention.self.query.bias': (4,),
  'attention.self.key.weight': (4, 4),
  'attention.self.key.bias': (4,),
  'attention.self.value.weight': (4, 4),
  'attention.self.value.bias': (4,),
  'attention.output.dense.weight': (4, 4),
  'attention.output.dense.bias': (4,),
  'attention.output.LayerNorm.weight': (4,),
  'attention.output.LayerNorm.bias': (4,),
  'intermediate.dense.weight': (6, 4),
  'intermediate.dense.bias': (6,),
  'output.dense.weight': (4, 6),
  'output.dense.bias': (4,),
  'output.LayerNorm.weight': (4,),
  'output.LayerNorm.bias': (4,),
}
SHAPES = {f'embeddings.{name}': shape for name, shape in EMBEDDINGS.items()} | {
  f'encoder.layer.{i}.{name}': shape for i in range(2) for name, shape in LAYER.items()
}


def tensors():
  rng = np.random.default_rng(0)
  return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def write(directory, weights, config=CONFIG):
  """A small folder with what published ones carry besides the encoder."""
  extra = {
    'embeddings.position_ids': np.arange(7)[None],
    'pooler.dense.weight': np.zeros((4, 4), np.float32),
  }
  save_file(weights | extra, directory / 'model.safetensors')
  (directory / 'config.json').write_text(json.dumps(config))
  return directory


def rejected(directory, read=folder.check):
  with pytest.raises(InputError) as caught:
    read(directory)
  message = str(caught.value)
  assert '\n' not in message
  return message


def test_every_parameter_is_the_tensor_of_its_own_name(tmp_path):
  weights = tensors()
  encoder = folder.load(write(tmp_path, weights))
  parameters = modules.flat(encoder)
  found = names(BERT, parameters)
  assert sorted(found) == sorted(SHAPES)
  for name, (path,) in found.items():
    weight = weights[name].T if path[-1] == 'kernel' else weights[name]
    np.testing.assert_array_equal(parameters[path], weight, name)


def test_half_precision_weights_become_float32(tmp_path):
  weights = tensors()
  halves = {name: value.astype(np.float16) for name, value in weights.items()}
  encoder = folder.load(write(tmp_path, halves))
  assert {value.dtype for value in modules.flat(encoder).values()} == {np.dtype('float32')}


@pytest.mark.parametrize(
  'name', ['embeddings.LayerNorm.bias', 'encoder.layer.1.intermediate.dense.weight']
)
def test_a_missing_tensor_is_named(tmp_path, name):
  weights = tensors()
  del weights[name]
  file = write(tmp_path, weights) / 'model.safetensors'
  assert rejected(tmp_path).startswith(f'{file}: tensor {name} is missing')


def test_a_misshapen_tensor_is_named_with_both_shapes(tmp_path):
  name = 'encoder.layer.0.output.dense.weight'
  weights = tensors()
  weights[name] = weights[name].T.copy()
  file = write(tmp_path, weights) / 'model.safetensors'
  message = rejected(tmp_path)
  assert message.startswith(f'{file}: tensor {name} has shape (6, 4)')
  assert '(4, 6)' in message


def test_integers_are_no_weights(tmp_path):
  name = 'embeddings.word_embeddings.weight'
  write(tmp_path, tensors() | {name: np.zeros((11, 4), np.int8)})
  assert f'tensor {name} is missing' in rejected(tmp_path)


def test_more_layers_than_the_config_has_are_not_cut_off(tmp_path):
  write(tmp_path, tensors(), CONFIG | {'num_hidden_layers': 1})
  message = rejected(tmp_path)
  assert message.startswith(f'{tmp_path}/model.safetensors: tensor encoder.layer.1.')
  assert message.endswith('has no place in the model of config.json')


def test_fewer_layers_than_the_config_has_are_a_missing_tensor(tmp_path):
  write(tmp_path, tensors(), CONFIG | {'num_hidden_layers': 3})
  assert rejected(tmp_path).startswith(f'{tmp_path}/model.safetensors: tensor encoder.layer.2.')


@pytest.mark.parametrize('keep', [0, 5, 300, -4])
def test_a_truncated_file_is_refused(tmp_path, keep):
  file = write(tmp_path, tensors()) / 'model.safetensors'
  file.write_bytes(file.read_bytes()[:keep])
  assert rejected(tmp_path).startswith(f'{file}: not a readable safetensors file')


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path):
  assert rejected(tmp_path).startswith(f'{tmp_path}/config.json: no such file; a model is a folder')
  write(tmp_path, tensors())
  (tmp_path / 'model.safetensors').unlink()
  assert rejected(tmp_path).startswith(f'{tmp_path}/model.safetensors: not a readable')


@pytest.mark.parametrize(
  ('content', 'hint'),
  [
    (b'', 'not readable as JSON'),
    (b'\xff\xfe\x00', 'utf-8'),
    (b'[1, 2]', 'a JSON object is expected, not a list'),
    (b'{"vocab_size": 11}', 'model_type is None; those known are bert, roberta, xlm-roberta, gpt2'),
    (json.dumps(CONFIG | {'model_type': 't5'}).encode(), "model_type is 't5'; those known are"),
    (json.dumps(CONFIG | {'model_type': ['bert']}).encode(), 'those known are bert'),
    (json.dumps(CONFIG | {'num_attention_heads': 3}).encode(), 'num_heads is 3'),
    (json.dumps(CONFIG | {'hidden_size': '4'}).encode(), "hidden_size is '4'"),
    (json.dumps(CONFIG | {'vocab_size': 0}).encode(), 'vocab_size is 0'),
    (json.dumps(CONFIG | {'hidden_act': 'relu'}).encode(), "KeyError('relu')"),
    (json.dumps({k: v for k, v in CONFIG.items() if k != 'layer_norm_eps'}).encode(), 'layer_norm'),
    (
      json.dumps(CONFIG | {'position_embedding_type': 'relative_key'}).encode(),
      "position_embedding_type is 'relative_key'; only 'absolute' is known here",
    ),
  ],
)
def test_a_wrong_config_is_refused(tmp_path, content, hint):
  (write(tmp_path, tensors()) / 'config.json').write_bytes(content)
  message = rejected(tmp_path)
  assert message.startswith(f'{tmp_path}/config.json: ')
  assert hint in message


def copy(tmp_path, name, **fields):
  """A golden folder with other fields in its config; None takes one out."""
  target = tmp_path / name
  shutil.copytree(GOLDEN / name, target, dirs_exist_ok=True)
  config = json.loads((target / 'config.json').read_text()) | fields
  config = {name: value for name, value in config.items() if value is not None}
  (target / 'config.json').write_text(json.dumps(config))
  return target


def test_a_missing_shard_and_a_broken_index_are_refused(tmp_path):
  target = copy(tmp_path, 'qwen2')
  (target / 'model-00002-of-00002.safetensors').unlink()
  assert rejected(target).startswith(f'{target}/model-00002-of-00002.safetensors: not a readable')
  index = target / 'model.safetensors.index.json'
  index.write_text('{"weight_map": []}')
  assert rejected(target).startswith(f'{index}: not an index of safetensors files')


def test_rotary_positions_are_read_as_older_files_name_them(tmp_path):
  new = description.read(GOLDEN / 'llama').config
  found = json.loads((GOLDEN / 'llama/config.json').read_text())['rope_parameters']
  base = found.pop('rope_theta')
  older = copy(tmp_path, 'llama', rope_parameters=None, rope_theta=base, rope_scaling=found)
  assert new.transformer.rotary_scaling is not None
  assert description.read(older).config == new
  unscaled = copy(tmp_path, 'llama', rope_parameters=None, rope_scaling=None, rope_theta=5e5)
  assert description.read(unscaled).config.transformer.rotary_base == 5e5
  assert description.read(unscaled).config.transformer.rotary_scaling is None
  strange = copy(tmp_path, 'llama', rope_parameters=found | {'rope_type': 'yarn'})
  assert "rope_type is 'yarn'" in rejected(strange)


def test_a_window_ends_the_positions(tmp_path):
  windowed = copy(tmp_path, 'qwen2', use_sliding_window=True, sliding_window=20)
  assert description.read(windowed).config.max_length == 20
  assert description.read(GOLDEN / 'qwen2').config.max_length == 64


def pooling_file(directory, fields):
  (directory / '1_Pooling').mkdir(exist_ok=True)
  (directory / description.POOLING).write_text(json.dumps(fields))


@pytest.mark.parametrize(
  ('fields', 'pooling'),
  [
    ({'pooling_mode_cls_token': True, 'pooling_mode_mean_tokens': False}, 'first'),
    ({'pooling_mode_cls_token': False, 'pooling_mode_mean_tokens': True}, 'mean'),
    ({'pooling_mode_lasttoken': True}, 'last'),
    ({'pooling_mode': 'cls'}, 'first'),
    ({'pooling_mode': ['lasttoken'], 'include_prompt': True}, 'last'),
  ],
)
def test_pooling_is_as_the_folder_says_unless_asked_otherwise(tmp_path, fields, pooling):
  target = copy(tmp_path, 'bert')
  assert description.read(target).config.pooling == 'mean'
  pooling_file(target, fields)
  assert description.read(target).config.pooling == pooling
  assert description.read(target, 'mean').config.pooling == 'mean'
  assert description.read(GOLDEN / 'gpt2').config.pooling == 'last'


@pytest.mark.parametrize(
  'fields',
  [
    {'pooling_mode_max_tokens': True},
    {'pooling_mode_cls_token': True, 'pooling_mode_mean_tokens': True},
    {'pooling_mode': ['mean', 'cls']},
    {},
  ],
)
def test_pooling_that_is_not_known_is_refused(tmp_path, fields):
  target = copy(tmp_path, 'bert')
  pooling_file(target, fields)
  assert 'set --config.data.text_pooling to mean or first or last' in rejected(
    target, description.read
  )
  assert description.read(target, 'first').config.pooling == 'first'


def modules_file(directory, *kinds):
  modules = [{'idx': i, 'type': f'sentence_transformers.models.{k}'} for i, k in enumerate(kinds)]
  (directory / description.MODULES).write_text(json.dumps(modules))


def test_what_makes_other_vectors_is_refused(tmp_path):
  target = copy(tmp_path, 'bert')
  modules_file(target, 'Transformer', 'Pooling', 'Normalize')
  folder.check(target)
  modules_file(target, 'Transformer', 'Pooling', 'Dense', 'Normalize')
  assert rejected(target).startswith(f'{target}/modules.json: the module Dense is not read')
  (target / description.MODULES).write_text('{}')
  assert 'a JSON array is expected, not a dict' in rejected(target)
  both_ways = copy(tmp_path, 'qwen2', is_causal=False)
  assert 'is_causal is False; only True is known here' in rejected(both_ways)


def test_an_output_that_is_there_is_left(tmp_path):
  encoder = folder.load(GOLDEN / 'xlm_roberta')
  (tmp_path / 'file').write_text('mine')
  assert 'is there already' in rejected(
    tmp_path, lambda output: folder.save(encoder, GOLDEN / 'xlm_roberta', output, 24)
  )
  assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_an_output_matrix_that_is_tied_is_not_read(tmp_path):
  own = folder.output_matrix(GOLDEN / 'llama')
  file = load_file(GOLDEN / 'llama/model.safetensors')
  np.testing.assert_array_equal(own, file['lm_head.weight'])
  assert folder.output_matrix(copy(tmp_path, 'llama', tie_word_embeddings=True)) is None
  assert folder.output_matrix(GOLDEN / 'gpt2') is None
  # As transformers has it where the config does not say: GPT-2 is tied, the others are not.
  untold = copy(tmp_path / 'b', 'llama', tie_word_embeddings=None)
  np.testing.assert_array_equal(folder.output_matrix(untold), own)
  untold = copy(tmp_path / 'b', 'gpt2', tie_word_embeddings=None)
  stored = load_file(untold / 'model.safetensors')
  stored['lm_head.weight'] = stored['transformer.wte.weight'] + 1
  save_file(stored, untold / 'model.safetensors')
  assert folder.output_matrix(untold) is None
  wrong = copy(tmp_path / 'a', 'llama')
  save_file(file | {'lm_head.weight': own[:-1]}, wrong / 'model.safetensors')
  assert 'tensor lm_head.weight has shape' in rejected(wrong, folder.output_matrix)
