"""Files are replaced whole or not at all."""

import json
import os

import pytest

from rec_jax import files


def test_an_atomic_write_leaves_the_old_file_if_it_fails(tmp_path, monkeypatch):
  path = tmp_path / 'value.json'
  files.write_json(path, {'a': 1})
  with pytest.raises(ValueError, match='JSON compliant'):
    files.write_json(path, {'a': float('nan')})

  def fail(descriptor):
    raise OSError('disk full')

  monkeypatch.setattr(os, 'fsync', fail)
  with pytest.raises(OSError, match='disk full'):
    files.write_json(path, {'a': 2})
  assert json.loads(path.read_text()) == {'a': 1}
  assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'data'

  def write(text, *, fails=False):
    with files.replacing_directory(path) as partial:
      partial.mkdir()
      (partial / text).write_text(text)
      if fails:
        raise OSError('disk full')

  write('first')
  with pytest.raises(OSError, match='disk full'):
    write('second', fails=True)
  assert [each.name for each in path.iterdir()] == ['first']
  write('third')
  assert [each.name for each in path.iterdir()] == ['third']
  assert [each.name for each in tmp_path.iterdir()] == ['data']
