"""Censored times: published estimates, weights as repeats, and intervals over users and items."""

import jax
import numpy as np
import pytest

from rec_jax.evaluation import survival

# Weeks of remission under 6-mercaptopurine, and whether the relapse was seen (Freireich et al.
# 1963, table 1), with the product-limit estimate as Cox & Oakes (1984, table 1.2) give it.
WEEKS = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
RELAPSES = {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1}
PUBLISHED = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}


def seen():
  found = np.zeros(len(WEEKS), bool)
  for week, number in RELAPSES.items():
    found[np.flatnonzero(week == WEEKS)[-number:]] = True
  return found


def test_the_published_estimate_and_its_median():
  time, lasting = survival.survival(WEEKS, seen(), np.ones(len(WEEKS)))
  at = {week: float(lasting[np.flatnonzero(np.asarray(time) == week)[-1]]) for week in PUBLISHED}
  assert at == pytest.approx(PUBLISHED, abs=6e-4)
  alone = np.zeros(len(WEEKS))
  found = survival.two_way_median(jax.random.key(0), WEEKS, seen(), np.arange(21), alone)
  assert (found.value, found.n) == (23, 1)


def test_what_is_censored_counts_as_at_risk_and_not_as_seen():
  placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
  key, one = jax.random.key(0), np.zeros(21)
  every = survival.two_way_median(key, placebo, np.ones(21), np.arange(21), one)
  assert every.value == np.median(placebo) == 8
  # Took what is not seen for an event, the median of the other group would be that of its weeks.
  wrong = survival.two_way_median(key, WEEKS, np.ones(21), np.arange(21), one)
  assert wrong.value == np.median(WEEKS) < 23


def test_a_weight_is_a_repeat():
  weight = np.random.default_rng(0).integers(0, 4, len(WEEKS))
  time, lasting = survival.survival(WEEKS, seen(), weight)
  again = survival.survival(
    np.repeat(WEEKS, weight), np.repeat(seen(), weight), np.ones(weight.sum())
  )
  for week in RELAPSES:
    last, first = (np.flatnonzero(np.asarray(x) == week) for x in (again[0], time))
    if len(last):
      np.testing.assert_allclose(lasting[first[-1]], again[1][last[-1]], rtol=1e-5)


def crossed(num_users, num_items, spread):
  """Times that depend on the item, a third of them of items that are never known."""
  rng = np.random.default_rng(1)
  item = np.tile(np.arange(num_items), num_users)
  time = 10 + spread * rng.random(num_items)[item] + rng.random(len(item))
  return time, item % 3 > 0, np.repeat(np.arange(num_users), num_items), item


def test_items_that_differ_widen_the_interval_and_many_unseen_make_it_endless():
  key = jax.random.key(0)
  alike, differing = (
    survival.two_way_median(key, *crossed(8, 30, spread), resamples=500) for spread in (0, 20)
  )
  for found in (alike, differing):
    assert found.low <= found.value <= found.high and found.n == 8
  assert differing.value - differing.low > 5 * (alike.value - alike.low)
  assert differing.high == np.inf or differing.high > alike.high
  time, known, user, item = crossed(8, 30, 0)
  none = survival.two_way_median(key, time, np.zeros_like(known), user, item, resamples=50)
  assert none.value == none.low == none.high == np.inf


def test_lengths_that_differ_are_refused():
  with pytest.raises(ValueError, match='2 times of 3 users'):
    survival.two_way_median(jax.random.key(0), [1, 2], [True, True], [0, 1, 2], [0, 1])
  with pytest.raises(ValueError, match='0 times'):
    survival.two_way_median(jax.random.key(0), [], [], [], [])
