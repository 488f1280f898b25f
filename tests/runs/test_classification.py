"""The command of classification: what it needs, what it writes, and that it leaves the run alone."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from rec_jax.models.hugging_face import folder
from rec_jax.report import terminal
from rec_jax.runs import artefacts, classification
from rec_jax.runs import workdir as runs
from rec_jax.tasks import saved_models
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
  kinds = np.array(['red', 'blue', 'green'])[number % 3]
  items = pl.DataFrame({'item_id': number, 'title': titles, 'kind': kinds})
  items.write_csv(config.data.items)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(artefacts, 'load_dataset', lambda _: dataset)
    for stage in ('prepare', 'pretrain'):
      runs.finish(runs.start(config, directory, stage), [])
    saved_models.save(directory / 'pretrain' / 'model', folder.load(QWEN), 0, {})
    yield directory


@pytest.mark.parametrize(
  ('target', 'column', 'classes', 'judged'),
  [
    ('category', 'kind', ('blue', 'green', 'red'), '6 judged, of 6 items'),
    ('likes', '', ('not liked', 'liked'), ' judged, of 20 users'),
  ],
)
def test_a_page_shows_each_class_beside_what_needs_no_model(
  workdir, target, column, classes, judged
):
  before = (workdir / 'manifest.json').read_text(), sorted(workdir.glob('*'))
  tables, path = classification.run(workdir, target, column, True)
  assert [row[0] for row in tables[0].rows] == [*classes, 'macro average', 'micro average']
  assert judged in tables[0].note and 'one run of seed 0' in tables[0].note
  page = path.read_text()
  assert all(name in page for name in (*classes, classification.FREQUENT))
  assert 'precision' in terminal.table(tables[0].columns, tables[0].rows)
  rows = json.loads((path.parent / 'metrics.json').read_text())
  support = {row['subject']: row['value'] for row in rows if row['metric'] == 'support'}
  assert list(support) == [f'class {name}' for name in classes]
  [gain] = [row for row in rows if row['subject'] == f'{classification.GAIN}, macro average']
  assert gain['n'] == (6 if target == 'category' else 20)
  assert (workdir / 'manifest.json').read_text() == before[0]
  assert set(workdir.glob('*')) - set(before[1]) <= {workdir / 'classify'}


@pytest.mark.parametrize(('target', 'column'), [('category', ''), ('buys', 'kind')])
def test_a_column_is_of_categories_alone(workdir, target, column):
  with pytest.raises(InputError, match='--target=category needs --column=COLUMN') as error:
    classification.run(workdir, target, column, True)
  assert '\n' not in str(error.value)


def test_the_flag_names_every_target():
  script = (pathlib.Path(__file__).parents[2] / 'experiments/classify.py').read_text()
  assert all(f"'{target}'" in script for target in classification.TARGETS)
