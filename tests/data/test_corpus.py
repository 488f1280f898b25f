"""A user's own text: every line and row of it, whatever its characters, a piece at a time."""

import os
import tracemalloc

import polars as pl
import pytest

from rec_jax.data import corpus
from rec_jax.types import InputError

# Line ends of Unicode, a null, a combining accent, both directions, a character outside of the
# basic plane and one that takes no space.
ODD = ['a\u2028b\u0085c\x0bd', 'nul\x00', 'e\u0301', 'שלום world', '🙂', '\u200b', '红茶 二十包']


def read(pattern):
  return list(corpus.texts(corpus.paths(str(pattern))))


def test_a_line_is_a_text_of_any_characters(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_bytes('\n'.join(['\ufeff' + ODD[0], '', ' \t ', *ODD[1:]]).encode() + b'\r\nx\ry')
  assert read(path) == [*ODD, 'x', 'y']


@pytest.mark.parametrize('name', ['a.csv', 'a.parquet'])
def test_a_row_is_a_text_of_any_characters(tmp_path, name):
  kept = [text for text in ODD if '\x00' not in text]
  frame = pl.DataFrame({'id': range(len(kept) + 3), 'text': [None, '', ' ', *kept]})
  write = frame.write_csv if name == 'a.csv' else frame.write_parquet
  write(tmp_path / name)
  assert read(tmp_path / name) == kept


def test_a_pattern_names_files_of_all_kinds_in_order(tmp_path):
  (tmp_path / 'deep').mkdir()
  (tmp_path / 'deep/b.txt').write_text('second\n')
  pl.DataFrame({'text': ['first']}).write_parquet(tmp_path / 'a.parquet')
  pl.DataFrame({'text': ['third']}).write_csv(tmp_path / 'deep/c.csv')
  assert read(tmp_path / '**/*') == ['first', 'second', 'third']
  assert read(tmp_path / 'deep/b.txt') == ['second']


def test_a_name_with_the_signs_of_a_pattern_is_a_name(tmp_path):
  (tmp_path / 'a[1].txt').write_text('text')
  assert read(tmp_path / 'a[1].txt') == ['text']


@pytest.mark.parametrize('name', ['a.txt', 'a.parquet'])
def test_an_endless_text_comes_in_pieces(tmp_path, name):
  text = '0123456789é' * (corpus.PIECE // 4)
  if name == 'a.txt':
    (tmp_path / name).write_text(text)
  else:
    pl.DataFrame({'text': [text]}).write_parquet(tmp_path / name)
  found = read(tmp_path / name)
  assert ''.join(found) == text
  assert max(map(len, found)) == corpus.PIECE


def test_an_endless_line_is_never_held_whole(tmp_path):
  size = 16_000_000
  with (tmp_path / 'a.txt').open('wb') as stream:
    stream.write(b'word ' * (size // 5))
  tracemalloc.start()
  held = sum(len(text) for text in corpus.texts([str(tmp_path / 'a.txt')]))
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert held == size
  assert peak < size / 10


def test_batches_are_bounded_by_characters():
  texts = ['x' * corpus.PIECE] * 40 + ['y']
  found = list(corpus.batches(iter(texts)))
  assert [text for batch in found for text in batch] == texts
  assert [len(batch) for batch in found] == [16, 16, 9]


def _utf_16(path):
  path.write_bytes('text\n'.encode('utf-16'))


def _latin(path):
  path.write_bytes('fine\nGröße\n'.encode('latin-1'))


def _table(**columns):
  return lambda path: pl.DataFrame(columns).write_parquet(path)


@pytest.mark.parametrize(
  ('name', 'make', 'message'),
  [
    ('a.txt', None, 'a.txt: no such file; check --config.pretrain.corpus'),
    ('*.txt', None, '*.txt: no such file; check --config.pretrain.corpus'),
    ('a', os.mkdir, 'a: a folder, not a file; give what is in it as DIR/*.txt'),
    ('a.md', lambda path: path.write_text('x'), 'unknown extension ".md"; give .txt, .csv or'),
    ('a.txt', lambda path: path.write_text(''), 'a.txt is empty; give a file with data by'),
    ('a.txt', lambda path: path.write_text('\n \u2003\n' * 9), 'there is no text in it'),
    ('a.txt', _utf_16, 'a.txt is text in UTF-16; write it again in UTF-8'),
    ('a.txt', _latin, 'text that is not UTF-8 after line'),
    ('a.txt', os.mkfifo, 'is a pipe or a device; write its content to a file'),
    ('a.parquet', lambda path: path.write_text('x'), 'is not a Parquet file'),
    ('a.parquet', _table(title=['x']), 'no column "text" among title; give the one with the texts'),
    ('a.parquet', _table(text=[1]), 'column "text" holds Int64; write it again as strings'),
    ('a.parquet', _table(text=[None, ' ']), 'there is no text in it; give files with text by'),
    ('a.csv', lambda path: path.write_text('text\n'), 'there is no text in it'),
    ('a.csv', lambda path: path.write_text('text,text\na,b\n'), 'several columns "text"; rename'),
    ('a.csv', lambda path: path.write_text('text;id\na;b\n'), 'are not separated by commas'),
  ],
)
def test_what_is_no_text_is_told_in_one_line(tmp_path, name, make, message):
  if make:
    make(tmp_path / name)
  with pytest.raises(InputError) as caught:
    read(tmp_path / name)
  assert message in str(caught.value)
  assert str(caught.value).isprintable()
