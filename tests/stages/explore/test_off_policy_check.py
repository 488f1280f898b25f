"""Policies valued from the log of another one, beside the truth."""

import json

import jax
import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged
from rec_jax.runs.config import Config, ExploreConfig
from rec_jax.stages.explore import exploration_log, off_policy_check, policies
from rec_jax.studies.logged import frozen_policy
from tests.helpers import small

CONFIG = Config(explore=ExploreConfig(log_epsilon=0.3, log_candidates=5))
CHOSEN = {policies.PER_USER_GREEDY.label: {'lambda_': 20.0}}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """(world, path of the log)."""
  world, dataset = small.rated()
  path = tmp_path_factory.mktemp('valued') / 'log.parquet'
  exploration_log.write(path, CONFIG, world, CHOSEN, dataset)
  return world, path


def test_estimates_stand_beside_the_truth(written, monkeypatch):
  world, path = written
  compared = (policies.UNIFORM, policies.MODEL_GREEDY, policies.PER_USER_THOMPSON)
  monkeypatch.setattr(policies, 'comparison', lambda world: compared)
  part = off_policy_check.compare(CONFIG, world, CHOSEN, path)
  assert json.loads(json.dumps(part, allow_nan=False)) == part
  assert 'at each visit 5 of them are offered' in part['protocol']
  assert 'which learnt meanwhile, so that rounds depend on earlier ones' in part['protocol']
  log = logged.read(path)
  half = slice(len(log.action) // 2, None)
  # Without those that need a query or whose probabilities are drawn.
  uniform, logging = part['rows']
  assert [row['name'] for row in part['rows']] == ['uniform', exploration_log.LOGGED.label]
  number, held = log.num_candidates[half], log.candidates[half] >= 0
  truth = np.mean((log.expected_reward[half] * held).sum(1) / number)
  assert uniform['truth']['value'] == pytest.approx(truth, rel=1e-6)
  ipw = np.mean(log.reward[half] / number / log.propensity[half])
  assert uniform['estimates']['ipw']['value'] == pytest.approx(ipw, rel=1e-6)
  assert uniform['estimates']['ipw']['n'] == len(set(log.user_id[half]))
  for row in part['rows']:
    assert tuple(row['estimates']) == off_policy_check.ESTIMATORS
    dr, truth = row['estimates']['dr'], row['truth']['value']
    assert abs(dr['value'] - truth) < 1.5 * (dr['high'] - dr['low'])
  assert logging['effective_sample_size'] < len(number)


@pytest.mark.parametrize('num_train', [3, 150])
def test_a_frozen_policy_is_the_one_that_had_learnt_so_far(written, num_train):
  world, path = written
  log = logged.read(path)
  setting = exploration_log.logged_setting(CONFIG, CHOSEN)
  policy = policies.policy(exploration_log.LOGGED, world, setting)
  inputs = off_policy_check.unscaled_inputs(log)
  key = jax.random.key(0)
  state = frozen_policy.learn(key, log, policy, inputs, num_train)
  found = frozen_policy.distributions(key, log, policy, inputs, state, num_train)(np.array([0]))[
    0, :, 0
  ]
  chosen = log.candidates[num_train] == log.action[num_train]
  assert found[chosen] == pytest.approx(log.propensity[num_train], rel=1e-5)
  assert found[log.candidates[num_train] < 0].sum() == 0


def test_a_log_too_short_to_be_halved_gives_no_row(written, tmp_path):
  world, path = written
  short = tmp_path / 'short.parquet'
  frame = pl.read_parquet(path).head(5)
  frame.write_parquet(short)
  assert off_policy_check.compare(CONFIG, world, CHOSEN, short)['rows'] == []
