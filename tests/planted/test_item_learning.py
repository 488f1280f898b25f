"""New items that please are known by exploring, and never by who starts out despising them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.stages.explore import item_learning, worlds

NUM_KNOWN, NUM_NEW, NUM_USERS, NUM_VISITS, NUM_RUNS = 12, 4, 90, 6, 4
NUM_ITEMS = NUM_KNOWN + NUM_NEW
KNOWN, NEW = 0.4, 0.8


def planted():
  """Known items please two users in five, new ones four; their prior is one in twenty."""
  rng = np.random.default_rng(0)
  is_new = np.arange(NUM_ITEMS) >= NUM_KNOWN
  rewards = rng.random((NUM_USERS, NUM_ITEMS)) < np.where(is_new, NEW, KNOWN)
  vectors = {
    'items': rng.normal(size=(NUM_ITEMS, 2)),
    'users': rng.normal(size=(NUM_USERS, 2)),
    'rewards': rewards.astype(float),
  }
  return dataclasses.replace(
    worlds.from_vectors(vectors, NUM_VISITS, 0),
    a0=jnp.where(is_new, 0.5, 40.0),
    b0=jnp.where(is_new, 9.5, 60.0),
    num_events=jnp.where(is_new, 0.0, 100.0),
    is_cold=is_new,
  )


@pytest.fixture(scope='module')
def new():
  return item_learning.select(planted(), 0)


def learn(new, explorer, belief='per user'):
  return item_learning.learn(
    new, item_learning.belief_of(belief, new.world), explorer, NUM_RUNS, 0, 2e9
  )


def knows_them_in_time(learning):
  """Nearly every new item in every run, before two thirds of the rounds."""
  assert learning.is_known.mean() > 0.8
  assert np.median(learning.rounds) < learning.num_rounds * 2 / 3
  assert learning.impressions[learning.is_known].min() > 0


@pytest.mark.soak
@pytest.mark.parametrize(
  ('explorer', 'without'),
  [
    pytest.param(ucb(3.0), ucb(0.0), id='ucb'),
    pytest.param(thompson(3.0), thompson(0.0), marks=pytest.mark.soak, id='thompson'),
  ],
)
def test_exploring_knows_new_items_and_without_strength_does_not(new, explorer, without):
  knows_them_in_time(learn(new, explorer))
  with pytest.raises(AssertionError):
    knows_them_in_time(learn(new, without))


def test_greedy_never_shows_what_it_despises_and_is_censored(new):
  learning = learn(new, item_learning.EXPLORERS['greedy']())
  assert not learning.is_known.any()
  assert (learning.rounds == learning.num_rounds).all()
  assert (learning.impressions == 0).all()
