"""The stage on a tiny run with models of random weights; what exploration found is made up."""

import json
import shutil
import types

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from flax import nnx

from rec_jax import files
from rec_jax.data.config import DataConfig
from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs import config as configs
from rec_jax.runs import workdir as runs
from rec_jax.stages.evaluate import compared_models, cost
from rec_jax.stages.evaluate import stage as evaluate
from rec_jax.stages.prepare import stage as prepare
from rec_jax.tasks import distillation, item_to_item, next_item, saved_models, text_encoders
from rec_jax.types import InputError
from tests.helpers import made_up
from tests.models import modules


def small_encoder(*_):
  blocks = TransformerConfig(num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
  return TextEncoder(TextEncoderConfig(max_length=8, transformer=blocks), rngs=nnx.Rngs(0))


@pytest.fixture(scope='module')
def small():
  """A small text encoder in place of the published one, and a short grid."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(text_encoders, 'initial', small_encoder)
    patched.setattr(text_encoders, 'published', small_encoder)
    patched.setattr(compared_models, 'LAMBDAS', (10.0,))
    patched.setattr(compared_models, 'DECAYS', (0.5, 1.0))
    yield


def settings(directory):
  """Twenty users and thirty items, of which the last five come after the cut."""
  rng = np.random.default_rng(0)
  early = [(user, item, 0) for user in range(20) for item in rng.permutation(25)[:8]]
  late = [(user, item, 1) for user in range(20) for item in 25 + rng.permutation(5)[:3]]
  user, item, phase = np.array(early + late).T
  events = {
    'user_id': user,
    'item_id': item,
    'timestamp': rng.permutation(len(user)) + 1000 * phase,
    'rating': rng.integers(1, 6, len(user)),
  }
  pl.DataFrame(events).write_csv(directory / 'events.csv')
  items = {'item_id': range(30), 'title': [f'Item number {i}' for i in range(30)]}
  pl.DataFrame(items).write_csv(directory / 'items.csv')
  data = DataConfig(
    source='tables',
    interactions=str(directory / 'events.csv'),
    items=str(directory / 'items.csv'),
    text_length=8,
    cut=0.72,
  )
  sizes = {'dim': 8, 'num_heads': 2}
  return configs.Config(
    num_seeds=2,
    data=data,
    finetune=configs.FinetuneConfig(**sizes, history_length=8, encoder_blocks=1),
    distil=configs.DistilConfig(**sizes, token_dim=8, text_dim=8),
  )


def save_models(config, workdir, dataset):
  """Models with random weights where trained ones would be: training would take far longer."""
  num_items, has_id = dataset.items.num_items, ~dataset.split.cold_items

  def rank(variant):
    return item_to_item.rank(variant, config.finetune, num_items)

  for seed in artefacts.seeds(config):
    for variant, width in (('teacher', 8), ('id_only', 0)):
      model = modules.random(
        lambda variant=variant: next_item.new_model(
          variant,
          text_encoders.initial('random', config.data, 0),
          config.finetune,
          num_items,
          0,
          rank(variant),
        ),
        seed,
      )
      text = np.random.default_rng(seed).normal(size=(num_items, width)).astype(np.float32)
      model.towers.items.fill(jnp.asarray(text), jnp.asarray(has_id), jnp.zeros(num_items))
      place = workdir / f'finetune/seed_{seed}/{variant}'
      artefacts.save_two_tower(config, place, model, 1, text_encoders.initial('random', None, 0))
    student = modules.random(
      lambda: distillation.new_student(
        config.distil, num_items, (30_522, 8), config.data.text_length, 8, rank('teacher'), 0
      ),
      seed,
    )
    student.input_ids[...] = jnp.asarray(dataset.input_ids)
    student.mask[...] = jnp.asarray(dataset.attention_mask)
    student.has_id[...] = jnp.asarray(has_id)
    saved_models.save(workdir / f'distil/seed_{seed}/model', student, 1, {})
  runs.finish(workdir / 'finetune', [])
  runs.finish(workdir / 'distil', [])


@pytest.fixture(scope='module')
def trained(small, tmp_path_factory):
  """(config, workdir) of a run that lacks its last stage."""
  directory = tmp_path_factory.mktemp('tables')
  config, workdir = settings(directory), directory / 'run'
  prepare.run(config, workdir)
  save_models(config, workdir, artefacts.load_dataset(workdir))
  pretrained = runs.start(config, workdir, 'pretrain')
  encoder = text_encoders.initial('random', config.data, 0)
  saved_models.save(pretrained / 'model', encoder, 0, {})
  runs.finish(pretrained, [row for row in made_up.rows() if row['stage'] == 'pretrain'])
  stage_dir = runs.start(config, workdir, 'explore')
  files.write_json(stage_dir / 'summary.json', made_up.exploration())
  runs.finish(stage_dir, [made_up.row('uniform', 'reward', 0.1, protocol='x', stage='explore')])
  return config, workdir


@pytest.fixture(scope='module')
def evaluated(trained):
  config, workdir = trained
  evaluate.run(config, workdir)
  return config, workdir


def contents(directory):
  return {path: path.read_bytes() for path in directory.rglob('*') if path.is_file()}


def test_metrics_are_the_same_from_run_to_run_and_hold_no_time(evaluated, tmp_path, monkeypatch):
  config, workdir = evaluated
  assert (workdir / 'report/index.html').exists()
  # Its page is the same again where the rows are, as another test shows.
  monkeypatch.setattr(evaluate.run_page, 'write', lambda found, page: None)
  shutil.copytree(workdir, tmp_path / 'again', ignore=shutil.ignore_patterns('evaluate', 'report'))
  evaluate.run(config, tmp_path / 'again')
  first, second = (path / 'evaluate/metrics.json' for path in (workdir, tmp_path / 'again'))
  assert first.read_bytes() == second.read_bytes()
  timings = json.loads((workdir / 'evaluate/timings.json').read_text())
  assert timings[cost.timing_name('student')] > 0
  assert not any('second' in row['metric'] for row in json.loads(first.read_text()))


def test_every_model_is_judged_under_every_protocol(evaluated):
  rows = runs.read_metrics(evaluated[1], 'evaluate')
  names = {(row['subject'], row['protocol'].partition(':')[0]) for row in rows}
  for model in made_up.MODELS:
    assert (model, 'next item') in names
  for model in (compared_models.ZERO_SHOT, compared_models.TEACHER, compared_models.STUDENT):
    assert (model, 'unseen items in the whole catalogue') in names
  for pair in ('teacher minus id-only', 'teacher minus popularity', 'teacher minus EASE'):
    assert (f'{pair}, paired', 'next item') in names
  assert ('teacher, spread over seeds', 'next item') in names
  dataset = artefacts.load_dataset(evaluated[1])
  interactions = dataset.interactions
  cold = dataset.split.cold_items[interactions.item]
  units = min(len(np.unique(x[cold])) for x in (interactions.user, interactions.item))
  # Of unseen items there are fewer than users, and that decides how much is known.
  assert units < 20
  for row in rows:
    if row['metric'] == 'mrr' and row['low'] is not None:
      assert row['n'] == (20 if row['protocol'].startswith('next item') else units)


def test_parameters_are_those_of_the_modules(evaluated):
  config, workdir = evaluated
  rows = runs.read_metrics(workdir, 'evaluate')
  counts = {row['subject']: row['value'] for row in rows if row['metric'] == cost.PARAMETERS}
  student = artefacts.load_student(config, workdir, 0, 30)
  leaves = [v[...].size for _, v in nnx.to_flat_state(nnx.state(student, nnx.Param))]
  assert counts['student'] == sum(leaves)
  assert counts['teacher'] > 30_522 * 8


def test_the_report_is_made_again_without_measuring_again(evaluated, monkeypatch, capsys):
  config, workdir = evaluated
  page = workdir / 'report/index.html'
  before = page.read_text()
  page.unlink()
  monkeypatch.setattr(evaluate, '_measure', None)
  evaluate.run(config, workdir)
  assert page.read_text() == before
  output = capsys.readouterr().out
  assert output.endswith(f'report: {page}\n')
  assert 'recall@10 (n=20)' in output


def test_all_earlier_stages_are_needed(trained, tmp_path):
  config, workdir = trained
  shutil.copytree(workdir, tmp_path / 'run', ignore=shutil.ignore_patterns('explore', 'evaluate'))
  with pytest.raises(InputError, match='no finished stage explore'):
    evaluate.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run/evaluate').exists()


def test_a_run_of_the_teacher_alone_is_evaluated(monkeypatch):
  """Without training: which models are loaded and ranked."""
  config, ranked = configs.Config(), []
  config.finetune.variants = 'teacher'

  def two_towers(config, workdir, variant, num_items):
    assert variant in config.finetune.variants.split(',')

  data = types.SimpleNamespace(items=types.SimpleNamespace(num_items=3))
  monkeypatch.setattr(evaluate.artefacts, 'load_dataset', lambda workdir: data)
  for name, made in (
    ('text_directions', lambda *_: np.zeros((3, 2))),
    ('baselines', lambda *_: dict.fromkeys(('popularity', compared_models.ZERO_SHOT))),
    ('two_towers', two_towers),
    ('students', lambda *_: None),
  ):
    monkeypatch.setattr(compared_models, name, made)
  monkeypatch.setattr(
    evaluate.ranking_comparison, 'ranking_rows', lambda *given: ranked.extend(given[2]) or []
  )
  monkeypatch.setattr(evaluate.ranking_comparison, 'unseen_rows', lambda *_: [])
  monkeypatch.setattr(evaluate.known_and_new, 'rows', lambda *_: [])
  monkeypatch.setattr(evaluate.cost, 'measure', lambda *_: ([], {}))
  assert evaluate._measure(config, '') == ([], {})
  assert ranked == ['popularity', compared_models.ZERO_SHOT, 'teacher', 'student']


@pytest.mark.parametrize(
  ('stage', 'shown'),
  [
    ('finetune', {'id-only': 'ndcg@10', 'teacher': 'mrr'}),
    ('distil', {'student': 'recall@10'}),
    ('explore', {'uniform': 'reward'}),
  ],
)
def test_a_checkpoint_gives_the_numbers_of_its_run(evaluated, stage, shown, capsys):
  _, workdir = evaluated
  before = contents(workdir)
  evaluate.run_checkpoint(workdir / stage)
  assert contents(workdir) == before
  source = 'explore' if stage == 'explore' else 'evaluate'
  rows, lines = runs.read_metrics(workdir, source), capsys.readouterr().out.splitlines()
  for subject, metric in shown.items():
    # The first of each is of the ranking of all items; the parts of it follow.
    value, *_ = [
      row['value'] for row in rows if (row['subject'], row['metric']) == (subject, metric)
    ]
    line, *_ = [line for line in lines if line.startswith(subject + '  ') and metric in line]
    assert float(line.split('[')[0].split()[-1]) == pytest.approx(value, abs=0.006)


@pytest.mark.parametrize(
  ('path', 'message'),
  [
    ('run/evaluate', 'none of the stages pretrain, finetune, distil, explore'),
    ('run/finetun', 'none of the stages'),
    ('finetune', 'has no manifest.json'),
  ],
)
def test_a_path_that_is_no_stage_of_a_run(evaluated, path, message):
  with pytest.raises(InputError, match=message):
    evaluate.run_checkpoint(evaluated[1].parent / path)


def test_a_stage_without_a_whole_checkpoint(evaluated, tmp_path):
  _, workdir = evaluated
  shutil.copytree(workdir, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run/distil/seed_0/model')
  message = 'no whole checkpoint in .*: delete .*/run/distil and run its stage again'
  with pytest.raises(InputError, match=message):
    evaluate.run_checkpoint(tmp_path / 'run/distil')
  (tmp_path / 'run/finetune/metrics.json').unlink()
  with pytest.raises(InputError, match='no finished stage finetune'):
    evaluate.run_checkpoint(tmp_path / 'run/finetune')


def test_a_manifest_of_another_version(evaluated, tmp_path):
  shutil.copytree(evaluated[1], tmp_path / 'run')
  manifest = runs.read_manifest(tmp_path / 'run')
  manifest['config']['distil']['old_field'] = 1
  files.write_json(tmp_path / 'run/manifest.json', manifest)
  message = r'another version of the code \(.*; which had a config.distil.old_field\)'
  with pytest.raises(InputError, match=message):
    evaluate.run_checkpoint(tmp_path / 'run/distil')
