"""What a sweep measures: regret where expected rewards are known, else the reward of a replay."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rec_jax.environments.base import Metrics
from rec_jax.evaluation import intervals, regret
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.regret import Band
from rec_jax.types import InputError

# Name -> [S, points], sums up to each of the rounds that are kept.
Sums = dict[str, np.ndarray]
_SIMPLE = 'simple_regret'


class Measure(NamedTuple):
  """How the runs of one setting become numbers.

  Attributes:
    name: what the table calls it.
    title: what the figure calls it.
    higher_is_better: whether the best policy has the most of it.
    sums: metrics of [runs, T, 1, L] -> name -> [runs, T], sums up to each round.
    band: sums -> the curve with its interval.
    final: sums -> after the last round.
    difference: (sums, sums of the baseline) -> after the last round.
    details: sums -> name -> what else is to be reported.
    protocol: number of seeds -> what it is and what its interval is over.
  """

  name: str
  title: str
  higher_is_better: bool
  sums: Callable[[Metrics], Sums]
  band: Callable[[Sums], Band]
  final: Callable[[Sums], Estimate]
  difference: Callable[[Sums, Sums], Estimate]
  details: Callable[[Sums], dict[str, Estimate]]
  protocol: Callable[[int], str]


def _of_slates(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
  """[runs, T] expected reward of the slate that was shown, and of the best."""
  expected, best = (
    np.asarray(x)[:, :, 0].sum(-1) for x in (metrics.expected_reward, metrics.best_expected_reward)
  )
  return expected, best


def _regret_sums(metrics: Metrics) -> Sums:
  expected, best = _of_slates(metrics)
  return {
    'regret': regret.cumulative_regret(expected, best),
    'expected_reward': np.cumsum(expected, axis=1, dtype=np.float64),
  }


def _hindsight_sums(metrics: Metrics) -> Sums:
  # A round may be worth more than it is to the best fixed arm, so a sum may fall.
  earned, best = (np.cumsum(x, axis=1, dtype=np.float64) for x in _of_slates(metrics))
  return {'regret': best - earned, 'expected_reward': earned}


REGRET = Measure(
  name='regret',
  title='cumulative regret',
  higher_is_better=False,
  sums=_regret_sums,
  band=lambda sums: regret.band(sums['regret']),
  final=lambda sums: intervals.t_interval(sums['regret'][:, -1]),
  difference=lambda sums, baseline: intervals.t_interval(
    sums['regret'][:, -1] - baseline['regret'][:, -1]
  ),
  details=lambda sums: {
    'expected reward': intervals.t_interval(sums['expected_reward'][:, -1]),
  },
  protocol=lambda seeds: _regret_protocol(f'{seeds:,} seeds, which share the truth of the world'),
)
# Where each seed has a truth of its own.
REGRET_OVER_TRUTHS = REGRET._replace(
  protocol=lambda seeds: _regret_protocol(f'{seeds:,} seeds, each with a truth of its own')
)

# Where rewards were fixed beforehand.
REGRET_IN_HINDSIGHT = REGRET._replace(
  sums=_hindsight_sums,
  protocol=lambda seeds: (
    'regret after t rounds is what the best fixed arm in hindsight would have earned in them minus '
    "what was; expected reward is the reward itself; 95 % intervals (Student's t) over "
    f'{seeds:,} seeds, each with an order of the arms of its own; differences paired by seed'
  ),
)


def _regret_protocol(seeds: str) -> str:
  return (
    'regret is the sum of the best minus the chosen expected reward, expected reward the sum of '
    f"the chosen; 95 % intervals (Student's t) over {seeds}; differences paired by seed"
  )


def with_simple_regret(measure: Measure) -> Measure:
  """The same, with the simple regret after the last round, where arms stay the same."""

  def sums(metrics: Metrics) -> Sums:
    found = measure.sums(metrics)
    parts = metrics.reward, metrics.expected_reward, metrics.best_expected_reward, metrics.arm_id
    last = regret.simple_regret(*(np.asarray(x)[:, :, 0, 0] for x in parts))
    # It is no sum: of all rounds, at whichever of them it is read.
    return found | {_SIMPLE: np.broadcast_to(last[:, None], found['regret'].shape)}

  return measure._replace(
    sums=sums,
    details=lambda sums: (
      measure.details(sums) | {'simple regret': intervals.t_interval(sums[_SIMPLE][:, -1])}
    ),
    protocol=lambda seeds: (
      f'{measure.protocol(seeds)}; simple regret is the best expected reward minus that of the arm '
      'with the highest mean reward after the last round'
    ),
  )


def _replay_sums(metrics: Metrics) -> Sums:
  reward, arm = (np.asarray(x)[:, :, 0, 0] for x in (metrics.reward, metrics.arm_id))
  return {
    'reward': np.cumsum(reward, axis=1, dtype=np.float64),
    'matched': np.cumsum(arm >= 0, axis=1, dtype=np.float64),
  }


def _blocks(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
  """Reward and matched rounds [points] between one kept round and the next, averaged over seeds."""
  reward, matched = (np.diff(sums[name].mean(0), prepend=0.0) for name in ('reward', 'matched'))
  if not matched.any():
    raise InputError(
      'no round of the log matched: set --config.num_rounds or --config.num_seeds to more'
    )
  return reward, matched


def _replay_band(sums: Sums) -> Band:
  reward, matched = _blocks(sums)
  # Nothing is known before the first match.
  estimates = [
    intervals.ratio_interval(reward[:end], matched[:end]) if matched[:end].any() else None
    for end in range(1, len(reward) + 1)
  ]
  value, low, high = (
    np.array([np.nan if estimate is None else getattr(estimate, name) for estimate in estimates])
    for name in ('value', 'low', 'high')
  )
  return Band(value, low, high, len(reward))


# The seeds replay one log. Intervals over seeds would shrink to nothing around what this log
# happens to hold, so the unit is a block of logged rounds, averaged over seeds within it.
REPLAY = Measure(
  name='reward per matched round',
  title='mean reward per matched round',
  higher_is_better=True,
  sums=_replay_sums,
  band=_replay_band,
  final=lambda sums: intervals.ratio_interval(*_blocks(sums)),
  difference=lambda sums, baseline: intervals.ratio_difference(_blocks(sums), _blocks(baseline)),
  details=lambda sums: {'matched rounds': intervals.t_interval(sums['matched'][:, -1])},
  protocol=lambda seeds: (
    f'rewards and matched rounds are summed over {seeds:,} seeds, who replay one log; 95 % '
    'intervals of the ratio over n blocks of consecutive logged rounds; differences paired by '
    'block; matched rounds: of one seed, interval over seeds'
  ),
)
