"""A reward matrix: exact regret by brute force, masks, and what is refused."""

import io

import jax
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.matrix import matrix_data, matrix_environment, matrix_spec, read_matrix
from rec_jax.environments.rollout import rollout
from rec_jax.types import InputError

NAN = np.nan
REWARDS = np.array([[0.5, NAN, -2.0, 3.0], [NAN, 7.0, NAN, NAN], [1.0, 1.5, NAN, 0.0]])
USERS = np.arange(6.0).reshape(3, 2)


def test_rewards_regret_and_candidates_are_those_of_the_matrix():
  data = matrix_data(REWARDS, user_features=USERS)
  spec = matrix_spec(data, slate_size=2)
  assert spec == (4, 3, 2, 4, 2, 3)
  keys = jax.random.split(jax.random.key(0), 4)
  environment = matrix_environment(num_users=5)
  metrics = rollout(keys, bandits.make('uniform'), environment, data, spec, 40).metrics
  users, arms = metrics.user_id.reshape(-1), metrics.arm_id.reshape(-1, 2)
  assert set(users) == {0, 1, 2}
  shown = set()
  for row, (user, slate) in enumerate(zip(users, arms, strict=True)):
    known = np.flatnonzero(~np.isnan(REWARDS[user]))
    best = np.sort(REWARDS[user][known])[::-1][:2]
    chosen = [REWARDS[user, arm] if arm >= 0 else 0 for arm in slate]
    # One item is known of user 1: the second position stays empty.
    assert np.sum(slate >= 0) == min(2, len(known))
    assert set(slate[slate >= 0]) <= set(known)
    shown |= {(user, arm) for arm in slate}
    np.testing.assert_array_equal(metrics.reward.reshape(-1, 2)[row], chosen)
    np.testing.assert_array_equal(metrics.expected_reward.reshape(-1, 2)[row], chosen)
    np.testing.assert_array_equal(metrics.best_expected_reward.reshape(-1, 2)[row], [*best, 0][:2])
  assert len(shown) == np.sum(~np.isnan(REWARDS)) + 1


def test_a_context_holds_the_features_of_the_user_and_of_the_known_items():
  items = np.arange(12.0).reshape(4, 3)
  data = matrix_data(REWARDS, USERS, items)
  context = matrix_environment(num_users=8).observe(jax.random.key(1), data, (), 0)
  for user, query, features, arms, mask in zip(
    context.user_id, context.query, context.features, context.arm_ids, context.mask, strict=True
  ):
    np.testing.assert_array_equal(query, USERS[user])
    known = np.flatnonzero(~np.isnan(REWARDS[user]))
    np.testing.assert_array_equal(arms[mask], known)
    np.testing.assert_array_equal(features[mask], items[known])


def test_a_file_is_read_with_and_without_features(tmp_path):
  np.savez(
    tmp_path / 'all.npz', rewards=REWARDS, user_features=USERS, item_features=np.ones((4, 5))
  )
  np.savez(tmp_path / 'alone.npz', rewards=REWARDS.astype(np.float16))
  data = read_matrix(tmp_path / 'all.npz')
  assert (data.queries.shape, data.features.shape) == ((3, 2), (4, 5))
  alone = read_matrix(tmp_path / 'alone.npz')
  np.testing.assert_array_equal(alone.queries, np.ones((3, 1)))
  np.testing.assert_array_equal(alone.features, np.eye(4))
  np.testing.assert_array_equal(alone.rewards, data.rewards)


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'reward': REWARDS}, r'has reward; it must have rewards \[users, items\]'),
    ({'rewards': REWARDS, 'items': USERS}, 'has rewards, items; it must have'),
    ({'rewards': REWARDS[0]}, r'rewards has shape \(4,\) and type float64'),
    ({'rewards': REWARDS.astype(str)}, 'give numbers of two dimensions'),
    ({'rewards': REWARDS.astype(object)}, 'cannot be read'),
    (
      {'rewards': REWARDS, 'user_features': np.ones((2, 2))},
      r'user_features has shape \(2, 2\) and rewards have shape \(3, 4\); give one row of '
      'features for each row',
    ),
    (
      {'rewards': REWARDS, 'item_features': np.ones((3, 2))},
      r'item_features has shape \(3, 2\) and rewards have shape \(3, 4\); .* each column',
    ),
    (
      {'rewards': REWARDS, 'item_features': np.full((4, 2), NAN)},
      'item_features, row 0, column 0: nan',
    ),
    ({'rewards': np.where(REWARDS == 7, NAN, REWARDS)}, 'rewards, row 1: every reward is NaN'),
    ({'rewards': np.where(REWARDS == 1.5, -np.inf, REWARDS)}, 'rewards, row 2, column 1: -inf'),
    ({'rewards': np.where(REWARDS == 1.5, 1e39, REWARDS)}, 'rewards, row 2, column 1: inf'),
  ],
)
def test_bad_matrices_are_one_line_that_names_the_file_and_the_place(tmp_path, arrays, message):
  path = tmp_path / 'matrix.npz'
  np.savez(path, **arrays)
  with pytest.raises(InputError, match=f'^{path}: (?:{message}|.*{message})') as error:
    read_matrix(path)
  assert '\n' not in str(error.value)


def as_npy():
  buffer = io.BytesIO()
  np.save(buffer, REWARDS)
  return buffer.getvalue()


@pytest.mark.parametrize(
  'content', [None, b'', b'user,item\n', b'PK\x03\x04 cut short', as_npy()], ids=range(5)
)
def test_a_file_that_is_no_npz_is_one_line(tmp_path, content):
  path = tmp_path / 'matrix.npz'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(InputError, match=f'^{path}: cannot be read .*savez') as error:
    read_matrix(path)
  assert '\n' not in str(error.value)
