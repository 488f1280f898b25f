"""The vectors of the reference implementation, and folders that come back as they went out.

How the golden folders were made is told in tests/data/encoders/README.md.
"""

import json
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from rec_jax.data import sources, tokenizer
from rec_jax.models import text_encoder
from rec_jax.models.hugging_face import folder
from rec_jax.models.hugging_face.description import FAMILIES
from tests.models import modules

DATA = pathlib.Path(__file__).parents[2] / 'data'
NAMES = ('bert', 'roberta', 'xlm_roberta', 'gpt2', 'llama', 'qwen2', 'qwen3')
BIDIRECTIONAL = NAMES[:3]
EVERY = pytest.mark.parametrize('name', NAMES)
# Later positions than this one are looked at for what they do to earlier ones.
SEEN = 5


@jax.jit
def run(encoder, ids, mask):
  """Token vectors, and the gradient of the first SEEN of them in what the blocks read."""

  def of(embedded):
    hidden = encoder.upper(embedded, mask, 0)
    weight = np.arange(hidden.shape[-1], dtype=np.float32)
    return (hidden[:, :SEEN] * weight).sum(), hidden

  (_, hidden), gradient = jax.value_and_grad(of, has_aux=True)(encoder.lower(ids, mask, 0))
  return hidden, gradient


@pytest.fixture(scope='module')
def load():
  """name -> (encoder, golden arrays), each read once."""
  found = {}

  def of(name):
    if name not in found:
      encoder = nnx.view(folder.load(DATA / 'encoders' / name), deterministic=True)
      found[name] = encoder, dict(np.load(DATA / 'encoders' / name / 'golden.npz'))
    return found[name]

  return of


def test_every_architecture_has_a_golden_folder():
  configs = [json.loads((DATA / f'encoders/{name}/config.json').read_text()) for name in NAMES]
  assert {config['model_type'] for config in configs} == set(FAMILIES)


@EVERY
def test_vectors_are_those_of_the_reference(load, name):
  encoder, golden = load(name)
  ids, mask = golden['input_ids'], golden['attention_mask']
  hidden, _ = run(encoder, ids, mask)
  origin = 'golden vectors are of transformers 5.24.0 in float32, see tests/data/encoders/README.md'
  known = mask > 0
  expected = golden['last_hidden_state'][known]
  np.testing.assert_allclose(hidden[known], expected, atol=1e-4, rtol=0, err_msg=origin)


@EVERY
def test_tokens_are_those_of_the_reference(load, name):
  _, golden = load(name)
  path = DATA / 'encoders' / name / 'tokenizer.json'
  found = tokenizer.encode(path, golden['texts'].tolist(), golden['input_ids'].shape[1])
  np.testing.assert_array_equal(found.attention_mask, golden['attention_mask'])
  known = golden['attention_mask'] > 0
  np.testing.assert_array_equal(found.input_ids[known], golden['input_ids'][known])
  # Llama's has no token of padding, where the golden ids have that of the end.
  assert name == 'llama' or np.array_equal(found.input_ids, golden['input_ids'])


@EVERY
def test_what_stands_in_padding_changes_nothing(load, name):
  encoder, golden = load(name)
  ids, mask = golden['input_ids'], golden['attention_mask']
  other = np.where(mask > 0, ids, 7)
  before, after = (np.asarray(run(encoder, each, mask)[0]) for each in (ids, other))
  np.testing.assert_array_equal(before[mask > 0], after[mask > 0])
  assert not np.array_equal(before, after)


@EVERY
def test_only_of_a_bidirectional_encoder_do_later_tokens_reach_earlier_vectors(load, name):
  encoder, golden = load(name)
  _, gradient = run(encoder, golden['input_ids'], golden['attention_mask'])
  later = np.asarray(gradient)[:, SEEN:]
  assert encoder.causal == (name not in BIDIRECTIONAL)
  assert later.any() == (name in BIDIRECTIONAL)
  assert np.asarray(gradient)[:, :SEEN].any()


@EVERY
def test_a_folder_comes_back_as_it_went_out(load, tmp_path, name):
  encoder, _ = load(name)
  source, output = DATA / 'encoders' / name, tmp_path / 'out'
  folder.save(encoder, source, output, 24)
  again = folder.load(output)
  assert again.pooling == encoder.pooling
  before, after = modules.flat(encoder), modules.flat(again)
  assert list(before) == list(after)
  for path, value in before.items():
    np.testing.assert_array_equal(value, after[path])
  assert tokenizer.vocabulary(output / 'tokenizer.json') == tokenizer.vocabulary(
    source / 'tokenizer.json'
  )


@EVERY
def test_exported_tensors_have_the_names_shapes_and_bits_of_the_original(load, tmp_path, name):
  encoder, _ = load(name)
  source = DATA / 'encoders' / name
  folder.save(encoder, source, tmp_path / 'out', 24)
  kind = json.loads((source / 'config.json').read_text())['model_type']
  original = {
    key.removeprefix(FAMILIES[kind].prefix): value.astype(np.float32)
    for file in source.glob('*.safetensors')
    for key, value in load_file(file).items()
    if not key.startswith('lm_head')
  }
  written = load_file(tmp_path / 'out/model.safetensors')
  assert {key: value.shape for key, value in written.items()} == {
    key: value.shape for key, value in original.items()
  }
  for key, value in original.items():
    np.testing.assert_array_equal(written[key], value, key)


def test_minilm_gives_the_vectors_of_the_reference():
  encoder = folder.load(sources.minilm_files().config.parent)
  encoder = nnx.view(encoder, deterministic=True)
  golden = np.load(DATA / 'golden/minilm_l6_v2.npz')
  mask = golden['attention_mask']
  hidden = jax.jit(lambda model, ids: model(ids, mask))(encoder, golden['input_ids'])
  origin = 'golden vectors are of the PyTorch implementation of all-MiniLM-L6-v2 in float32'
  assert encoder.pooling == 'mean'
  pooled = text_encoder.mean_pool(hidden, mask)
  np.testing.assert_allclose(pooled, golden['mean_pooled'], atol=1e-4, rtol=0, err_msg=origin)
  first = golden['last_hidden_first3']
  np.testing.assert_allclose(hidden[:, :3], first, atol=1e-4, rtol=0, err_msg=origin)
