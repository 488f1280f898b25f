"""Published weights: the same vectors as the reference, and one line for every broken file."""

import json
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from rec_jax.data import sources
from rec_jax.models import pretrained, text_encoder
from rec_jax.types import InputError
from tests.models import modules

GOLDEN = pathlib.Path(__file__).parents[1] / 'data/golden/minilm_l6_v2.npz'
CONFIG = {
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
  """The paths of a small checkpoint with what published ones carry besides the encoder."""
  extra = {
    'embeddings.position_ids': np.arange(7)[None],
    'pooler.dense.weight': np.zeros((4, 4), np.float32),
  }
  save_file(weights | extra, directory / 'model.safetensors')
  (directory / 'config.json').write_text(json.dumps(config))
  return directory / 'model.safetensors', directory / 'config.json'


def rejected(weights, config):
  with pytest.raises(InputError) as caught:
    pretrained.load_bert(weights, config)
  message = str(caught.value)
  assert '\n' not in message
  return message


def test_minilm_gives_the_vectors_of_the_reference():
  files = sources.minilm_files()
  encoder = nnx.view(pretrained.load_bert(files.weights, files.config), deterministic=True)
  golden = np.load(GOLDEN)
  mask = golden['attention_mask']
  hidden = jax.jit(lambda model, ids: model(ids, mask))(encoder, golden['input_ids'])
  origin = 'golden vectors are of the PyTorch implementation of all-MiniLM-L6-v2 in float32'
  pooled = text_encoder.mean_pool(hidden, mask)
  np.testing.assert_allclose(pooled, golden['mean_pooled'], atol=1e-4, rtol=0, err_msg=origin)
  first = golden['last_hidden_first3']
  np.testing.assert_allclose(hidden[:, :3], first, atol=1e-4, rtol=0, err_msg=origin)


def test_every_parameter_is_the_tensor_of_its_own_name(tmp_path):
  weights = tensors()
  encoder = pretrained.load_bert(*write(tmp_path, weights))
  parameters = modules.flat(encoder)
  names = [pretrained.bert_name(path) for path in parameters]
  assert sorted(names) == sorted(SHAPES)
  for name, (path, value) in zip(names, parameters.items(), strict=True):
    kernel = path[-1] == 'kernel'
    np.testing.assert_array_equal(value, weights[name].T if kernel else weights[name], name)


def test_half_precision_weights_become_float32(tmp_path):
  weights = tensors()
  halves = {name: value.astype(np.float16) for name, value in weights.items()}
  encoder = pretrained.load_bert(*write(tmp_path, halves))
  assert {value.dtype for value in modules.flat(encoder).values()} == {np.dtype('float32')}


@pytest.mark.parametrize(
  'name', ['embeddings.LayerNorm.bias', 'encoder.layer.1.intermediate.dense.weight']
)
def test_a_missing_tensor_is_named(tmp_path, name):
  weights = tensors()
  del weights[name]
  files = write(tmp_path, weights)
  assert rejected(*files).startswith(f'{files[0]}: tensor {name} is missing')


def test_a_misshapen_tensor_is_named_with_both_shapes(tmp_path):
  name = 'encoder.layer.0.output.dense.weight'
  weights = tensors()
  weights[name] = weights[name].T.copy()
  files = write(tmp_path, weights)
  message = rejected(*files)
  assert message.startswith(f'{files[0]}: tensor {name} has shape (6, 4)')
  assert '(4, 6)' in message


def test_more_layers_than_the_config_has_are_not_cut_off(tmp_path):
  files = write(tmp_path, tensors(), CONFIG | {'num_hidden_layers': 1})
  message = rejected(*files)
  assert message.startswith(f'{files[0]}: tensor encoder.layer.1.')
  assert 'config.json' in message


def test_fewer_layers_than_the_config_has_are_a_missing_tensor(tmp_path):
  files = write(tmp_path, tensors(), CONFIG | {'num_hidden_layers': 3})
  assert rejected(*files).startswith(f'{files[0]}: tensor encoder.layer.2.')


@pytest.mark.parametrize('keep', [0, 5, 300, -4])
def test_a_truncated_file_is_refused(tmp_path, keep):
  files = write(tmp_path, tensors())
  files[0].write_bytes(files[0].read_bytes()[:keep])
  assert rejected(*files).startswith(f'{files[0]}: not a readable safetensors file')


def test_a_missing_file_is_refused(tmp_path):
  weights, config = write(tmp_path, tensors())
  assert rejected(tmp_path / 'other', config).startswith(f'{tmp_path}/other: not a readable')
  assert rejected(weights, tmp_path / 'other').startswith(f'{tmp_path}/other: not the config.json')


@pytest.mark.parametrize(
  ('content', 'hint'),
  [
    (b'', 'JSON'),
    (b'\xff\xfe\x00', 'utf-8'),
    (b'[1, 2]', ''),
    (b'{"vocab_size": 11}', 'max_position_embeddings'),
    (json.dumps(CONFIG | {'num_attention_heads': 3}).encode(), 'num_heads is 3'),
    (json.dumps(CONFIG | {'hidden_size': '4'}).encode(), ''),
  ],
)
def test_a_wrong_config_is_refused(tmp_path, content, hint):
  files = write(tmp_path, tensors())
  files[1].write_bytes(content)
  message = rejected(*files)
  assert message.startswith(f'{files[1]}: not the config.json of a BERT model')
  assert hint in message
