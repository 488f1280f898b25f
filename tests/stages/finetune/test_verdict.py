"""What the stage says of a model that something without training outdoes."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.stages.finetune import verdict
from rec_jax.tasks.full_ranking import Queries

NUM_ITEMS, NUM_QUERIES = 30, 60


def _queries():
  """After one item 2k, whose answer is 2k + 1."""
  first = 2 * np.random.default_rng(0).integers(0, NUM_ITEMS // 2, NUM_QUERIES)
  history = (first[:, None] + 1).astype(np.int32)
  offsets = np.arange(NUM_QUERIES + 1)
  ones, seen = np.ones_like(history), first.astype(np.int32)
  return Queries(history, ones, 0 * ones, first + 1, offsets[:-1], offsets, seen)


def _rows(ndcg, alone, popular, text_tells):
  """Of a model and of what it has to beat, all about so good."""
  noise = np.random.default_rng(1).normal(scale=0.02, size=(3, NUM_QUERIES))
  values = np.array([[ndcg], [alone], [popular]]) + noise
  others = {verdict.LINEAR: values[1], verdict.POPULAR: values[2]}
  known, directions = np.ones(NUM_ITEMS, bool), _directions(text_tells)
  rows = verdict.rows('teacher seed 0', _queries(), known, values[0], others, directions, 0)
  return values, rows


def _directions(text_tells):
  """Unit vectors; those of 2k and 2k + 1 are the same, or all are at random."""
  rows = np.random.default_rng(2).normal(size=(NUM_ITEMS, 12))
  if text_tells:
    rows[1::2] = rows[::2]
  return jnp.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), jnp.float32)


@pytest.mark.parametrize(
  ('ndcg', 'alone', 'popular', 'text_tells', 'better'),
  [
    (0.6, 0.4, 0.4, False, []),
    (0.6, 0.6, 0.6, False, []),
    (0.4, 0.6, 0.3, False, [verdict.LINEAR]),
    (0.4, 0.3, 0.6, False, [verdict.POPULAR]),
    (0.6, 0.4, 0.4, True, [verdict.TEXT]),
    (0.4, 0.6, 0.6, True, [verdict.LINEAR, verdict.POPULAR, verdict.TEXT]),
  ],
)
def test_it_warns_of_what_ranks_better_and_names_it(
  caplog, ndcg, alone, popular, text_tells, better
):
  with caplog.at_level(logging.WARNING):
    _rows(ndcg, alone, popular, text_tells)
  said = [record.getMessage() for record in caplog.records]
  assert [line.split('recommend by ')[1].removesuffix(' instead') for line in said] == better
  assert all(f'on {NUM_QUERIES} validation events' in line for line in said)


def test_the_rows_are_paired_differences_and_what_was_chosen():
  values, rows = _rows(0.6, 0.4, 0.3, text_tells=True)
  table = {row['metric']: row for row in rows}
  for name, other in ((verdict.LINEAR, values[1]), (verdict.POPULAR, values[2])):
    found = table[f'ndcg@10 less that of {name}']
    assert found['value'] == pytest.approx((values[0] - other).mean(), abs=1e-6)
    assert found['low'] < found['value'] < found['high']
  # The text finds each answer at once.
  text = table[f'ndcg@10 less that of {verdict.TEXT}']
  assert text['value'] == pytest.approx(values[0].mean() - 1, abs=1e-6)


def test_what_was_chosen_is_told():
  settings = {'lambda': 400.0, 'decay': 0.9, 'gain': 2.0}
  rows = verdict.settings_rows('teacher seed 0', 'linear path', settings, _queries())
  table = {row['metric']: (row['value'], row['n']) for row in rows}
  assert table == {f'linear path, {name}': (value, 60) for name, value in settings.items()}
