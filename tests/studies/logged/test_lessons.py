"""Rounds that taught a policy are recognised, whatever was done to the file, and no others."""

import dataclasses

import numpy as np
import pytest

from rec_jax.data import obp
from rec_jax.data.logged_feedback import LoggedFeedback, subset
from rec_jax.studies.logged import lessons


def log(seed=0, num_rounds=2000, has_context=True):
  rng = np.random.default_rng(seed)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': rng.integers(3, size=num_rounds),
      'reward': (rng.random(num_rounds) < 0.3).astype(float),
      'pscore': np.full(num_rounds, 1 / 3),
      'context': rng.normal(size=(num_rounds, 2)) if has_context else None,
    }
  )


def renumbered(data):
  return dataclasses.replace(data, round=np.arange(len(data.action)))


def single(data):
  """As a file of single precision gives it back."""
  columns = ('propensity', 'reward', 'context')
  return dataclasses.replace(
    data, **{name: getattr(data, name).astype(np.float32).astype(float) for name in columns}
  )


def reordered(data):
  order = np.array([2, 0, 1])
  return dataclasses.replace(
    data, item_ids=data.item_ids[order], action=np.argsort(order)[data.action]
  )


KEPT = np.r_[1:600, 640:2000]


@pytest.mark.parametrize('change', [renumbered, single, reordered])
def test_rounds_are_known_wherever_they_stand(change):
  data = log()
  found = lessons.of(subset(data, slice(1000)))
  assert found.window == 1
  for rows in (np.arange(2000), KEPT, np.random.default_rng(0).permutation(2000)):
    shown = change(subset(data, rows))
    np.testing.assert_array_equal(lessons.taught(found, shown), rows < 1000)


def test_rounds_that_are_alike_are_known_by_their_neighbours():
  data = log(has_context=False)
  found = lessons.of(subset(data, slice(1000)))
  # Of the six kinds of rounds a thousand are told apart by eight to thirty-two in a row.
  assert 8 <= found.window <= 32
  # Each place but the last few, which are in no whole window of the lessons.
  np.testing.assert_array_equal(lessons.taught(found, renumbered(subset(data, KEPT))), KEPT < 1000)
  assert lessons.taught(found, log(1, has_context=False)).mean() < 0.02


@pytest.mark.parametrize('share', [0.2, 0.5, 0.9])
def test_rounds_that_are_alike_are_known_by_their_numbers_if_many_are_dropped(share):
  data = log(has_context=False)
  found = lessons.of(subset(data, slice(1000)))
  kept = np.flatnonzero(np.random.default_rng(0).random(2000) > share)
  known = lessons.taught(found, subset(data, kept))
  assert known[kept < 1000].all() and known[kept >= 1000].mean() < 0.02
  # Of another log with the same numbers a fifth agree, which are not chosen by their reward.
  assert lessons.taught(found, subset(log(1, has_context=False), kept)).mean() < 0.05


def test_rounds_that_may_have_taught_and_are_not_known_are_warned_of(caplog):
  data = log(has_context=False)
  found = lessons.of(subset(data, slice(1000)))
  kept = np.flatnonzero(np.random.default_rng(0).random(2000) > 0.2)
  known = lessons.taught(found, renumbered(subset(data, kept)))
  assert 0 < known.sum() < (kept < 1000).sum()
  said = f'of the 1,000 rounds that taught the policy {known.sum()} are recognised in the log'
  assert said in caplog.text
  caplog.clear()
  # Numbered anew and beyond all that taught.
  far = renumbered(subset(data, kept))
  lessons.taught(found, dataclasses.replace(far, round=far.round + 10_000))
  assert said in caplog.text
  caplog.clear()
  # Next week's rounds, numbered on.
  week = dataclasses.replace(log(1, has_context=False), round=np.arange(2000, 4000))
  lessons.taught(found, week)
  for told in (log(), log(1)):
    lessons.taught(lessons.of(log()), told)
  assert not caplog.text


def test_rounds_of_another_log_are_not_known():
  found = lessons.of(log())
  assert not lessons.taught(found, log(1)).any()
  other = dataclasses.replace(log(), reward=1 - log().reward)
  assert not lessons.taught(found, other).any()
  assert not lessons.taught(lessons.of(log(has_context=False)), subset(log(), slice(1))).any()


@pytest.mark.parametrize('num_rounds', [1, 2, 3])
def test_the_shortest_logs(num_rounds):
  data = log(num_rounds=num_rounds)
  assert isinstance(data, LoggedFeedback)
  assert lessons.taught(lessons.of(data), data).all()


def test_what_no_window_tells_apart_is_compared_as_a_whole():
  same = dataclasses.replace(
    log(has_context=False), action=np.zeros(2000, int), reward=np.ones(2000)
  )
  found = lessons.of(subset(same, slice(1000)))
  assert found.window == 512
  assert lessons.taught(found, same).all()
  assert not lessons.taught(found, subset(same, slice(1500, 1900))).any()
