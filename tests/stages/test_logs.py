"""The written log: its propensities are those of the policy that logged."""

import types

import numpy as np
import polars as pl
import pytest

from rec_jax.stages import logs, policies, problems
from rec_jax.stages.config import Config, ExploreConfig
from rec_jax.types import Interactions

U, N, E, EPSILON = 40, 30, 900, 0.3


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """(problem, log)."""
  rng = np.random.default_rng(0)
  pairs = rng.choice(U * N, E, replace=False)
  user_ids = np.array([f'u{i}' for i in range(U)])
  item_ids = np.array([f'i{i}' for i in range(N)])
  interactions = Interactions(
    user=(pairs // N).astype(np.int32),
    item=(pairs % N).astype(np.int32),
    timestamp=np.arange(E),
    rating=rng.integers(1, 6, E).astype(np.float32),
    user_ids=user_ids,
  )
  explore = ExploreConfig(min_events_rated=4, log_epsilon=EPSILON)
  features = rng.normal(size=(N, 2)).astype(np.float32)
  problem = problems.build(problems.RATED, interactions, E // 3, N, features, 4.0, U, explore, 0)
  dataset = types.SimpleNamespace(
    interactions=interactions, items=types.SimpleNamespace(ids=item_ids)
  )
  chosen = {policies.PER_USER_GREEDY.label: {'lambda_': 20.0}}
  path = tmp_path_factory.mktemp('logs') / 'log.parquet'
  summary = logs.write(path, Config(explore=explore), problem, chosen, dataset)
  log = pl.read_parquet(path)
  assert summary['rows'] == len(log) == problem.num_rounds
  return problem, log


def test_candidates_are_what_a_user_was_not_shown(written):
  problem, log = written
  left = {}
  users = [f'u{user}' for user in np.asarray(problem.data.users)]
  for row in log.iter_rows(named=True):
    user = users.index(row['user_id'])
    if user not in left:
      items, mask = np.asarray(problem.data.items[user]), np.asarray(problem.data.mask[user])
      worth = np.asarray(problem.data.rewards[user])[mask]
      left[user] = dict(zip(items[mask].tolist(), worth.tolist(), strict=True))
    assert int(problem.data.visits[row['round']]) == user
    assert row['num_candidates'] == len(left[user])
    assert left[user].pop(int(row['item_id'][1:])) == row['reward']


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
