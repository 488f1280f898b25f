"""What a run was."""

import subprocess

import pytest

import rec_jax
from rec_jax.runs import manifest
from rec_jax.types import InputError


def test_the_first_difference_is_named():
  old = {'seed': 0, 'data': {'cut': 0.7, 'columns': ['a']}, 'gone': 1}
  manifest.check_same_config(old, dict(old), 'runs/demo')
  for change, message in [
    ({'data': {'cut': 0.8, 'columns': ['b']}}, r'config.data.cut=0.7, not 0.8: give another'),
    ({'data': {'cut': 0.7, 'columns': []}}, r'config.data.columns=\["a"\], not \[\]'),
    ({'data': {'cut': 0.7, 'columns': ['a'], 'new': 2}}, r'config.data.new="not a field", not 2'),
    ({'seed': False}, 'config.seed=0, not false'),
  ]:
    with pytest.raises(InputError, match='workdir runs/demo belongs to a run with ' + message):
      manifest.check_same_config(old, old | change, 'runs/demo')
  with pytest.raises(InputError, match='config.gone=1, not "not a field"'):
    manifest.check_same_config(old, {key: old[key] for key in ('seed', 'data')}, 'runs/demo')


def test_the_code_revision_is_the_commit_or_the_version(tmp_path, monkeypatch):
  monkeypatch.setattr(rec_jax, '__file__', str(tmp_path / 'rec_jax' / '__init__.py'))
  (tmp_path / 'rec_jax').mkdir()
  (tmp_path / 'rec_jax' / '__init__.py').write_text('')
  assert manifest._code_revision() == rec_jax.__version__

  def git(*arguments):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false']
    command = ['git', '-C', tmp_path, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

  git('init', '-q')
  git('commit', '-q', '--allow-empty', '-m', 'of another project')
  assert manifest._code_revision() == rec_jax.__version__
  git('add', '.')
  git('commit', '-q', '-m', 'ours')
  assert manifest._code_revision() == git('rev-parse', 'HEAD')
  (tmp_path / 'rec_jax' / '__init__.py').write_text('changed = 1')
  assert manifest._code_revision() == git('rev-parse', 'HEAD') + '-dirty'
