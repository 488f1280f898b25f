"""How often 95 % intervals cover where the policy that logged learnt from the rounds it logged.

Two arms with normal rewards, whose propensities depend on earlier rewards and are known exactly.
The evaluated policies show the one arm always, or the other. What a model expects of an arm is its
mean so far. Beside the estimators stands the mean reward of an arm, as if its rounds were a sample.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.estimators import Rounds, dr, ipw, snipw
from rec_jax.evaluation.off_policy.overlap import difference_warning, overlap_of
from rec_jax.runs.study import Values
from rec_jax.studies.coverage import CHUNK_SIZE, EFFECT, UNWARNED, asymptotic, covered, misled

ADAPTIVE, ARM_MEAN = 'adaptive', 'mean of the arm'
ARMS = ('worse arm', 'better arm')
ESTIMATORS = {'ipw': ipw, 'snipw': snipw, 'dr': dr}
# Rounds in which either arm is as likely, whatever they paid.
WARM_UP = 10


@dataclasses.dataclass
class AdaptiveConfig:
  """One kind of log.

  Attributes:
    seed: of the logs and the bootstrap.
    num_logs: how many are drawn.
    num_rounds: of each log.
    resamples: of the bootstrap.
    logger: one of `LOGGERS`.
    gap: what the better arm pays more, in standard deviations of a reward.
  """

  seed: int = 0
  num_logs: int = 400
  num_rounds: int = 1_000
  resamples: int = 1_000
  logger: str = 'epsilon-greedy'
  gap: float = 0.0


class Logs(NamedTuple):
  """[logs, n] arms and rewards, [logs, n, 2] propensities and means so far of both arms."""

  arm: np.ndarray
  reward: np.ndarray
  propensity: np.ndarray
  expected: np.ndarray


def measure(config: AdaptiveConfig, workdir: Path) -> Mapping[str, Values]:
  """For each log and arm, whether each interval covers, how wide it is, whether nothing warns."""
  del workdir
  random = np.random.default_rng(config.seed)
  found: dict[str, list[Values]] = {}
  for start in range(0, config.num_logs, CHUNK_SIZE):
    size = min(CHUNK_SIZE, config.num_logs - start)
    logs = draw(random, config.logger, config.gap, size, config.num_rounds)
    unit = np.arange(start, start + size)
    for slot, arm in enumerate(ARMS):
      rounds = rounds_of(logs, slot)
      warned = np.array([overlap_of(each).warning != '' for each in rounds])
      found.setdefault(f'{arm}, {UNWARNED}', []).append(Values(~warned, unit))
      close = np.array(
        [difference_warning(r.reward, r.weight, None, r.second_moment) != '' for r in rounds]
      )
      key = jax.random.fold_in(jax.random.key(config.seed), 2 * start + slot)
      for (name, interval), estimates in _estimates(key, rounds, config.resamples).items():
        truth, quiet = np.full(size, float(slot * config.gap)), ~warned
        if name.startswith(EFFECT):
          truth -= config.gap * logs.propensity[:, :, 1].mean(1)
          quiet = ~(warned | close)
        pairs = zip(estimates, truth, strict=True)
        holds = np.array([each.low <= true <= each.high for each, true in pairs])
        label = f'{arm}, {name}'
        for metric, values in (
          (covered(label, interval), Values(holds, unit)),
          (covered(label, interval, advised=True), Values(holds[quiet], unit[quiet])),
          (misled(label, interval), Values(quiet & ~holds, unit)),
          (width(label, interval), Values([each.high - each.low for each in estimates], unit)),
        ):
          found.setdefault(metric, []).append(values)
  return {
    metric: Values(
      np.concatenate([each.value for each in parts]), np.concatenate([each.unit for each in parts])
    )
    for metric, parts in found.items()
  }


def width(name: str, interval: str) -> str:
  """The metric that is how wide an interval is."""
  return f'{name}, {interval}: width'


def draw(
  random: np.random.Generator, logger: str, gap: float, num_logs: int, num_rounds: int
) -> Logs:
  """Logs of a policy of `LOGGERS`, all at once."""
  probability = LOGGERS[logger]
  count, total = np.zeros((2, num_logs, 2))
  each = np.arange(num_logs)
  rows = []
  for t in range(num_rounds):
    first = probability(t, count, total) if t >= WARM_UP else np.full(num_logs, 0.5)
    arm = (random.random(num_logs) >= first).astype(int)
    reward = gap * arm + random.normal(size=num_logs)
    # As if a reward of 0 had been seen before, so that there is a mean.
    rows.append((arm, reward, np.stack([first, 1 - first], 1), total / (count + 1)))
    total[each, arm] += reward
    count[each, arm] += 1
  return Logs(*(np.stack(column, 1) for column in zip(*rows, strict=True)))


def rounds_of(logs: Logs, slot: int) -> list[Rounds]:
  """Each log as the policy sees it that shows one arm always."""
  shown = (logs.arm == slot).astype(float)
  at = logs.arm[:, :, None]
  weight = shown / np.take_along_axis(logs.propensity, at, 2)[:, :, 0]
  inverse = 1 / logs.propensity[:, :, slot]
  columns = (
    logs.reward,
    weight,
    shown,
    np.take_along_axis(logs.expected, at, 2)[:, :, 0],
    logs.expected[:, :, slot],
    inverse,
    inverse**3,
  )
  return [Rounds(*each) for each in zip(*columns, strict=True)]


def _estimates(
  key: jax.Array, rounds: list[Rounds], resamples: int
) -> dict[tuple[str, str], list[Estimate]]:
  """(estimator, interval) -> an estimate a log."""
  with jax.enable_x64():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rounds)
    table = {name: estimator(stacked) for name, estimator in ESTIMATORS.items()}
    table[f'{EFFECT}dr'] = dataclasses.replace(
      table['dr'], direct=table['dr'].direct - stacked.reward
    )
    # Every round of the arm alike.
    table[ARM_MEAN] = snipw(dataclasses.replace(stacked, weight=stacked.target))
    found = asymptotic(key, table, resamples)
    for name in ('ipw', 'dr'):
      found[name, ADAPTIVE] = [adaptive(each, ESTIMATORS[name]) for each in rounds]
  return found


def _floored(first: np.ndarray, t: int) -> np.ndarray:
  """Either arm with (t + 1)^-0.7 / 2 at least, as Hadad et al. (2021, section 5) explore."""
  least = 0.5 * (t + 1) ** -0.7
  return np.clip(first, least, 1 - least)


def _better(count: np.ndarray, total: np.ndarray) -> np.ndarray:
  mean = total / np.maximum(count, 1)
  return (mean[:, 0] > mean[:, 1]).astype(float)


def _thompson(t: int, count: np.ndarray, total: np.ndarray) -> np.ndarray:
  """How probable it is that the first arm is better, of normal means with variance 1 before."""
  mean, variance = total / (count + 1), 1 / (count + 1)
  distance = (mean[:, 0] - mean[:, 1]) / np.sqrt(variance.sum(1))
  return _floored(scipy.special.ndtr(distance), t)


# Name -> (t, [logs, 2] how often each arm was shown, what it paid) -> propensity of the first.
LOGGERS: dict[str, Callable[[int, np.ndarray, np.ndarray], np.ndarray]] = {
  'epsilon-greedy': lambda t, count, total: np.clip(_better(count, total), 0.05, 0.95),
  'epsilon-greedy, falling': lambda t, count, total: _floored(_better(count, total), t),
  'Thompson sampling': _thompson,
}
