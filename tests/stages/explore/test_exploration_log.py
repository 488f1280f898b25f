"""The written log: its propensities are those of the policy that logged."""

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged
from rec_jax.runs.config import Config, ExploreConfig
from rec_jax.stages.explore import exploration_log, policies
from tests.helpers import small

EPSILON, OFFERED = 0.3, 6


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """(world, log)."""
  world, dataset = small.rated()
  explore = ExploreConfig(log_epsilon=EPSILON, log_candidates=OFFERED)
  chosen = {policies.PER_USER_GREEDY.label: {'lambda_': 20.0}}
  path = tmp_path_factory.mktemp('logs') / 'log.parquet'
  summary = exploration_log.write(path, Config(explore=explore), world, chosen, dataset)
  assert logged.read(path).is_adaptive
  log = pl.read_parquet(path)
  assert summary['rows'] == len(log) == world.num_rounds
  return world, log


def test_candidates_are_drawn_from_what_a_user_was_not_shown(written):
  world, log = written
  left = {}
  users = [f'u{user}' for user in np.asarray(world.data.users)]
  offered = np.zeros(2)
  for row in log.iter_rows(named=True):
    user = users.index(row['user_id'])
    if user not in left:
      items, mask = np.asarray(world.data.items[user]), np.asarray(world.data.mask[user])
      worth = np.asarray(world.data.rewards[user])[mask]
      left[user] = dict(zip(items[mask].tolist(), worth.tolist(), strict=True))
    assert int(world.data.visits[row['round']]) == user
    candidates = [int(item[1:]) for item in row['candidates']]
    assert row['num_candidates'] == len(candidates) == min(OFFERED, len(left[user]))
    assert row['expected_reward'] == [left[user][item] for item in candidates]
    first_half = np.array(candidates) < np.median(list(left[user]))
    offered += [first_half.sum(), len(candidates)]
    assert left[user].pop(int(row['item_id'][1:])) == row['reward']
  # Drawn without regard to their number.
  assert abs(offered[0] / offered[1] - 0.5) < 2 / np.sqrt(offered[1])


def test_propensities_are_those_of_epsilon_greedy(written):
  _, log = written
  number, propensity = log['num_candidates'].to_numpy(), log['propensity'].to_numpy()
  floor = EPSILON / number
  is_greedy = propensity > floor + 1e-5
  np.testing.assert_allclose(propensity[~is_greedy], floor[~is_greedy], rtol=1e-4)
  # What is best together shares the rest.
  ties = (1 - EPSILON) / (propensity - floor)[is_greedy]
  np.testing.assert_allclose(ties, np.round(ties), rtol=1e-3)
  # The policy acts as it says: within four errors of the right share, and not of another epsilon's.
  for epsilon, agrees in ((EPSILON, True), (0.1, False), (0.6, False)):
    expected = 1 - epsilon + epsilon / number
    error = np.sqrt((expected * (1 - expected)).sum())
    assert (abs((is_greedy - expected).sum()) < 4 * error) == agrees
