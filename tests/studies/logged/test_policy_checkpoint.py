"""A frozen policy written and read again, and the logs that it can and cannot see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits, checkpoint
from rec_jax.data import obp
from rec_jax.data.logged_feedback import subset
from rec_jax.studies.logged import effects, evaluation, lessons, policy_checkpoint, policy_value
from rec_jax.studies.logged.evaluation import Reading
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
    lessons=lessons.of(subset(data, slice(num_train))),
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


def test_items_are_matched_by_id_in_whatever_order():
  """Next week's log: other rounds, items in another order, one new and one gone."""
  week = log()
  policy = frozen(week)
  # Its features are the numbers of its arms, so that a softmax of them is known by heart.
  policy = dataclasses.replace(
    policy,
    name='two_tower_softmax',
    hyperparameters={'temperature': 1.0},
    spec=ArmSpec(num_arms=3, num_candidates=3, query_dim=3, arm_dim=3),
    state=bandits.make('two_tower_softmax').init(
      jax.random.key(0), ArmSpec(num_arms=3, num_candidates=3, query_dim=3, arm_dim=3)
    ),
    query=policy_checkpoint.Affine(jnp.zeros((2, 3)), jnp.log(jnp.array([1.0, 2.0, 4.0]))),
    features=policy_checkpoint.Affine(jnp.eye(3), jnp.zeros(3)),
  )
  other = dataclasses.replace(week, item_ids=np.array(['2', 'new', '0']))
  found = policy_checkpoint.distributions(jax.random.key(0), policy, other)(np.arange(50))
  np.testing.assert_allclose(found, np.tile([[0.8], [0.0], [0.2]], (50, 1, 1)), rtol=1e-6)
  named = dataclasses.replace(other, candidates=np.tile([1, 2, -1], (50, 1)))
  found = policy_checkpoint.distributions(jax.random.key(0), policy, named)(np.arange(50))
  np.testing.assert_allclose(found, np.tile([[0.0], [1.0], [0.0]], (50, 1, 1)), rtol=1e-6)
  with pytest.raises(
    InputError, match="row 0: the policy knows none of the items .* such as 'new'"
  ):
    alone = dataclasses.replace(
      named, candidates=np.tile([1, -1, -1], (50, 1)), action=other.action * 0 + 1
    )
    policy_checkpoint.distributions(jax.random.key(0), policy, alone)


def test_features_go_with_the_ids_of_their_items():
  data = dataclasses.replace(log(), action_context=np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 3]]))
  _, features = policy_checkpoint.seen_by(frozen(data), data)
  order = [2, 0, 1]
  other = dataclasses.replace(
    data, item_ids=data.item_ids[order], action_context=data.action_context[order]
  )
  np.testing.assert_array_equal(policy_checkpoint.seen_by(frozen(data), other)[1], features)


def test_items_that_a_short_log_never_chose_are_those_of_the_policy():
  data = log()
  short = dataclasses.replace(data, item_ids=data.item_ids[[1, 2]], action=data.action % 2)
  whole = policy_checkpoint.with_items_of(frozen(data), short)
  assert whole.item_ids.tolist() == ['1', '2', '0']
  four = dataclasses.replace(short, num_candidates=short.num_candidates + 1)
  assert policy_checkpoint.with_items_of(frozen(data), four) is four


@pytest.mark.parametrize(
  ('other', 'message'),
  [
    (
      dataclasses.replace(log(), position=np.arange(50) // 49),
      r'position, row 49: 1 is not in 0\.\.0, the positions that the policy learnt from',
    ),
    (log(num_columns=5), 'context has 5 columns in the log'),
  ],
)
def test_a_log_that_it_cannot_see_is_one_line(other, message):
  with pytest.raises(InputError, match=message) as error:
    policy_checkpoint.distributions(jax.random.key(0), frozen(log()), other)
  assert '\n' not in str(error.value)


def indifferent(data, num_train):
  """A policy of three items, without a context, that takes the second one twice as often."""
  spec = ArmSpec(num_arms=3, num_candidates=3, query_dim=1, arm_dim=1)
  return FrozenPolicy(
    name='two_tower_softmax',
    hyperparameters={'temperature': 1.0},
    spec=spec,
    item_ids=data.item_ids,
    lessons=lessons.of(subset(data, slice(num_train))),
    state=bandits.make('two_tower_softmax').init(jax.random.key(0), spec),
    query=policy_checkpoint.Affine(jnp.ones((1, 1)), jnp.zeros(1)),
    features=policy_checkpoint.Affine(jnp.log(jnp.array([[1.0], [2.0], [1.0]])), jnp.zeros(1)),
  )


def test_rounds_that_taught_are_left_out_once_and_rows_are_those_of_the_rest():
  data = dataclasses.replace(log(1000), context=None, reward=np.arange(1000) // 7 % 2.0)
  policy = indifferent(data, 500)
  # Of rows 100 to 115, in two pieces, a window is there once those between them have gone.
  rows = np.r_[500:600, 100:108, 300:364, 108:116, 600:1000]
  kept = dataclasses.replace(subset(data, rows), round=np.arange(len(rows)))
  rest = policy_checkpoint.without_lessons(kept, [policy])
  assert lessons.taught(policy.lessons, rest).any()
  result = policy_value.evaluate_policy(rest, policy, 0.5, 0, Reading(('snipw',), 't'))
  np.testing.assert_array_equal(result.rows, np.arange(len(rest.action)))
  weight = np.where(rest.action == 1, 2.0, 1.0)
  expected = weight @ rest.reward / weight.sum() - rest.reward.mean()
  assert effects.effect(rest, result).value == pytest.approx(expected, rel=1e-5)
  for other in (kept, subset(rest, slice(100))):
    with pytest.raises(ValueError, match='is not the one of the evaluation'):
      effects.effect(other, result)
    with pytest.raises(ValueError, match='is not the one of the evaluation'):
      evaluation.lowest(other, result, 0.95)


def test_a_log_too_short_to_be_judged_by_is_not_said_to_have_taught():
  short = subset(log(), slice(40, 42))
  assert policy_checkpoint.without_lessons(short, []) is short
  assert policy_checkpoint.without_lessons(short, [frozen(log())]) is short
  with pytest.raises(InputError, match='19 of 20 rounds of the log taught the policy'):
    policy_checkpoint.without_lessons(subset(log(), slice(1, 21)), [frozen(log())])


def test_what_is_not_a_policy_is_one_line(tmp_path):
  with pytest.raises(InputError, match='no whole checkpoint in'):
    policy_checkpoint.load(tmp_path)
  with checkpoint.open(tmp_path, {'d_model': 8}) as saved:
    saved.save(0, {'weights': jnp.ones(2)}, None)
  with pytest.raises(InputError, match='a checkpoint, but not of a policy'):
    policy_checkpoint.load(tmp_path)
