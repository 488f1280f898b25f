"""The rule by which settings are chosen, on outcomes that are given."""

import types

import numpy as np
import pytest

from rec_jax.environments.base import Metrics
from rec_jax.stages.explore import policies

U, PER_USER, N = 25, 40, 100
T = U * PER_USER
GRID = {'alpha': (0.1, 0.2, 0.3)}


def tuned(monkeypatch, mean_reward, num_items):
  """Tunes where setting i earns mean_reward[i] and shows the first num_items[i] items."""
  visits = np.tile(np.arange(U), PER_USER)
  # Users differ, so that the standard error over them is that of +-0.1 at 25 users.
  taste = np.where(np.arange(U) % 2, 0.1, -0.1)
  reward = np.array(mean_reward)[:, None] + (taste - taste.mean())[visits]
  arm = np.stack([np.arange(T) % n for n in num_items])
  columns = [column[:, :, None, None] for column in (reward, arm)]
  metrics = Metrics(columns[0], columns[0], columns[0], columns[1], None)
  monkeypatch.setattr(policies, 'run', lambda *_: types.SimpleNamespace(metrics=metrics))
  world = types.SimpleNamespace(
    data=types.SimpleNamespace(visits=visits), is_cold=np.zeros(N, bool)
  )
  entry = policies.PolicyEntry('label', 'lin_ucb', GRID)
  setting, reward = policies.tune(entry, world, 1, 0, 1e9)
  return setting['alpha'], reward


# The standard error is 0.1 / 5, but for the mean that was taken off.
@pytest.mark.parametrize(
  ('mean_reward', 'num_items', 'chosen'),
  [
    ((0.50, 0.47, 0.45), (5, 50, 90), 0.1),
    ((0.50, 0.485, 0.45), (5, 50, 90), 0.2),
    ((0.50, 0.485, 0.484), (5, 50, 90), 0.3),
    ((0.50, 0.485, 0.49), (5, 50, 50), 0.3),
    ((0.40, 0.39, 0.50), (50, 90, 5), 0.3),
  ],
  ids=['best alone', 'one within', 'more items', 'tie goes to reward', 'others too poor'],
)
def test_among_the_settings_near_the_best_the_one_that_spreads_most(
  monkeypatch, mean_reward, num_items, chosen
):
  alpha, reward = tuned(monkeypatch, mean_reward, num_items)
  assert alpha == chosen
  assert reward == pytest.approx(dict(zip(GRID['alpha'], mean_reward, strict=True))[chosen])


def test_epsilon_halves_in_every_eighth_of_the_stream():
  schedule = policies._decaying(0.4, 800)
  np.testing.assert_allclose([schedule(t) for t in (0, 100, 300)], [0.4, 0.2, 0.05], rtol=1e-5)
  assert policies._decaying(0.4, 3)(1) == pytest.approx(0.2)


def test_every_candidate_is_a_policy_that_its_settings_fit():
  world = types.SimpleNamespace(
    a0=np.ones(3),
    b0=np.ones(3),
    num_events=np.zeros(3),
    data=types.SimpleNamespace(features=np.eye(3)),
    num_rounds=10,
    baseline='greedy',
  )
  for entry in (*policies.comparison(world), *policies.COLD_START):
    policies.policy(entry, world, policies.first(entry))
    if entry.frontier:
      assert entry.strength in entry.grid
      assert len(entry.frontier) == 8


def test_worlds_of_other_items_share_one_program_and_each_has_its_prior():
  def world(mean):
    return types.SimpleNamespace(
      a0=np.full(3, mean), b0=np.full(3, 1 - mean), num_events=np.zeros(3), num_rounds=10,
      data=types.SimpleNamespace(features=np.eye(3)),
    )  # fmt: skip

  for entry in (policies.PER_USER_UCB, policies.EPSILON_GREEDY):
    assert policies.factory(entry, world(0.2)) is policies.factory(entry, world(0.6))
  setting = policies.with_prior(policies.PER_USER_UCB, world(0.6), {'lambda_': 20.0, 'alpha': 1.0})
  np.testing.assert_array_equal(setting['a0'], 0.6)
  # As doubtful as the longest features, of length 1.
  np.testing.assert_allclose(setting['item_variance'], 1 / 20)
