"""What the stage says of a model that something without training outdoes."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.stages.finetune import verdict
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.item_to_item import Choice

NUM_ITEMS, NUM_QUERIES = 30, 60
SETTINGS = {'lambda': 400.0, 'decay': 0.9, 'gain': 2.0}


def _choice(ndcg, alone):
  """Queries after one item 2k, whose answer is 2k + 1."""
  first = 2 * np.random.default_rng(0).integers(0, NUM_ITEMS // 2, NUM_QUERIES)
  history = (first[:, None] + 1).astype(np.int32)
  offsets = np.arange(NUM_QUERIES + 1)
  ones, seen = np.ones_like(history), first.astype(np.int32)
  asked = Queries(history, ones, 0 * ones, first + 1, offsets[:-1], offsets, seen)
  noise = np.random.default_rng(1).normal(scale=0.02, size=(2, NUM_QUERIES))
  return Choice(SETTINGS, asked, np.ones(NUM_ITEMS, bool), ndcg + noise[0], alone + noise[1])


def _directions(text_tells):
  """Unit vectors; those of 2k and 2k + 1 are the same, or all are at random."""
  rows = np.random.default_rng(2).normal(size=(NUM_ITEMS, 12))
  if text_tells:
    rows[1::2] = rows[::2]
  return jnp.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), jnp.float32)


@pytest.mark.parametrize(
  ('ndcg', 'alone', 'text_tells', 'better'),
  [
    (0.6, 0.4, False, []),
    (0.6, 0.6, False, []),
    (0.4, 0.6, False, [verdict.LINEAR]),
    (0.6, 0.4, True, [verdict.TEXT]),
    (0.4, 0.6, True, [verdict.LINEAR, verdict.TEXT]),
  ],
)
def test_it_warns_of_what_ranks_better_and_names_it(caplog, ndcg, alone, text_tells, better):
  with caplog.at_level(logging.WARNING):
    verdict.rows('teacher seed 0', _choice(ndcg, alone), _directions(text_tells), 0)
  said = [record.getMessage() for record in caplog.records]
  assert [line.split('recommend by ')[1].removesuffix(' instead') for line in said] == better
  assert all(f'on {NUM_QUERIES} validation events' in line for line in said)


def test_the_rows_are_paired_differences_and_what_was_chosen():
  chosen = _choice(0.6, 0.4)
  rows = verdict.rows('teacher seed 0', chosen, _directions(True), 0)
  table = {row['metric']: row for row in rows}
  linear = table[f'ndcg@10 less that of {verdict.LINEAR}']
  assert linear['value'] == pytest.approx((chosen.ndcg - chosen.alone).mean(), abs=1e-6)
  assert linear['low'] < linear['value'] < linear['high']
  # The text finds each answer at once.
  text = table[f'ndcg@10 less that of {verdict.TEXT}']
  assert text['value'] == pytest.approx(chosen.ndcg.mean() - 1, abs=1e-6)
  for name, value in SETTINGS.items():
    assert table[f'linear path, {name}']['value'] == value
