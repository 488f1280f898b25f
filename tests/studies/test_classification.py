"""The command of classification: what it needs and writes, and that it leaves the run alone."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest
from flax import nnx

from rec_jax.models.hugging_face import folder
from rec_jax.report import terminal
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.studies import classification
from rec_jax.tasks import saved_models
from rec_jax.tasks.classification import Examples, Problem
from rec_jax.types import InputError
from tests.helpers import small

QWEN = pathlib.Path(__file__).parents[1] / 'data/encoders/qwen3'


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run that has come to its text encoder, of which some items are new."""
  root = tmp_path_factory.mktemp('run')
  config, directory = small.config(root, text_model=str(QWEN)), root / 'run'
  dataset = small.dataset()
  dataset.split.cold_items[:6] = True
  number = np.arange(dataset.items.num_items)
  titles = [f'thing {each}' for each in number]
  kinds = np.array(['red', 'blue | red', 'green'])[number % 3]
  items = pl.DataFrame({'item_id': number, 'title': titles, 'kind': kinds})
  items.write_csv(config.data.items)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(artefacts, 'load_dataset', lambda _: dataset)
    for stage in ('prepare', 'pretrain'):
      runs.finish(runs.start(config, directory, stage), [])
    saved_models.save(directory / 'pretrain' / 'model', folder.load(QWEN), 0, {})
    yield directory


def test_a_page_shows_each_class_beside_what_needs_no_model(workdir):
  before = (workdir / 'manifest.json').read_text(), sorted(workdir.glob('*'))
  tables, path = classification.run(workdir, 'category', 'kind', True)
  classes = ('blue', 'green', 'red')
  assert [row[0] for row in tables[0].rows] == [*classes, 'macro average', 'micro average']
  assert [row[-1] for row in tables[0].rows] == [2, 2, 4, 8, 8]
  assert '6 judged, of 6 items' in tables[0].note and 'one run of seed 0' in tables[0].note
  page = path.read_text()
  assert all(name in page for name in (*classes, classification.FREQUENT))
  assert 'precision' in terminal.table(tables[0].columns, tables[0].rows)
  rows = json.loads((path.parent / 'metrics.json').read_text())
  support = {row['subject']: row['value'] for row in rows if row['metric'] == 'support'}
  assert support == {'class blue': 2, 'class green': 2, 'class red': 4}
  # Red for all is right for four of six, and finds no other class: F1 of 0.8, 0 and 0.
  [macro] = [row for row in rows if row['subject'] == f'{classification.FREQUENT}, macro average'][
    2:
  ]
  np.testing.assert_allclose(macro['value'], 0.8 / 3)
  assert (workdir / 'manifest.json').read_text() == before[0]
  assert set(workdir.glob('*')) - set(before[1]) == {workdir / 'classify'}


def test_of_tokens_the_users_are_drawn(workdir):
  """Two users with three events and with one, the rest being padding."""
  labels = np.eye(2)[[[0, 1, 1], [1, 0, 0]]]
  weights = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
  part = Examples((), labels, weights, np.array([7, 9]))
  problem = Problem(('not liked', 'liked'), True, None, nnx.Param, part, part, part, 'made up')
  told = np.eye(2, dtype=bool)[[[0, 0, 1], [1, 1, 1]]]
  tables, _ = classification._write(workdir, 'likes', problem, told, 'made up', 0)
  assert '4 judged, of 2 users' in tables[0].note
  liked = tables[0].rows[1]
  assert [cell.value for cell in liked[1:4]] == [1, 2 / 3, 0.8] and liked[4] == 3
  assert liked[2].n == 2


@pytest.mark.parametrize(('target', 'column'), [('category', ''), ('buys', 'kind')])
def test_a_column_is_of_categories_alone(workdir, target, column):
  with pytest.raises(InputError, match='--target=category needs --column=COLUMN') as error:
    classification.run(workdir, target, column, True)
  assert '\n' not in str(error.value)


def test_the_flag_names_every_target():
  script = (pathlib.Path(__file__).parents[2] / 'experiments/classify.py').read_text()
  assert all(f"'{target}'" in script for target in classification.TARGETS)
