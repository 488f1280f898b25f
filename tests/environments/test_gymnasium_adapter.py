"""The Gymnasium adapter: its own checker, and the rewards of a rollout for the same actions."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rec_jax import bandits
from rec_jax.environments.delayed import delayed
from rec_jax.environments.gymnasium_adapter import GymnasiumEnvironment
from rec_jax.environments.matrix import matrix_data, matrix_environment, matrix_spec
from rec_jax.environments.rollout import rollout
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment
from rec_jax.types import ArmSpec

NAN = np.nan
WHEEL = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=2, arm_dim=ARM_DIM)
MATRIX = matrix_data(np.array([[0.5, NAN, -2.0, 3.0], [NAN, 7.0, NAN, NAN], [1.0, 1.5, NAN, 0.0]]))


def wheel(num_rounds=4, environment=None):
  return GymnasiumEnvironment(environment or wheel_environment(), WheelData(), WHEEL, num_rounds)


@pytest.fixture(scope='module')
def played():
  """A rollout of one seed and its actions."""
  keys = jax.random.key(7)[None]
  out = rollout(keys, bandits.make('uniform'), wheel_environment(), WheelData(), WHEEL, 4)
  return out.metrics, out.metrics.arm_id[0, :, 0, 0].tolist()


def test_gymnasium_finds_nothing_wrong():
  with pytest.warns(UserWarning, match='infinity'):
    check_env(wheel(), skip_render_check=True)


def test_the_same_seed_and_actions_are_those_of_a_rollout(played):
  metrics, actions = played
  environment = wheel()
  for _ in range(2):
    environment.reset(seed=7)
    rewards, ends = [], []
    for action in actions:
      observation, reward, terminated, truncated, info = environment.step(action)
      assert environment.observation_space.contains(observation)
      rewards.append(reward)
      ends.append((terminated, truncated))
      np.testing.assert_array_equal(info['feedback']['reward'], [np.float32(reward)])
    np.testing.assert_allclose(rewards, metrics.reward[0, :, 0, 0], rtol=1e-6)
    assert ends == [(False, False)] * 3 + [(False, True)]
  with pytest.raises(ValueError, match='over; call reset'):
    environment.step(0)
  first, second = (environment.reset()[0]['query'] for _ in range(2))
  assert not np.array_equal(first, second)


def test_a_delayed_reward_is_that_of_earlier_actions(played):
  metrics, actions = played

  def two_rounds(key, shape):
    return np.full(shape, 2, np.int32)

  policy = bandits.make('uniform')
  environment = wheel(4, delayed(wheel_environment(), two_rounds, 2, policy, WHEEL))
  environment.reset(seed=7)
  rewards = [environment.step(action)[1] for action in actions]
  np.testing.assert_allclose(rewards, [0, 0, *metrics.reward[0, :2, 0, 0]], rtol=1e-6)


def test_slates_and_masks():
  spec = matrix_spec(MATRIX, slate_size=2)
  environment = GymnasiumEnvironment(matrix_environment(), MATRIX, spec, 20)
  assert environment.action_space == gymnasium.spaces.MultiDiscrete([3, 3])
  observation, _ = environment.reset(seed=0)
  users = set()
  for _ in range(20):
    user = int(observation['user_id'])
    users.add(user)
    if observation['mask'][1]:
      with pytest.raises(ValueError, match='one twice'):
        environment.step(np.array([1, 1]))
    # Of user 1 one item is known: the second position stays empty.
    observation, reward, _, _, info = environment.step(np.array([0, 1]))
    expected = MATRIX.rewards[user][:2] * MATRIX.mask[user][:2]
    assert reward == pytest.approx(expected.sum())
    assert len(info['feedback']['reward']) == MATRIX.mask[user][:2].sum()
  assert users == {0, 1, 2}


def test_several_users_at_once_are_refused():
  with pytest.raises(ValueError, match='2 users decide at once; make the environment with num_use'):
    GymnasiumEnvironment(matrix_environment(num_users=2), MATRIX, matrix_spec(MATRIX), 4)
