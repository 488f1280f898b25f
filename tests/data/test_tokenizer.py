"""Token ids against those of the reference implementation; needs the installed MiniLM package,
because the vocabulary of a made-up tokenizer would show nothing about the real one."""

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


def test_no_texts(path):
  assert tokenizer.encode(path, [], 8)[0].shape == (0, 8)


def test_no_room_for_text(path):
  with pytest.raises(InputError, match='set --config.data.text_length to 3 or more'):
    tokenizer.encode(path, ['text'], 2)
