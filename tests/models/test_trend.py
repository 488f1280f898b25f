import numpy as np
import pytest

from rec_jax.models import trend

DAY = 86_400


def test_an_item_that_is_chosen_of_late_is_up_by_its_rate():
  """Counted by hand: a half-life of ten days, events of ages 20, 10 and 0."""
  item, time = np.array([0, 0, 1, 1]), np.array([0, 10, 10, 20]) * DAY
  found = trend.log_trend(item, time, 3, 10.0 * DAY)
  # .75 and 1.5 events of late, where by their shares of all times both have 1.125.
  expected = np.log([1.75 / 2.125, 2.5 / 2.125, 1.0])
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  half = trend.log_trend(item, time, 3, 10.0 * DAY, held=0.5)
  np.testing.assert_allclose(half, np.log([1.75 / 2.125**0.5, 2.5 / 2.125**0.5, 1.0]), rtol=1e-6)
  in_days = trend.log_trend(item, time / DAY, 3, 10.0)
  np.testing.assert_allclose(found, in_days, rtol=1e-6)


@pytest.mark.parametrize('half_life', [1.0, 1e12])
def test_where_time_says_nothing_there_is_no_trend(half_life):
  item = np.array([0, 0, 0, 1])
  np.testing.assert_allclose(trend.log_trend(item, np.full(4, 7), 3, half_life), 0, atol=1e-6)
  long_ago = trend.log_trend(item, np.arange(4), 3, 1e12)
  np.testing.assert_allclose(long_ago, 0, atol=1e-6)
  assert trend.log_trend(item[:0], item[:0], 2, half_life).tolist() == [0, 0]
