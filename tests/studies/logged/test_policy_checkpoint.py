"""A frozen policy written and read again, and the logs that it can and cannot see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits, checkpoint
from rec_jax.data import obp
from rec_jax.studies.logged import policy_checkpoint
from rec_jax.studies.logged.policy_checkpoint import FrozenPolicy
from rec_jax.types import ArmSpec, InputError


def log(num_rounds=50, num_actions=3, num_columns=2):
  rng = np.random.default_rng(0)
  return obp.from_dictionary(
    {
      'n_actions': num_actions,
      'action': rng.integers(num_actions, size=num_rounds),
      'reward': rng.random(num_rounds),
      'pscore': np.full(num_rounds, 1 / num_actions),
      'context': 5 + 3 * rng.normal(size=(num_rounds, num_columns)),
    }
  )


def frozen(data, num_train=20):
  spec = ArmSpec(num_arms=3, num_candidates=3, query_dim=2, arm_dim=3)
  hyperparameters = {'lambda_': 2.0, 'alpha': 0.5}
  state = bandits.make('disjoint_lin_ucb', **hyperparameters).init(jax.random.key(0), spec)
  return FrozenPolicy(
    name='disjoint_lin_ucb',
    hyperparameters=hyperparameters,
    spec=spec,
    item_ids=data.item_ids,
    learnt_from=policy_checkpoint.fingerprint(data, num_train),
    num_train=num_train,
    state=jax.tree.map(lambda leaf: leaf + 1, state),
    query=policy_checkpoint.scale(data.context[:num_train]),
    features=policy_checkpoint.scale(jnp.eye(3)),
  )


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  path = tmp_path_factory.mktemp('policy')
  policy_checkpoint.save(path, frozen(log()))
  return path


def test_what_is_read_is_what_was_written(directory):
  before, after = frozen(log()), policy_checkpoint.load(directory)
  for field in dataclasses.fields(FrozenPolicy):
    left, right = (getattr(policy, field.name) for policy in (before, after))
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_columns_are_scaled_by_what_the_policy_learnt_from():
  data = log()
  data.context[:, 1] = 7
  query, features = policy_checkpoint.seen_by(frozen(data), data)
  np.testing.assert_allclose(query[:20, 0].mean(), 0, atol=1e-5)
  np.testing.assert_allclose(query[:20, 0].std(), 1, rtol=1e-5)
  assert abs(query[20:, 0].std() - 1) > 1e-3
  np.testing.assert_array_equal(query[:, 1], 7)
  np.testing.assert_allclose(features.mean(0), 0, atol=1e-6)
  np.testing.assert_allclose(features.std(0), 1, rtol=1e-6)


def test_rounds_that_it_learnt_from_do_not_judge_it():
  data = log()
  policy = frozen(data)
  assert policy_checkpoint.first_unseen_round(policy, data) == 20
  later = dataclasses.replace(data, reward=np.r_[data.reward[:20], data.reward[20:] + 1])
  assert policy_checkpoint.first_unseen_round(policy, later) == 20
  other = dataclasses.replace(data, reward=np.r_[data.reward[:19], data.reward[19:] + 1])
  assert policy_checkpoint.first_unseen_round(policy, other) == 0


@pytest.mark.parametrize(
  ('other', 'message'),
  [
    (log(num_actions=4), 'chooses from 3 items and the log has 4'),
    (log(num_columns=5), 'context has 5 columns in the log'),
  ],
)
def test_a_log_that_it_cannot_see_is_one_line(other, message):
  with pytest.raises(InputError, match=message) as error:
    policy_checkpoint.seen_by(frozen(log()), other)
  assert '\n' not in str(error.value)


def test_what_is_not_a_policy_is_one_line(tmp_path):
  with pytest.raises(InputError, match='no whole checkpoint in'):
    policy_checkpoint.load(tmp_path)
  with checkpoint.open(tmp_path, {'d_model': 8}) as saved:
    saved.save(0, {'weights': jnp.ones(2)}, None)
  with pytest.raises(InputError, match='a checkpoint, but not of a policy'):
    policy_checkpoint.load(tmp_path)
