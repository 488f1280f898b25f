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
from rec_jax.environments.replay import ReplayData, replay_environment, replay_spec
from rec_jax.environments.rollout import rollout
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment
from rec_jax.types import ArmSpec

NAN = np.nan
WHEEL = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=2, arm_dim=ARM_DIM)
MATRIX = matrix_data(np.array([[0.5, NAN, -2.0, 3.0], [NAN, 7.0, NAN, NAN], [1.0, 1.5, NAN, 0.0]]))

LOG = ReplayData(
  user=np.zeros(9, np.int32),
  query=np.ones((9, 1), np.float32),
  features=np.eye(3, dtype=np.float32),
  action=np.arange(9, dtype=np.int32) % 3,
  reward=np.arange(9, dtype=np.float32),
)


def wheel(num_rounds=4, environment=None):
  return GymnasiumEnvironment(environment or wheel_environment(), WheelData(), WHEEL, num_rounds)


@pytest.fixture(scope='module')
def played():
  """A rollout of one seed and its actions."""
  keys = jax.random.key(7)[None]
  out = rollout(keys, bandits.make('uniform'), wheel_environment(), WheelData(), WHEEL, 4)
  return out.metrics, out.metrics.arm_id[0, :, 0, 0].tolist()


@pytest.mark.parametrize(
  'environment',
  [
    wheel(),
    GymnasiumEnvironment(matrix_environment(), MATRIX, matrix_spec(MATRIX, slate_size=2), 9),
    GymnasiumEnvironment(replay_environment(), LOG, replay_spec(LOG), 9),
  ],
  ids=['wheel', 'slates with masks', 'replay'],
)
def test_gymnasium_finds_nothing_wrong(environment):
  with pytest.warns(UserWarning, match='infinity'):
    check_env(environment, skip_render_check=True)


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


def test_what_is_masked_or_comes_twice_is_not_shown():
  spec = matrix_spec(MATRIX, slate_size=2)
  environment = GymnasiumEnvironment(matrix_environment(), MATRIX, spec, 20)
  assert environment.action_space == gymnasium.spaces.MultiDiscrete([3, 3])
  observation, _ = environment.reset(seed=0)
  users = set()
  for action in [(0, 1), (1, 1)] * 10:
    user = int(observation['user_id'])
    users.add(user)
    # Of user 1 one item is known, the first.
    shown = [bool(MATRIX.mask[user][action[0]]), action == (0, 1) and user != 1]
    earned = MATRIX.rewards[user][list(action)] * shown
    observation, reward, _, _, info = environment.step(np.array(action))
    np.testing.assert_array_equal(info['shown'], shown)
    np.testing.assert_array_equal(info['expected_reward'], earned)
    assert reward == pytest.approx(earned.sum())
    assert len(info['feedback']['reward']) == sum(shown)
  assert users == {0, 1, 2}


def test_several_users_at_once_are_refused():
  with pytest.raises(ValueError, match='2 users decide at once; make the environment with num_use'):
    GymnasiumEnvironment(matrix_environment(num_users=2), MATRIX, matrix_spec(MATRIX), 4)
