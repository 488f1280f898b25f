"""Any environment as a Gymnasium one, so that an agent from outside can play it.

  world = worlds.build(WheelConfig())
  environment = GymnasiumEnvironment(world.environment, world.data, world.spec, num_rounds=1000)
  observation, info = environment.reset(seed=0)

Needs the extra: `pip install rec_jax[gymnasium]`. Nothing else in the package imports this module.
"""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rec_jax.environments.base import Environment
from rec_jax.environments.one_round import round_keys, seed_keys
from rec_jax.types import ArmSpec, Context, Decision, Feedback


class GymnasiumEnvironment(gymnasium.Env):
  """One user a round, for T rounds; then the episode is truncated.

  Observations are the `Context` as a dictionary: user_id, query [D], features [K, F], arm_ids [K],
  mask [K]. An action is the position of a candidate, or L different ones for slates; what is masked
  or comes twice is not shown and earns nothing. `reset` with a seed begins the run of `rollout`
  under `jax.random.key(seed)`: the same actions are answered by the same rewards.

  The reward of a step is the sum of what became known in that round, which is of earlier actions
  where feedback is delayed. `info` holds the rows that it consists of as `feedback`, which
  positions were shown [L], and expected_reward and best_expected_reward [L] where they are known.
  """

  def __init__(self, environment: Environment, data: Any, spec: ArmSpec, num_rounds: int):
    """Prepares an episode.

    Args:
      environment: of one user a round; one with delays is made for the policy 'uniform'.
      data: its data.
      spec: sizes; only those of the slate and of the ids matter here.
      num_rounds: T.

    Raises:
      ValueError: the environment has several users a round.
    """
    self._environment, self._data = environment, data
    self._num_rounds = num_rounds
    self._observe, self._step = jax.jit(environment.observe), jax.jit(environment.step)
    key = jax.random.key(0)
    state = jax.eval_shape(environment.init, key, data)
    shapes = jax.eval_shape(environment.observe, key, data, state, jnp.int32(0))
    num_users, num_candidates, arm_dim = shapes.features.shape
    if num_users != 1:
      raise ValueError(f'{num_users} users decide at once; make the environment with num_users=1')
    self.observation_space = spaces.Dict(
      {
        'user_id': spaces.Discrete(spec.num_users),
        'query': spaces.Box(-np.inf, np.inf, shapes.query.shape[1:]),
        'features': spaces.Box(-np.inf, np.inf, (num_candidates, arm_dim)),
        'arm_ids': spaces.MultiDiscrete(np.full(num_candidates, spec.num_arms)),
        'mask': spaces.MultiBinary(num_candidates),
      }
    )
    self.action_space = (
      spaces.Discrete(num_candidates)
      if spec.slate_size == 1
      else spaces.MultiDiscrete(np.full(spec.slate_size, num_candidates))
    )

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Begins an episode; without a seed its own derives from the last one that was given."""
    super().reset(seed=seed)
    del options
    seed = int(self.np_random.integers(2**31)) if seed is None else seed
    keys = seed_keys(jax.random.key(seed))
    self._key = keys.rounds
    self._state = self._environment.init(keys.environment, self._data)
    self._begin_round(0)
    return _observation(self._context), {}

  def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
    """Shows what the agent chose.

    Raises:
      ValueError: the episode is over.
    """
    if self._round == self._num_rounds:
      raise ValueError(f'the episode of {self._num_rounds} rounds is over; call reset')
    position = np.atleast_1d(np.asarray(action))
    shown = self._shown(position)
    index = jnp.asarray(np.where(shown, position, -1), jnp.int32)[None]
    arm_id = jnp.where(index < 0, -1, self._context.arm_ids[0][index])
    decision = Decision(index, arm_id, jnp.full(index.shape, jnp.nan), info=None)
    self._state, feedback, metrics = self._step(
      round_keys(self._key, self._round).step,
      self._data,
      self._state,
      jnp.int32(self._round),
      self._context,
      decision,
    )
    known = _known_rows(feedback)
    info = {'feedback': known, 'shown': shown}
    if not np.isnan(metrics.best_expected_reward).any():
      info['expected_reward'] = np.array(metrics.expected_reward[0])
      info['best_expected_reward'] = np.array(metrics.best_expected_reward[0])
    self._begin_round(self._round + 1)
    reward = float(np.sum(known['weight'] * known['reward']))
    return _observation(self._context), reward, False, self._round == self._num_rounds, info

  def _begin_round(self, number: int) -> None:
    """Observes, unless the episode is over: its last observation is that of the last round."""
    self._round = number
    if number < self._num_rounds:
      key = round_keys(self._key, number).observe
      self._context = self._observe(key, self._data, self._state, jnp.int32(number))

  def _shown(self, position: np.ndarray) -> np.ndarray:
    """[L] whether each position is that of a candidate, and not one of an earlier position."""
    is_first = np.isin(np.arange(len(position)), np.unique(position, return_index=True)[1])
    return is_first & np.asarray(self._context.mask[0])[position]


def _observation(context: Context) -> dict[str, Any]:
  return {
    'user_id': np.int64(context.user_id[0]),
    'query': np.array(context.query[0], np.float32),
    'features': np.array(context.features[0], np.float32),
    'arm_ids': np.array(context.arm_ids[0], np.int64),
    'mask': np.array(context.mask[0], np.int8),
  }


def _known_rows(feedback: Feedback) -> dict[str, np.ndarray]:
  """The rows of non-zero weight, without what an agent from outside has not given."""
  names = ('user_id', 'query', 'features', 'arm_id', 'reward', 'weight')
  known = np.asarray(feedback.weight) > 0
  return {name: np.asarray(getattr(feedback, name))[known] for name in names}
