"""Which events are predicted: all of them, or those that are hidden from a bidirectional tower."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from rec_jax.tasks import predicted_events

LENGTHS = np.array([10, 1, 5, 0])
ITEMS = jnp.asarray(np.where(np.arange(10) < LENGTHS[:, None], 3, 0))


def test_a_share_of_the_events_or_the_last_one_is_hidden():
  keys = jax.random.split(jax.random.key(0), 1000)
  hidden = np.asarray(jax.vmap(lambda key: predicted_events.hide_events(key, ITEMS, 0.3))(keys))
  assert not hidden[:, np.asarray(ITEMS) == 0].any()
  number = hidden.sum(2)
  assert set(number[:, 0]) == {1, 3} and set(number[:, 2]) == {1, 2}
  assert (number[:, 1] == 1).all() and not number[:, 3].any()
  is_last = number[:, 0] == 1
  assert hidden[is_last, 0, 9].all()
  assert stats.binomtest(int(is_last.sum()), 1000).pvalue > 1e-3
  at_random = hidden[~is_last, 0].sum(0)
  assert stats.chisquare(at_random).pvalue > 1e-3
  assert stats.chisquare(at_random, at_random.sum() * np.arange(1, 11) / 55).pvalue < 1e-9
