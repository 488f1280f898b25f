"""The workdir of a run: manifest, metrics, timings."""

import hashlib
import json

import numpy as np
import pytest

from rec_jax import files
from rec_jax.runs import workdir
from rec_jax.runs.config import STAGES, Config
from rec_jax.studies.sweep.config import LinearConfig
from rec_jax.types import InputError


def row(stage='prepare', metric='recall@10', **changes):
  values = {'value': 0.25, 'low': 0.2, 'high': 0.3, 'n': 672, 'protocol': 'leave-last-out'}
  return {'stage': stage, 'subject': 'popularity', 'metric': metric} | values | changes


def files_in(directory):
  return sorted(str(path.relative_to(directory)) for path in directory.rglob('*'))


def test_the_first_stage_writes_the_manifest(tmp_path):
  run = tmp_path / 'new' / 'run'
  assert workdir.start(Config(seed=3), run, 'prepare') == run / 'prepare'
  workdir.record(run, fingerprint='abc')
  manifest = workdir.read_manifest(run)
  assert manifest['config']['data']['cut'] == 0.7
  assert manifest['seed'] == 3
  assert manifest['fingerprint'] == 'abc'
  assert manifest['device']['platform'] == 'cpu'
  assert set(manifest['versions']) > {'python', 'rec_jax', 'jax', 'flax', 'orbax-checkpoint'}
  assert manifest['code_revision']
  # A second start neither renews it nor loses what was recorded.
  assert workdir.start(Config(seed=3), run, 'pretrain') == run / 'pretrain'
  assert workdir.read_manifest(run) == manifest


def test_a_file_that_has_changed_is_refused(tmp_path):
  workdir.claim(LinearConfig(), tmp_path, tmp_path / 'regret')
  file = tmp_path / 'matrix.npz'
  file.write_bytes(b'one')
  for _ in range(2):
    workdir.claim_file(tmp_path, file)
  assert workdir.read_manifest(tmp_path)['fingerprint'] == hashlib.sha256(b'one').hexdigest()
  file.write_bytes(b'two')
  with pytest.raises(InputError, match=f'^{file} has changed since .*: give another --workdir$'):
    workdir.claim_file(tmp_path, file)


def test_another_config_is_refused_by_name(tmp_path):
  workdir.start(Config(), tmp_path, 'prepare')
  before = files_in(tmp_path)
  config = Config()
  config.data.cut, config.data.min_events = 0.8, 3
  with pytest.raises(InputError) as error:
    workdir.start(config, tmp_path, 'pretrain')
  assert 'config.data.cut=0.7, not 0.8: give another --workdir' in str(error.value)
  assert files_in(tmp_path) == before


@pytest.mark.parametrize(
  'use', [lambda run: workdir.start(Config(), run, 'pretrain'), workdir.read_manifest]
)
def test_a_workdir_of_another_version_is_refused_before_its_config_is_compared(tmp_path, use):
  workdir.start(Config(seed=7), tmp_path, 'prepare')
  manifest = workdir.read_manifest(tmp_path)
  del manifest['format']  # As manifests were before they had one.
  files.write_json(tmp_path / 'manifest.json', manifest)
  before = files_in(tmp_path)
  with pytest.raises(InputError, match='was made by another version of the code .*format 1, not'):
    use(tmp_path)
  assert files_in(tmp_path) == before


def test_the_workdir_of_a_sweep_is_none_of_a_chain(tmp_path):
  workdir.claim(LinearConfig(), tmp_path, tmp_path / 'regret')
  with pytest.raises(InputError, match='belongs to another kind of run, with .* environment, pol'):
    workdir.start(Config(), tmp_path, 'prepare')


def test_unusable_workdirs_are_one_line(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match='file cannot be written'):
    workdir.start(Config(), tmp_path / 'file', 'prepare')
  for content in (b'{"config": ', b'{"config": 5}', b'{}', b'[]', b'5', b'\xff', b''):
    (tmp_path / 'manifest.json').write_bytes(content)
    with pytest.raises(InputError, match=r'manifest.json is not the manifest of a run'):
      workdir.start(Config(), tmp_path, 'prepare')
  (tmp_path / 'manifest.json').unlink()
  (tmp_path / 'manifest.json').mkdir()
  with pytest.raises(InputError, match=r'manifest.json cannot be read \(Is a directory\)'):
    workdir.start(Config(), tmp_path, 'prepare')
  with pytest.raises(InputError, match=r'nothing has no manifest.json'):
    workdir.read_manifest(tmp_path / 'nothing')


def test_a_finished_stage_is_not_run_again(tmp_path, caplog):
  caplog.set_level('INFO', 'rec_jax')
  directory = workdir.start(Config(), tmp_path, 'prepare')
  with pytest.raises(InputError, match='run python -m experiments.prepare first'):
    workdir.require(tmp_path, 'prepare')
  workdir.finish(directory, [row()])
  assert workdir.require(tmp_path, 'prepare') == directory
  assert workdir.read_metrics(tmp_path, 'prepare') == [row()]
  assert workdir.start(Config(), tmp_path, 'prepare') is None
  assert caplog.messages == [f'prepare: already finished in {tmp_path}']


