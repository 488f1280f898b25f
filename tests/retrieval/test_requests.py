"""Histories with times and what is known of users, served as the models themselves score them."""

import dataclasses
import datetime

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.data.feature_encoding import Encoders, fit
from rec_jax.data.splits import since_first
from rec_jax.models.user_towers.hstu import HSTU
from rec_jax.retrieval import requests
from rec_jax.retrieval.requests import Reader
from rec_jax.tasks import two_tower_model
from rec_jax.types import InputError
from tests.helpers import served

DATA = served.dataset()
N = DATA.items.num_items
IDS = DATA.items.ids.tolist()
START = 880_000_000
# More events than the model reads, an hour and more apart.
EVENTS = [(f'i{i}', i % 3 > 0, START + 3_600 * i**2) for i in range(12)]
ENCODERS = Encoders(
  users=fit(served.KNOWN_OF_USERS, np.ones(3, bool)), cycles={'hour': np.full(24, 1 / 24)}
)


@pytest.fixture(scope='module')
def model():
  """A teacher that reads times, and features of users and moments."""
  taught = served.teacher(DATA, user_tower='hstu', widths=(0, ENCODERS.widths.context))
  assert isinstance(taught.towers.users, HSTU)
  weights = np.random.default_rng(1).normal(size=taught.towers.users.context.kernel.shape)
  taught.towers.users.context.kernel[...] = jnp.asarray(weights, jnp.float32)
  return taught


def recommender(model, **options):
  return served.recommender(model, model, DATA, **options)


def logits(model, events, context, times):
  """[N], of all items, by the score of the task; `times` [n] of all events."""
  history, rewards = np.zeros((2, 1, served.LENGTH), np.int32)
  last, seconds = events[-served.LENGTH :], np.zeros((1, served.LENGTH), np.int64)
  for place, (item, liked, *_) in enumerate(last):
    history[0, place], rewards[0, place] = IDS.index(item) + 1, liked
    seconds[0, place] = times[len(events) - len(last) + place]
  since = since_first(seconds, np.array([len(last)]))
  met = np.isin(IDS, [each[0] for each in events])[None]
  return np.asarray(two_tower_model.compiled_score(model, history, rewards, met, since, context))[0]


def test_a_tower_that_reads_times_is_served_as_it_scores(model):
  reader = Reader(spacing=500, encoders=ENCODERS)
  made = recommender(model, reader=reader)
  about, now = {'town': 'Oslo', 'age': 40}, START + 5 * 3_600
  known = ENCODERS.context([about], np.array([now]))
  nobody = np.zeros_like(known)
  untimed = [each[:2] for each in EVENTS]
  cases = (
    (EVENTS, [about], now, known, [each[2] for each in EVENTS]),
    (untimed, [{}], None, ENCODERS.context([{}], None), 500 * np.arange(12)),
    ([], [about], datetime.datetime.fromtimestamp(now, datetime.UTC), known, []),
  )
  found = []
  for events, about_all, when, context, times in cases:
    expected = logits(model, events, context, times)
    found.append(expected)
    pairs = [(events, item) for item in ('i13', 'i20')]
    scores = made.score(pairs, about_all * 2, when)
    np.testing.assert_allclose(scores, expected[[13, 20]], rtol=2e-5, atol=1e-5)
    [answer] = made.recommend([events], 5, about=about_all, now=when)
    assert not answer.from_prior
    order = [row for row in np.argsort(-expected) if IDS[row] not in {e[0] for e in events}]
    assert [item.id for item in answer.items] == [IDS[row] for row in order[:5]]
  assert np.abs(found[0] - found[1]).max() > 1e-3
  # Times and features each make a difference.
  for other in (
    logits(model, EVENTS, known, 500 * np.arange(12)),
    logits(model, EVENTS, nobody, [each[2] for each in EVENTS]),
  ):
    assert np.abs(other - found[0]).max() > 1e-4
  assert made.explain(EVENTS, ['i13'], about, now)[0].contributions


