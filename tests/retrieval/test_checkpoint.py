"""A recommender of a run on disk, in code and in the terminal; what is no such run is refused."""

import dataclasses
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from flax import nnx

from rec_jax.data.features import Features
from rec_jax.models.hugging_face import folder
from rec_jax.retrieval import Recommender, listing
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.tasks import distillation, item_to_item, next_item, saved_models
from rec_jax.types import InputError
from tests.helpers import served, small

QWEN = pathlib.Path(__file__).parents[1] / 'data/encoders/qwen3'


def finished(config, workdir, stage):
  directory = runs.start(config, workdir, stage)
  runs.finish(directory, [])
  return directory


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """(workdir, its student): stages that hold models which nothing has trained."""
  root = tmp_path_factory.mktemp('run')
  config, directory = small.config(root, text_model=str(QWEN)), root / 'run'
  data = served.dataset()
  number = np.arange(data.items.num_items)
  kinds = np.array(['red', 'blue | red', 'green'])[number % 3]
  told = Features(pl.DataFrame({'genre': [each.split(' | ') for each in kinds]}), moment='hour')
  data = dataclasses.replace(data, fingerprint='a' * 64, features=told)
  widths = data.encoded.encoders.widths
  items = pl.DataFrame({'item_id': data.items.ids, 'title': data.items.text, 'genre': kinds})
  items.write_csv(config.data.items)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(artefacts, 'load_dataset', lambda _: data)
    finished(config, directory, 'prepare')
    runs.record(directory, fingerprint='a' * 64)
    saved_models.save(finished(config, directory, 'pretrain') / 'model', folder.load(QWEN), 0, {})
    rank = item_to_item.rank('teacher', config.finetune, len(number))
    taught = next_item.new_model(
      'teacher', folder.load(QWEN), config.finetune, len(number), 0, rank, widths
    )
    taught.towers.users.context.kernel[...] = _random(widths.context, config.finetune.dim)
    place = finished(config, directory, 'finetune') / 'seed_0'
    artefacts.save_two_tower(config, place / 'teacher', taught, 0, folder.load(QWEN))
    student = distillation.new_student(
      config.distil, len(number), folder.load(QWEN).token.embedding.shape, 8, 10, rank, 0, widths
    )
    student.by_features[...] = _random(*student.by_features.shape)
    student.users.context.kernel[...] = _random(widths.context, config.distil.dim)
    student.id.embedding[...] *= 40.0
    place = finished(config, directory, 'distil') / 'seed_0'
    artefacts.save_student(config, place, student, 0)
    yield directory, nnx.view(student, deterministic=True)


def _random(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def test_the_student_serves_unless_the_teacher_is_asked_for(run):
  workdir, student = run
  before = sorted(workdir.rglob('*'))
  recommender = Recommender.from_checkpoint(workdir)
  history = np.zeros((1, 10), np.int32)
  history[0, :2] = 4, 6
  logits = np.asarray(served.student_score(student, history, np.minimum(history, 1)))[0]
  [answer] = recommender.recommend([['i3', 'i5']], 3)
  order = [row for row in np.argsort(-logits) if row not in (3, 5)]
  assert [item.id for item in answer.items] == [f'i{row}' for row in order[:3]]
  assert answer.items[0].title == f'Thing {order[0]} ({1980 + order[0]})'
  [red] = recommender.recommend([[]], 16, allowed={'genre': 'red'})
  assert all(int(item.id[1:]) % 3 < 2 for item in red.items)
  with pytest.raises(InputError, match='no attribute "gnre"'):
    recommender.recommend([[]], 1, allowed={'gnre': 'red'})
  recommender.add_items(['new'], ['a red thing'])
  recommender.add_items(['old', 'odd'], ['a red thing'] * 2, {'genre': ['green', 'unheard of']})
  new, old, odd = recommender.score([(['i3', 'i5'], item) for item in ('new', 'old', 'odd')])
  np.testing.assert_allclose(new, odd, rtol=1e-5)
  assert abs(new - old) > 1e-3
  other = Recommender.from_checkpoint(workdir, 'teacher')
  # The hour of a request tells both models something.
  at = 3_600 * np.arange(2)
  context = artefacts.load_dataset(workdir).encoded.encoders.context([{}, {}], at)
  pairs, twice = [(['i3', 'i5'], 'i7')] * 2, np.repeat(history, 2, axis=0)
  asked = twice, np.minimum(twice, 1)
  expected = np.asarray(served.student_score(student, *asked, context=context))[:, 7]
  found = recommender.score(pairs, now=at.tolist())
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)
  assert found[0] != found[1]
  first, second = other.score(pairs, now=at.tolist())
  assert first != second
  assert other.recommend([['i3']], 3) != recommender.recommend([['i3']], 3)
  assert sorted(workdir.rglob('*')) == before