def test_damaged_rows_of_a_finished_stage_are_one_line(tmp_path):
  directory = workdir.start(Config(), tmp_path, 'prepare')
  workdir.finish(directory, [row()])
  (directory / 'metrics.json').write_text('[{"stage": ')
  message = (
    f'metrics.json is damaged: delete {directory} and run python -m experiments.prepare again'
  )
  with pytest.raises(InputError, match=message):
    workdir.start(Config(), tmp_path, 'prepare')


def test_metrics_of_the_run_are_those_of_its_stages_in_order(tmp_path):
  for stage in reversed(STAGES[:3]):
    workdir.finish(workdir.start(Config(), tmp_path, stage), [row(stage), row(stage, 'mrr')])
  expected = [row(stage, metric) for stage in STAGES[:3] for metric in ('recall@10', 'mrr')]
  assert json.loads((tmp_path / 'metrics.json').read_text()) == expected
  # A process killed between the two files of `finish` is made good by the next start.
  (tmp_path / 'metrics.json').unlink()
  workdir.start(Config(), tmp_path, 'prepare')
  assert json.loads((tmp_path / 'metrics.json').read_text()) == expected


def test_numbers_are_plain_and_repeatable(tmp_path):
  directory = workdir.start(Config(), tmp_path, 'prepare')
  numpy_row = row(value=np.float32(0.1), low=np.float64(0.05), high=np.array(0.2), n=np.int32(7))
  workdir.finish(
    directory, [numpy_row, row(metric='items', value=np.int64(7), low=None, high=None)]
  )
  first = (directory / 'metrics.json').read_bytes()
  read = json.loads(first)
  assert read[0]['value'] == float(np.float32(0.1))
  assert (read[0]['n'], read[1]['value'], read[1]['low']) == (7, 7, None)
  assert list(read[0]) == [
    *('stage', 'subject', 'metric', 'value', 'low', 'high', 'n', 'protocol'),
  ]
  workdir.finish(directory, read)
  assert (directory / 'metrics.json').read_bytes() == first


@pytest.mark.parametrize(
  ('rows', 'message'),
  [
    ([{'stage': 'prepare'}], 'needs the keys'),
    ([row() | {'extra': 1}], 'needs the keys'),
    ([row(stage='explore')], "row of stage 'explore' in 'prepare'"),
    ([row(value=float('nan'))], 'value must be a finite number'),
    ([row(value='0.3')], 'value must be a finite number'),
    ([row(value=True)], 'value must be a finite number'),
    ([row(high=np.inf)], 'high must be a finite number'),
    ([row(low=0.4)], 'low and high must be in order or both None'),
    ([row(low=None)], 'low and high must be in order or both None'),
    ([row(n=0)], 'n must be a positive integer'),
    ([row(n=2.0)], 'n must be a positive integer'),
    ([row(subject='')], 'subject must be text'),
    ([row(protocol=None)], 'protocol must be text'),
    ([row(), row(value=0.21)], 'more than one row for .*recall@10'),
  ],
)
def test_rows_that_say_too_little_are_refused(tmp_path, rows, message):
  directory = workdir.start(Config(), tmp_path, 'prepare')
  with pytest.raises(ValueError, match=message):
    workdir.finish(directory, rows)
  assert not workdir.is_finished(tmp_path, 'prepare')


def test_times_are_kept_apart(tmp_path):
  directory = workdir.start(Config(), tmp_path, 'prepare')
  for name in ('read', 'write'):
    with workdir.timed(directory, name):
      pass
  timings = json.loads((directory / 'timings.json').read_text())
  assert set(timings) == {'read', 'write'}
  assert all(0 <= seconds < 5 for seconds in timings.values())


def test_bad_input_leaves_a_new_workdir_unmade(tmp_path):
  def run(directory):
    with workdir.unchanged_on_bad_input(directory):
      (workdir.start(Config(), directory, 'prepare') / 'half').write_text('')
      raise InputError('no such file')

  with pytest.raises(InputError):
    run(tmp_path / 'new')
  assert not files_in(tmp_path)
  (tmp_path / 'notes.txt').write_text('')
  with pytest.raises(InputError):
    run(tmp_path)
  assert files_in(tmp_path) == ['notes.txt']


def test_bad_input_that_shows_late_leaves_what_was_computed(tmp_path):
  for kept in ('regret/lin_ts.parquet', 'finetune/seed_0/checkpoints/1', 'parts/a.json'):
    file = tmp_path / kept.partition('/')[0] / 'run' / kept
    with pytest.raises(InputError), workdir.unchanged_on_bad_input(file.parents[kept.count('/')]):
      file.parent.mkdir(parents=True)
      file.write_text('')
      raise InputError('the second part cannot be')
    assert file.exists()


def test_bad_input_keeps_what_earlier_stages_and_an_earlier_try_left(tmp_path):
  workdir.finish(workdir.start(Config(), tmp_path, 'prepare'), [row()])
  (workdir.start(Config(), tmp_path, 'pretrain') / 'checkpoint').write_text('')
  before = files_in(tmp_path)
  with pytest.raises(InputError), workdir.unchanged_on_bad_input(tmp_path):
    workdir.start(Config(), tmp_path, 'pretrain')
    raise InputError('no such weights')
  assert files_in(tmp_path) == before