@pytest.mark.parametrize('repeats', [False, True])
def test_what_a_model_learnt_to_repeat_is_shown_again(model, repeats):
  made = recommender(model, reader=Reader(encoders=ENCODERS), repeats=repeats)
  [answer] = made.recommend([EVENTS[:3]], N - 3)
  is_there = not {'i0', 'i1', 'i2'}.isdisjoint(item.id for item in answer.items)
  assert is_there == repeats
  for seen in (False, True):
    [other] = made.recommend([EVENTS[:3]], N - 3, exclude_seen=seen)
    assert (other == answer) == (seen != repeats)
  # No item takes a place that it is not shown at.
  context, met = np.zeros((1, ENCODERS.widths.context)), np.zeros((1, N), bool)
  met[0, :3] = not repeats
  history = np.zeros((3, 1, served.LENGTH), np.int32)
  history[0, 0, :3] = 1, 2, 3
  history[1, 0, :3] = [each[1] for each in EVENTS[:3]]
  history[2, 0, :3] = [each[2] - START for each in EVENTS[:3]]
  expected = two_tower_model.compiled_score(model, history[0], history[1], met, history[2], context)
  found = made.score([(EVENTS[:3], item) for item in IDS], [{}] * N)
  unknown = dataclasses.replace(ENCODERS).context([{}], None)
  assert not unknown.any()
  np.testing.assert_allclose(found, np.asarray(expected)[0], rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize(
  ('history', 'options', 'message'),
  [
    (
      [('i1', True, 5), 'i2'],
      {},
      '1 of 2 events of a history have times: give all of them or',
    ),
    ([('i1', True, 5), ('i2', True, 4)], {}, 'event 2 of a history, "i2", is earlier than the one'),
    ([('i1', 5.0)], {}, r'event \("i1", 5.0\) of a history: second is whether it was liked'),
    ([('i1', 1.0)], {}, 'True or False'),
    ([('i1', 0.5)], {}, 'True or False'),
    ([('i1', 1_700_000_000)], {}, 'and third the time'),
    ([('i1', -1)], {}, 'True or False'),
    ([('i1', None)], {}, 'True or False'),
    ([('i1', float('nan'))], {}, 'True or False'),
    ([('i1', 'False')], {}, 'True or False'),
    ([('i1', '2024-01-01')], {}, 'True or False'),
    ([('i1',)], {}, 'give an id, whether it was liked, and the time'),
    ([('i1', True, 'noon')], {}, '"noon" is no time: give seconds since 1970'),
    ([('i1', True, 10**21)], {}, 'is no time'),
    ([('i1', True, 19970920)], {}, '"19970920" is no time: give seconds since 1970, or a date'),
    ([('i1', True, '19970920030510')], {}, '"19970920030510" is no time'),
    ([('i1', True, float('inf'))], {}, '"inf" is no time'),
    (
      [],
      {'about': [{'twon': 'Oslo'}]},
      'no feature "twon" of users or moments: there is town',
    ),
    ([], {'about': [{'age': 'old'}]}, 'age is "old", which is not a finite number'),
    ([], {'about': []}, '1 histories and 0 of about'),
    ([], {'now': [1, 2]}, '1 histories and 2 of now'),
  ],
)
def test_what_cannot_be_is_one_line(history, options, message):
  with pytest.raises(InputError, match=message) as error:
    Reader(encoders=ENCODERS).read([history], lambda ids: ([0] * len(ids), []), **options)
  assert '\n' not in str(error.value)


def test_liked_is_true_or_false_in_any_integer_type():
  liked = [True, False, 1, 0, np.True_, np.False_, np.int64(1), np.int32(0)]
  read = Reader().read([[('i1', each) for each in liked]], lambda ids: (list(range(len(ids))), []))
  np.testing.assert_array_equal(read.liked[0], [1, 0] * 4)


@pytest.mark.parametrize('scale', [1, 10**3, 10**6, 10**9])
def test_times_are_in_the_unit_that_their_size_says(scale):
  when = [(START + second) * scale for second in (0, 7)]
  read = Reader(encoders=ENCODERS).read(
    [[('i1', True, each) for each in when]], lambda ids: ([0] * len(ids), []), now=when[-1]
  )
  np.testing.assert_array_equal(read.times[0], [START, START + 7])
  np.testing.assert_array_equal(read.context, ENCODERS.context([{}], np.array([START + 7])))


def test_nothing_is_known_without_events_and_features():
  reader, town = Reader(encoders=ENCODERS), {'town': 'Oslo'}
  read = reader.read([[], [], [], ['i1']], lambda ids: ([0] * len(ids), []), [{}, town, {}, {}])
  assert read.from_prior == [True, False, True, False]
  read = reader.read([[], []], lambda ids: ([], []), now=START)
  assert read.from_prior == [False, False]
  assert Reader().read([[]], lambda ids: ([], []), now=START).from_prior == [True]


def test_a_number_is_an_id_and_is_skipped_with_all_that_is_said_of_it():
  def find(ids):
    return [0 for each in ids if each == '3'], [each for each in ids if each != '3']

  read = Reader().read([[(999, True, 5), (3, False, 6), ('4', True, 7)]], find)
  assert [each[0].tolist() for each in (read.rows, read.liked, read.times)] == [[0], [0], [6]]
  assert read.skipped == [['999', '4']]


def test_events_are_spaced_as_those_of_training():
  events = DATA.interactions
  gaps = []
  for user in range(events.num_users):
    gaps += np.diff(events.timestamp[DATA.split.train_mask & (events.user == user)]).tolist()
  assert requests.usual_spacing(events, DATA.split.train_mask) == int(np.median(gaps))
  assert requests.usual_spacing(events, np.arange(events.num_events) < 1) == 0
