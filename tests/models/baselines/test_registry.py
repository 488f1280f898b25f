"""What every baseline has to keep, whatever it is."""

import functools

import jax
import numpy as np
import pytest

from rec_jax import host
from rec_jax.models.baselines import registry
from rec_jax.models.baselines.events import Events
from rec_jax.types import InputError

NUM_USERS, NUM_ITEMS, NUM_GROUPS, LENGTH = 60, 60, 3, 9
# Items of a group that a user has not chosen: a model that knows the group finds one of them.
NUM_LEFT = NUM_ITEMS // NUM_GROUPS - LENGTH + 1
# Small enough to compile and fit in no time; what is not named here keeps its default.
SMALL = {'dim': 8, 'k': 10, 'num_epochs': 40, 'learning_rate': 0.03, 'num_layers': 1}
# Settings of `fit` that are not tuned: histories are no longer than this.
OTHERS = {'gru4rec': {'length': 8}, 'factorisation_machine': {'length': 8}}


def planted(seed=0):
  """Events of users who choose within their own third of the catalogue, and the held-out item.

  The last third is that of most users, so that popularity has what to find.
  """
  rng = np.random.default_rng(seed)
  user = np.repeat(np.arange(NUM_USERS), LENGTH)
  group = rng.choice(NUM_GROUPS, NUM_USERS, p=(0.2, 0.2, 0.6))
  size = NUM_ITEMS // NUM_GROUPS
  item = np.stack([rng.choice(size, LENGTH, replace=False) for _ in range(NUM_USERS)])
  return user.reshape(NUM_USERS, LENGTH), item + group[:, None] * size


def as_events(user, item):
  order = np.random.default_rng(1).permutation(user.size)
  user, item = user.ravel()[order], item.ravel()[order]
  return Events(user, item, np.arange(user.size) * 3600, NUM_USERS, NUM_ITEMS)


def settings_of(name):
  space = registry.get(name).space
  small = {setting: SMALL.get(setting, each.default) for setting, each in space.items()}
  # Penalties that suit thousands of users drown tens of them.
  shrunk = {'lambda_': 2.0, 'l1': 0.1, 'l2': 2.0, 'shrink': 1.0, 'regularisation': 0.5}
  # An `l2` of means over a batch, far below 1, stays as it is.
  shrunk = {each: shrunk[each] for each in small if each in shrunk and small[each] > 1}
  return small | shrunk | OTHERS.get(name, {})


def padded(item):
  return np.pad(item + 1, ((0, 0), (0, 2))).astype(np.int32)


@functools.cache
def fitted(name, is_shuffled=False):
  """A model, fitted to all but the last item of each user; shuffled, items fall to anyone."""
  user, item = planted()
  train = item[:, :-1]
  if is_shuffled:
    rngs = [np.random.default_rng(each) for each in range(NUM_USERS)]
    train = np.stack([rng.choice(NUM_ITEMS, LENGTH - 1, replace=False) for rng in rngs])
  events = as_events(user[:, :-1], train)
  return registry.get(name).fitted(jax.random.key(0), events, settings_of(name))


def found_share(name, is_shuffled):
  """How many held-out items, of users who were not fitted, come among the first unseen ones."""
  _, item = planted(seed=5)
  history, target = item[:, :-1], item[:, -1]
  scores = np.array(fitted(name, is_shuffled)(padded(history)))
  np.put_along_axis(scores, history, -np.inf, axis=1)
  rows = np.arange(len(target))
  return ((scores >= scores[rows, target][:, None]).sum(1) <= NUM_LEFT).mean()


PERSONAL = [name for name in registry.NAMES if 'popularity' not in name]


@pytest.mark.parametrize('name', registry.NAMES)
def test_scores_are_finite_the_same_again_and_whatever_the_padding(name):
  item = planted(seed=5)[1][:4, :-1]
  score = fitted(name)
  scores = np.asarray(score(padded(item)))
  assert scores.shape == (4, NUM_ITEMS)
  assert scores.dtype == np.float32
  assert np.isfinite(scores).all()
  assert len(np.unique(scores[0])) > 1
  # One width, one program: padding before, and behind.
  np.testing.assert_allclose(score(np.roll(padded(item), 2, axis=1)), scores, rtol=1e-4, atol=1e-5)
  user, everything = planted()
  again = registry.get(name).fitted(
    jax.random.key(0), as_events(user[:, :-1], everything[:, :-1]), settings_of(name)
  )
  np.testing.assert_array_equal(again(padded(item)), scores)


@pytest.mark.parametrize('name', PERSONAL)
def test_what_is_planted_is_found_for_new_users_and_gone_once_items_are_shuffled(name):
  by_chance = NUM_LEFT / (NUM_ITEMS - LENGTH + 1)
  assert found_share(name, is_shuffled=False) > 2.5 * by_chance
  assert found_share(name, is_shuffled=True) < 1.7 * by_chance


@pytest.mark.parametrize('name', sorted(set(registry.NAMES) - set(PERSONAL)))
def test_the_popular_third_is_found_and_gone_once_items_are_shuffled(name):
  tops = {
    is_shuffled: np.argsort(
      -np.asarray(fitted(name, is_shuffled)(np.zeros((1, LENGTH + 1), np.int32)))[0]
    )
    for is_shuffled in (False, True)
  }
  share = {is_shuffled: (top[:10] >= 40).mean() for is_shuffled, top in tops.items()}
  assert share[False] > 0.8 > share[True]


# Those with epochs compile one for each shape of events, a second or more each.
TRAINED = [name for name in registry.NAMES if 'num_epochs' in registry.get(name).space]


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[pytest.mark.soak] if name in TRAINED else [])
    for name in registry.NAMES
  ],
)
def test_one_event_of_one_user_and_one_item_is_enough(name):
  one = np.zeros(1, int)
  score = registry.get(name).fitted(
    jax.random.key(0), Events(one, one, one, 1, 1), settings_of(name)
  )
  scores = np.asarray(score(np.array([[1, 0], [0, 0]])))
  assert scores.shape == (2, 1)
  assert np.isfinite(scores).all()


def test_what_does_not_fit_into_memory_is_left_out_in_one_line():
  assert registry.left_out('ease', 10, 1_000, 24e6) == ''
  line = registry.left_out('ease', 10, 1_000, 23e6)
  assert line == 'ease of 1,000 items takes 24,000,000 bytes, more than 23,000,000: left out'
  assert registry.left_out('ials', 10**6, 10**6, 1.0) == ''
  assert host.memory() > 2**20


def test_a_wrong_name_is_told_the_right_ones():
  with pytest.raises(InputError, match='no baseline "als": the names are popularity, .*ials'):
    registry.get('als')


def test_draws_lie_in_their_range_and_reach_all_of_it():
  rng = np.random.default_rng(0)
  for baseline in registry.BASELINES.values():
    for each in baseline.space.values():
      drawn = np.array([each.draw(rng) for _ in range(200)])
      assert each.low <= drawn.min() <= drawn.max() <= each.high
      assert each.low <= each.default <= each.high
      middle = (each.low * each.high) ** 0.5 if each.is_log else (each.low + each.high) / 2
      assert 0.3 < (drawn <= middle).mean() < 0.75
      assert not isinstance(each.default, int) or drawn.dtype.kind == 'i'
