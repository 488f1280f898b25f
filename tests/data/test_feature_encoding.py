"""Vectors of features beside what they are by hand, and columns that tell nothing."""

import numpy as np
import polars as pl
import pytest

from rec_jax.data import feature_encoding
from rec_jax.data.feature_encoding import Encoders
from rec_jax.data.features import Features
from rec_jax.types import InputError, Interactions

TRAINED = np.array([True, True, True, True, False, False])
FRAME = pl.DataFrame(
  {
    'kind': [['red'], ['blue', 'red'], ['blue'], [], ['green'], ['green', 'red']],
    'price': [1.0, 3.0, None, 5.0, 1e9, None],
    'full': [2.0, 4.0, 2.0, 4.0, None, 3.0],
  }
)


def test_columns_are_those_of_the_training_rows_and_centred_on_them():
  encoding = feature_encoding.fit(FRAME, TRAINED)
  found = encoding.encode(FRAME, 6)
  assert found.shape == (6, encoding.width) and found.dtype == np.float32
  np.testing.assert_allclose(found[TRAINED].mean(0), 0, atol=1e-6)
  # Of three items with a kind, two are blue and two red; a quarter has none.
  kind = [[-2 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, -2 / 3], [0, 0], [0, 0], [-2 / 3, 1 / 3]]
  np.testing.assert_allclose(found[:, :2], kind, atol=1e-6)
  # What nobody was trained on is unknown, as what is empty.
  np.testing.assert_allclose(found[:, 2], [-0.25, -0.25, -0.25, 0.75, 0.75, -0.25], atol=1e-6)
  spread = np.std([1, 3, 5])
  np.testing.assert_allclose(found[:, 3], [-2 / spread, 0, 0, 2 / spread, 10, 0], atol=1e-6)
  np.testing.assert_allclose(found[:, 4], [-0.25, -0.25, 0.75, -0.25, -0.25, 0.75], atol=1e-6)
  # Where no training row was empty, nothing was learnt of empty ones.
  np.testing.assert_allclose(found[:, 5:], np.c_[[-1, 1, -1, 1, 0, 0], np.zeros(6)], atol=1e-6)


def test_what_a_caller_gives_is_what_a_file_says():
  encoding = feature_encoding.fit(FRAME, TRAINED)
  given = [
    {'kind': 'red', 'price': 1, 'full': '2'},
    {'kind': ['blue', 'red'], 'price': 3.0, 'full': 4.0},
    {'kind': 7, 'full': 2.0},
  ]
  expected = encoding.encode(FRAME, 6)[:3]
  expected[2, :3] = expected[0, :3] * 0 + encoding.encode(FRAME, 6)[3, :3]
  np.testing.assert_array_equal(encoding.encode_given(given), expected)
  for value in ('dear', float('nan'), [1]):
    with pytest.raises(InputError, match='^price is ".*", which is not a finite number'):
      encoding.encode_given([{'price': value}])


def test_moments_are_hours_and_weekdays_of_the_event_that_is_asked_for():
  day, user = 86_400, np.array([0, 1, 0, 1], np.int32)
  # Thursday 00:30, Thursday 13:00, Friday 00:00, Sunday 23:59.
  time = np.array([1_800, 13 * 3_600, day, 4 * day - 60])
  log = Interactions(user, np.array([0, 1, 2, 0], np.int32), time, None, np.array(['a', 'b']))
  frames = {
    'users': pl.DataFrame({'sex': [['f'], ['m']]}),
    'events': pl.DataFrame({'budget': [1.0, 2.0, 3.0, 9.0]}),
  }
  trained = np.array([True, True, True, False])
  encoded = feature_encoding.encode(Features(**frames, moment='hour,weekday'), log, 3, trained)
  assert encoded.encoders.widths == (0, 3 + 2 + 24 + 7)
  found = encoded.context(np.array([[0, 3], [1, -1]]))
  assert found.shape == (2, 2, 36) and not found[1, 1].any()
  hours = np.zeros(24)
  hours[[0, 13]] = 2 / 3, 1 / 3
  for place, hour, weekday in (((0, 0), 0, 3), ((0, 1), 23, 6), ((1, 0), 13, 3)):
    np.testing.assert_allclose(found[place][5:29], np.eye(24)[hour] - hours, atol=1e-6)
    shares = np.zeros(7)
    shares[[3, 4]] = 2 / 3, 1 / 3
    np.testing.assert_allclose(found[place][29:], np.eye(7)[weekday] - shares, atol=1e-6)
  asked = encoded.encoders.context([{'sex': 'm', 'budget': 9}, {}], time[[3, 0]])
  np.testing.assert_array_equal(asked[0], found[0, 1])
  assert not encoded.encoders.context([{}], None).any()


def test_without_features_there_is_no_context():
  log = Interactions(*np.zeros((2, 1), np.int32), np.zeros(1, np.int64), None, np.array(['a']))
  encoded = feature_encoding.encode(Features(), log, 1, np.ones(1, bool))
  assert encoded.context(np.array([0])) is None and encoded.items.shape == (1, 0)
  assert Encoders().widths == (0, 0)


@pytest.mark.parametrize(
  ('column', 'message'),
  [
    ([['red']] * 4, 'column "c" of items is "red" alone wherever models are trained'),
    ([[]] * 4, 'column "c" of items is empty wherever models are trained; leave it out of --con'),
    (
      [[str(i)] for i in range(4)],
      'of items has 4 categories, more than data.max_categories=3',
    ),
    ([2.0] * 4, 'column "c" of items is "2.0" alone .* out of --config.data.item_numbers'),
    ([None, None, None, 2.0], 'column "c" of items is empty'),
  ],
)
def test_columns_that_tell_nothing_or_too_much_are_refused(column, message):
  trained = np.array([True, True, True, column[3] is not None and column[3] != 2.0])
  trained |= column[0] is not None
  frame = pl.DataFrame({'c': column}, schema_overrides={'c': kind(column)})
  with pytest.raises(InputError, match=message) as error:
    feature_encoding.check(feature_encoding.fit(frame, trained), 'item', 3)
  assert '\n' not in str(error.value)
  # One value and none are two.
  some = pl.DataFrame({'c': [['red'], []]})
  feature_encoding.check(feature_encoding.fit(some, np.ones(2, bool)), 'item', 3)


def kind(column):
  return pl.List(pl.String) if isinstance(column[0], list) else pl.Float64
