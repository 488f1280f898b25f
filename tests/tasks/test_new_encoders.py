"""A tokenizer of one's own: any text has tokens, and the folder is one that a run takes."""

import pytest

from rec_jax.data import tokenizer
from rec_jax.data.config import DataConfig
from rec_jax.tasks import encoder_sizes, new_encoders, text_encoders
from rec_jax.types import InputError
from tests.data.test_corpus import ODD

TEXTS = ['the old man and the sea', 'the young wizard and the school of magic'] * 20


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """(the folder, how many tokens)."""
  directory = tmp_path_factory.mktemp('new')
  (directory / 'a.txt').write_text('\n'.join([*TEXTS, *ODD[1:]]))
  output = directory / 'deep/encoder'
  return output, new_encoders.create(str(directory / '*.txt'), 300, output, 1, 32)


def test_the_folder_is_a_text_model(made):
  output, size = made
  data = DataConfig(text_model=str(output))
  text_encoders.check(data)
  assert encoder_sizes.sizes(data).vocab_size == size == text_encoders.vocabulary(data).size
  assert size <= 300
  vocabulary = text_encoders.vocabulary(data)
  ids, mask, _ = text_encoders.encode(data, ['the man', ''])
  assert ids[1, :2].tolist() == list(vocabulary.frame)
  assert (ids[mask == 0] == vocabulary.pad).all()
  assert vocabulary.mask not in ids


def test_any_text_has_tokens_of_which_it_can_be_made_again(made):
  output, size = made
  read = tokenizer._read(output / 'tokenizer.json')
  for text in [*ODD, 'never seen 🎬 ﷽', '\x01\x7f']:
    ids = read.encode(text).ids
    assert max(ids) < size
    assert read.decode(ids).strip() == read.normalizer.normalize_str(text).strip()


def test_words_of_the_corpus_are_joined(made):
  output, _ = made
  read = tokenizer._read(output / 'tokenizer.json')
  assert len(read.encode('the').ids) == 3
  assert len(read.encode('zqx').ids) > 4


def test_what_cannot_be_is_told_and_leaves_nothing(tmp_path):
  (tmp_path / 'a.txt').write_text(' \n')
  (tmp_path / 'there').mkdir()
  for pattern, size, output, message in [
    ('a.txt', 259, 'out', '--vocab_size is 259; give 260 or more'),
    ('b.txt', 300, 'out', 'b.txt: no such file; check --corpus'),
    ('a.txt', 300, 'out', 'a.txt is empty; give a file with data by --corpus'),
    ('a.txt', 300, 'there', 'there is there already: give another --output'),
  ]:
    with pytest.raises(InputError, match=message):
      new_encoders.create(str(tmp_path / pattern), size, tmp_path / output, 1, 32)
  assert not (tmp_path / 'out').exists()


def test_a_corpus_that_fails_on_the_way_is_told(tmp_path):
  (tmp_path / 'a.txt').write_bytes(b'fine\n' + 'Gr\u00f6\u00dfe'.encode('latin-1'))
  with pytest.raises(InputError, match='text that is not UTF-8'):
    new_encoders.create(str(tmp_path / 'a.txt'), 300, tmp_path / 'out', 1, 32)
  assert not (tmp_path / 'out').exists()
