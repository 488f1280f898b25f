"""Does exploring pay? Explore in the first half, update the model on that log, then be greedy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.item_prior import NOISE_VARIANCE
from rec_jax.environments.rollout import Trajectory, rollout
from rec_jax.evaluation import intervals
from rec_jax.runs.config import Config
from rec_jax.runs.parts import Parts
from rec_jax.stages.explore import policies
from rec_jax.stages.explore.policies import Hyperparameters, PolicyEntry
from rec_jax.stages.explore.worlds import FIRST_SEED, World

_GREEDY = policies.PER_USER_GREEDY
ENTRIES = (_GREEDY, policies.PER_USER_UCB, policies.PER_USER_THOMPSON)
_PROTOCOL = (
  'whole catalogue, the stream cut into halves; in the first half the named policy acts; then its '
  'log updates the popularity of the items and refits their vectors (a ridge step for users, then '
  'one for items); in the second half everybody acts greedily; difference: second half minus that '
  f'after having acted greedily throughout, paired by user; {FIRST_SEED}'
)


def compare(
  config: Config, world: World, chosen: dict[str, Hyperparameters], parts: Parts
) -> dict[str, Any]:
  """Rewards of both halves for each policy of the first, with paired differences."""
  works = {entry.label: functools.partial(_play, config, world, entry, chosen) for entry in ENTRIES}
  halves = parts.group('payoff', works)
  rows = []
  for label, (first, second) in halves.items():
    means = intervals.user_means(jax.random.key(config.seed), {'': np.array(first)})
    later = intervals.user_means(jax.random.key(config.seed), {'': np.array(second)})
    difference = intervals.paired_difference(
      jax.random.key(config.seed), np.array(second), np.array(halves[_GREEDY.label][1])
    )
    rows.append(
      {
        'name': f'{label}, then greedy' if label != _GREEDY.label else f'{label} throughout',
        'first_half': intervals.to_json(means['']),
        'second_half': intervals.to_json(later['']),
        'difference': intervals.to_json(difference),
      }
    )
  return {'protocol': _PROTOCOL, 'rows': rows}


def refit_items(
  features: np.ndarray,
  item: np.ndarray,
  user_weights: np.ndarray,
  residual: np.ndarray,
  precision: float,
) -> np.ndarray:
  """Item vectors after one ridge step on a log, around the given ones.

  For each item, the minimum over x of sum (residual - w·x)^2 + precision |x - x0|^2.

  Args:
    features: [N, F], x0.
    item: [n] of each row of the log.
    user_weights: [n, F], w of the row's user.
    residual: [n], reward minus what popularity expects.
    precision: of the prior around x0.

  Returns:
    [N, F]; items that the log does not hold stay as they are.
  """
  num_features = features.shape[1]
  gram = np.zeros((len(features), num_features, num_features))
  moment = np.zeros(features.shape)
  np.add.at(gram, item, user_weights[:, :, None] * user_weights[:, None, :])
  gap = residual - np.sum(user_weights * features[item], axis=1)
  np.add.at(moment, item, user_weights * gap[:, None])
  step = np.linalg.solve(gram + precision * np.eye(num_features), moment[..., None])[..., 0]
  return features + step


def _play(
  config: Config, world: World, entry: PolicyEntry, chosen: dict[str, Hyperparameters]
) -> tuple[list[float], list[float]]:
  """Mean reward of each user, over the seeds, in the first and in the second half."""
  half = world.num_rounds // 2
  settings = config.explore
  first = policies.run(
    entry,
    world,
    [chosen[entry.label]],
    settings.payoff_seeds,
    config.seed,
    settings.memory_bound,
    num_rounds=half,
    return_state=True,
  )
  make = policies.factory(_GREEDY, world)
  greedy = policies.with_prior(_GREEDY, world, chosen[_GREEDY.label])
  rewards = []
  for seed in range(settings.payoff_seeds):
    # The log of each seed makes other features, and those are shared by the seeds of a rollout.
    features, prior = _updated(world, first, seed, chosen[_GREEDY.label])
    second = rollout(
      jax.random.split(jax.random.key(config.seed + seed), 1),
      make,
      world.environment,
      world.with_features(features).data,
      world.spec,
      world.num_rounds - half,
      settings={k: jnp.asarray(v)[None] for k, v in {**greedy, **prior}.items()},
      first_round=half,
      env_state=jax.tree.map(lambda x, seed=seed: x[seed : seed + 1], first.env_state),
    )
    rewards.append(np.asarray(second.metrics.reward)[0, :, 0, 0])
  visits = np.asarray(world.data.visits)
  early = np.asarray(first.metrics.reward)[:, :, 0, 0]
  return _by_user(early, visits[:half]), _by_user(np.stack(rewards), visits[half:])


def _updated(
  world: World, first: Trajectory, seed: int, setting: Hyperparameters
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Item features [N, F] and prior counts {a0, b0 [N]} after the log of one seed."""
  num_rounds = first.metrics.reward.shape[1]
  arm = np.asarray(first.metrics.arm_id)[seed, :, 0, 0]
  reward = np.asarray(first.metrics.reward)[seed, :, 0, 0].astype(np.float64)
  user = np.asarray(world.data.visits)[:num_rounds]
  shown = arm >= 0
  arm, reward, user = arm[shown], reward[shown], user[shown]
  num_items = len(world.is_cold)
  a0 = np.asarray(world.a0) + np.bincount(arm, reward, num_items)
  b0 = np.asarray(world.b0) + np.bincount(arm, 1 - reward, num_items)
  residual = reward - (a0 / (a0 + b0))[arm]
  features = np.asarray(world.data.features, np.float64)
  # The same ridge as the linear belief: precision times noise variance, for users and for items.
  ridge = setting['lambda_'] * NOISE_VARIANCE
  num_users = len(world.is_new)
  weights = refit_items(
    np.zeros((num_users, features.shape[1])), user, features[arm], residual, ridge
  )
  items = refit_items(features, arm, weights[user], residual, ridge)
  prior = {'a0': a0.astype(np.float32), 'b0': b0.astype(np.float32)}
  return items.astype(np.float32), prior


def _by_user(reward: np.ndarray, visits: np.ndarray) -> list[float]:
  """Mean reward, over seeds and visits, of each user with a visit."""
  count = np.bincount(visits)
  total = np.bincount(visits, reward.mean(0))
  return (total[count > 0] / count[count > 0]).tolist()