def test_a_list_says_titles_scores_and_why(run, capsys):
  workdir, _ = run
  options = 'Thing 3 (1983), i5, Thing 5', 2, None
  listing.print_answer(workdir, *options, 'refuse', (['genre:red'], []), ('', [], 0))
  out = capsys.readouterr().out
  assert out.startswith('after: Thing 3 (1983), Thing 5 (1985), Thing 5 (1985)')
  assert 'most of it from' in out and 'cosine' in out and 'propensity' not in out
  policy = 'lin_ts', ['scale=0.5', 'num_samples=8'], 3
  listing.print_answer(workdir, 'thing 77', 2, None, 'skip', ([], ['genre:red']), policy)
  out = capsys.readouterr().out
  assert out.startswith('not in the catalogue, skipped: thing 77\nno history: what the model')
  assert 'propensity' in out and 'most of it from' not in out and 'estimates' in out
  # What the models were built to read of a moment is its hour.
  for now in ('1970-01-01', '1970-01-01T01:00', '3600'):
    listing.print_answer(workdir, *options, 'refuse', ([], []), ('', [], 0), ((), now))
  first, second, third = capsys.readouterr().out.split('after: ')[1:]
  assert first != second == third


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'history': 'Thnig 3'}, 'no item "Thnig 3" in the catalogue: did you mean "Thing 3 (1983)"'),
    ({'constraints': (['red'], [])}, 'constraint "red": give ATTRIBUTE:VALUE'),
    ({'explore': ('lin_ts', ['scale'], 0)}, 'setting "scale": give NAME=NUMBER'),
    ({'explore': ('lin_ts', ['sacle=1'], 0)}, "unknown hyperparameter 'sacle'"),
    ({'explore': ('', ['scale=1'], 0)}, 'name it with --explore'),
    ({'request': (['old'], None)}, 'feature "old": give COLUMN:VALUE'),
    ({'request': (['age:9'], None)}, 'no feature "age" of users or moments: there is'),
    ({'request': ([], 'noon')}, '"noon" is no time: give seconds since 1970, or a date'),
    ({'model': 'pupil'}, 'no model "pupil"'),
    ({'k': 99}, 'k is 99'),
  ],
)
def test_what_cannot_be_is_refused(run, changes, message):
  asked = {'history': 'i3', 'k': 2, 'model': None, 'unknown': 'refuse'}
  asked |= {'constraints': ([], []), 'explore': ('', [], 0)} | changes
  with pytest.raises(InputError) as error:
    listing.print_answer(run[0], **asked)
  assert message in str(error.value) and '\n' not in str(error.value)


def test_what_is_no_run_of_this_kind_is_refused(run, tmp_path, monkeypatch):
  with pytest.raises(InputError, match=r'has no manifest.json'):
    Recommender.from_checkpoint(tmp_path)
  manifest = json.loads((run[0] / 'manifest.json').read_text())
  (tmp_path / 'manifest.json').write_text(json.dumps(manifest | {'format': 1}))
  with pytest.raises(InputError, match='its files are of format 1'):
    Recommender.from_checkpoint(tmp_path)
  data = served.dataset()
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: data)
  with pytest.raises(InputError, match='holds another catalogue'):
    Recommender.from_checkpoint(run[0])
  other = dataclasses.replace(served.dataset(30), fingerprint='a' * 64)
  monkeypatch.setattr(artefacts, 'load_dataset', lambda _: other)
  with pytest.raises(InputError, match=r'seed_0.model'):
    Recommender.from_checkpoint(run[0])
