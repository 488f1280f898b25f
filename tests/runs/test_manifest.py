"""What a run was."""

import subprocess

import pytest

import rec_jax
from rec_jax.runs import manifest
from rec_jax.types import InputError

_OLD = {
  'config': {'seed': 0, 'data': {'cut': 0.7, 'columns': ['a']}, 'gone': 1},
  'code_revision': '0123456789abcdef',
  'versions': {'rec_jax': '0.1.0'},
}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'data': {'cut': 0.8, 'columns': ['b']}}, r'config.data.cut=0.7, not 0.8: give another'),
    ({'data': {'cut': 0.7, 'columns': []}}, r'config.data.columns=\["a"\], not \[\]'),
    ({'data': {'columns': [], 'new': 2}}, r'config.data.columns=\["a"\], not \[\]'),
    ({'seed': False}, 'config.seed=0, not false'),
  ],
)
def test_the_first_difference_is_named(change, message):
  manifest.check_same_config(_OLD, _OLD['config'], 'runs/demo')
  with pytest.raises(InputError, match='workdir runs/demo belongs to a run with ' + message):
    manifest.check_same_config(_OLD, _OLD['config'] | change, 'runs/demo')


@pytest.mark.parametrize('check', [manifest.check_same_config, manifest.check_fields])
def test_fields_that_came_or_went_are_those_of_another_version(check):
  made_by = r'workdir runs/demo was made by another version of the code \(rec_jax 0.1.0, revision '
  new = _OLD['config'] | {'data': {'cut': 0.7, 'columns': ['a'], 'new': 2}}
  with pytest.raises(
    InputError, match=made_by + '0123456789ab; which had no config.data.new.: give'
  ):
    check(_OLD, new, 'runs/demo')
  new = {key: _OLD['config'][key] for key in ('seed', 'data')}
  with pytest.raises(
    InputError, match=made_by + '0123456789ab; which had a config.gone.: give ano'
  ):
    check(_OLD, new, 'runs/demo')
  with pytest.raises(InputError, match='another kind of run, with config fields seed, data, gone'):
    check(_OLD, {'seed': 1, 'num_arms': 2, 'environment': 'wheel'}, 'runs/demo')


@pytest.mark.parametrize('written', [None, 1, manifest.FORMAT + 1])
def test_files_of_another_format_are_those_of_another_version(written):
  old = _OLD if written is None else _OLD | {'format': written}
  message = f'files are of format {written or 1}, not {manifest.FORMAT}.: give another --workdir'
  with pytest.raises(InputError, match=f'was made by another version .*0.1.0, .*{message}'):
    manifest.check_version(old, 'runs/demo')
  manifest.check_version(_OLD | {'format': manifest.FORMAT}, 'runs/demo')


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
