"""Token ids against those of the reference implementation; needs the installed MiniLM package,
because the vocabulary of a made-up tokenizer would show nothing about the real one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rec_jax.data import sources, tokenizer
from rec_jax.types import InputError

_GOLDEN = Path(__file__).parent / 'golden' / 'minilm_l6_v2.npz'


@pytest.fixture(scope='module')
def path():
  return sources.minilm_files().tokenizer


def test_ids_are_those_of_the_reference(path):
  golden = np.load(_GOLDEN)
  input_ids, mask, _ = tokenizer.encode(path, golden['texts'].tolist(), 32)
  origin = 'golden ids are of the reference tokenizer of all-MiniLM-L6-v2, cut at 32'
  np.testing.assert_array_equal(input_ids, golden['input_ids'], origin)
  np.testing.assert_array_equal(mask, golden['attention_mask'], origin)
  assert input_ids.dtype == mask.dtype == np.int32


def test_a_shorter_length_keeps_the_closing_token(path):
  full, *_ = tokenizer.encode(path, ['a rather long line of text'], 32)
  short, mask, num_cut = tokenizer.encode(path, ['a rather long line of text', ''], 4)
  assert short[0].tolist() == [*full[0, :3], 102]
  assert short[1].tolist() == [101, 102, 0, 0]
  assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
  assert num_cut == 1


def test_longer_than_the_limit_of_the_file(path):
  input_ids, mask, _ = tokenizer.encode(path, ['word ' * 300], 256)
  assert input_ids.shape == (1, 256)
  assert mask.all()


def test_many_texts_are_read_in_parts(path, monkeypatch):
  texts = ['one', 'a rather long line of text', '', 'two words', 'word ' * 9]
  whole = tokenizer.encode(path, texts, 6)
  monkeypatch.setattr(tokenizer, '_TEXTS', 2)
  for found, expected in zip(tokenizer.encode(path, texts, 6), whole, strict=True):
    np.testing.assert_array_equal(found, expected)
  assert whole.num_cut == 2


def test_no_texts(path):
  assert tokenizer.encode(path, [], 8)[0].shape == (0, 8)


def test_no_room_for_text(path):
  with pytest.raises(InputError, match='set --config.data.text_length to 3 or more'):
    tokenizer.encode(path, ['text'], 2)


ENCODERS = Path(__file__).parent / 'encoders'


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('bert', (203, 0, 4, (2, 3))),
    ('roberta', (290, 1, 4, (0, 2))),
    ('xlm_roberta', (None, 1, 4, (0, 2))),
    ('gpt2', (290, 0, None, ())),
    ('llama', (None, 0, None, (1,))),
    ('qwen3', (290, 0, None, (0,))),
  ],
)
def test_special_tokens_are_as_the_files_say(name, expected):
  found = tokenizer.vocabulary(ENCODERS / name / 'tokenizer.json')
  assert found[1:] == expected[1:]
  assert expected[0] in (None, found.size)


def test_those_of_minilm(path):
  assert tokenizer.vocabulary(path) == (30_522, 0, 103, (101, 102))


def test_padding_is_named_by_the_files_beside_or_by_its_usual_name(tmp_path):
  file = shutil.copy(ENCODERS / 'roberta/tokenizer.json', tmp_path)
  assert tokenizer.vocabulary(file).pad == 1
  (tmp_path / 'config.json').write_text('{"pad_token_id": 3}')
  assert tokenizer.vocabulary(file).pad == 3
  (tmp_path / 'special_tokens_map.json').write_text('{"pad_token": {"content": "</s>"}}')
  assert tokenizer.vocabulary(file).pad == 2
  (tmp_path / 'tokenizer_config.json').write_text('{"pad_token": "<s>"}')
  assert tokenizer.encode(file, [''], 4).input_ids.tolist() == [[0, 2, 0, 0]]
  for unknown in (-1, 10**6, None):
    (tmp_path / 'config.json').write_text(json.dumps({'pad_token_id': unknown}))
    for name in ('special_tokens_map.json', 'tokenizer_config.json'):
      (tmp_path / name).unlink(missing_ok=True)
    assert tokenizer.vocabulary(file).pad == 1


ANYTHING = [
  '',
  ' ',
  '\x00\u200b\ufeff',
  '\U0001f9d1\u200d\U0001f680',
  'é' * 9,
  '语言模型',
  '\u202eabc',
  '\uffff',
]


@pytest.mark.parametrize(
  'name',
  [
    'bert',
    'roberta',
    'gpt2',
    *(pytest.param(name, marks=pytest.mark.soak) for name in ('xlm_roberta', 'llama', 'qwen3')),
  ],
)
def test_any_text_has_tokens_that_the_encoder_knows(name):
  path = ENCODERS / name / 'tokenizer.json'
  found = tokenizer.encode(path, [*ANYTHING, 'long ' * 50_000], 6)
  assert found.input_ids.shape == (len(ANYTHING) + 1, 6)
  assert 0 <= found.input_ids.min() <= found.input_ids.max() < tokenizer.vocabulary(path).size
  assert found.attention_mask[-1].all()
  empty = len(tokenizer.vocabulary(path).frame)
  assert found.attention_mask[0].sum() == empty
  assert 1 <= found.num_cut <= len(ANYTHING)


def test_what_is_no_tokenizer_is_refused(tmp_path):
  file = tmp_path / 'tokenizer.json'
  with pytest.raises(InputError, match=f'^{file}: no such file'):
    tokenizer.vocabulary(file)
  for content in ('', '{}', '[]', '{"model": 1}'):
    file.write_text(content)
    with pytest.raises(InputError, match=f'^{file}: not a readable tokenizer.json') as error:
      tokenizer.encode(file, ['text'], 4)
    assert '\n' not in str(error.value)
