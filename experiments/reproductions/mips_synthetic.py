"""MIPS beside IPS on synthetic logs of 10 to 5,000 actions: ratios of squared errors."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.reproductions import Repeat, many_actions, reproduction
from experiments.reproductions.many_actions import EPSILON, Log, World
from rec_jax.evaluation.off_policy import embeddings
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

_TITLE = 'MIPS errs less than IPS the more actions there are, as published'
_SETUP = (
  'synthetic logs of section 4.1 of Saito & Joachims (2022), three dimensions of ten categories, '
  'logged by softmax(-q), evaluated: the best action, 5 % uniform; noise 2.5; squared errors over '
  'those of MIPS, means over logs; numbers of the text of section 4.1. Each is of one world, which '
  'is another draw than that of the source: with 10 actions and with 800 rounds its logarithm has '
  'to be one that a new world could have, given those of 10 worlds (a t statistic within its '
  'central 95 %); elsewhere the tolerance is two standard errors of a ratio of two mean squares. '
  'p(a|x, e) is by the regression of the source for 10 actions and for 800 rounds, by counts of '
  'categories elsewhere and in the 10 worlds'
)
SEED = 12345
_NUM_WORLDS, _LOGS_OF_A_WORLD = 10, 40


class Setting(NamedTuple):
  """One point of a published curve.

  Attributes:
    num_actions: K.
    num_rounds: n.
    num_logs: whose squared errors are averaged; 100 in the source.
    published: MSE(IPS) / MSE(MIPS).
    is_regressed: whether p(a|x, e) is, as in the source; its worlds are then compared as well.
  """

  num_actions: int
  num_rounds: int
  num_logs: int
  published: float
  is_regressed: bool


SETTINGS = (
  Setting(10, 10_000, 100, 1.38, True),
  Setting(1000, 800, 100, 9.10, True),
  Setting(1000, 25_600, 40, 4.87, False),
  Setting(5000, 10_000, 40, 12.38, False),
)


def get_study() -> Study:
  """Ratios of mean squared errors; the log is the unit."""
  expected = {}
  for each in SETTINGS:
    if each.is_regressed:
      bound = float(stats.t.ppf(0.975, _NUM_WORLDS - 1))
      expected[_place(each)] = Expected(-bound, bound)
    else:
      # A mean of m squared normal errors has a relative standard error of sqrt(2 / m).
      relative = 2 * np.sqrt(4 / 100 + 4 / each.num_logs)
      expected[_metric(each, 'IPS', 'MIPS, counted')] = Expected.near(
        each.published, relative * each.published
      )
  # "MIPS (true) is even better than MIPS in large action sets", and the first claim for 5,000.
  expected[_metric(SETTINGS[1], 'MIPS', 'MIPS (true)')] = Expected(1.0, np.inf)
  expected['MSE(IPS), 5000 actions / 10 actions'] = Expected(300.0, np.inf)
  return reproduction(_TITLE, _SETUP, measure, expected, seed=SEED)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """Squared errors of all settings, as ratios with what each log adds to them."""
  del workdir
  found, of_ips = {}, {}
  for setting in SETTINGS:
    errors = squared_errors(setting, config.seed)
    of_ips[setting.num_actions, setting.num_rounds] = errors['IPS']
    for method in (name for name in errors if name != 'IPS'):
      found[_metric(setting, 'IPS', method)] = _ratio(errors['IPS'], errors[method])
    if setting.is_regressed:
      for method in ('MIPS (true)', 'MIPS, counted'):
        found[_metric(setting, 'MIPS', method)] = _ratio(errors['MIPS'], errors[method])
      found |= _beside_worlds(setting, config.seed)
  few, many = of_ips[10, 10_000], of_ips[5000, 10_000]
  name = 'MSE(IPS), 5000 actions / 10 actions'
  found[name] = Values(many / few.mean(), np.arange(len(many)))
  return found


def squared_errors(setting: Setting, seed: int) -> dict[str, np.ndarray]:
  """Estimator -> [logs] squared errors."""
  random = np.random.RandomState(seed)
  world = many_actions.world(random, setting.num_actions)
  truth = many_actions.value(world, random)
  found: dict[str, list[float]] = {}
  for _ in range(setting.num_logs):
    log = many_actions.log(world, random, setting.num_rounds)
    for name, weight in weights(world, log, setting).items():
      found.setdefault(name, []).append(float((weight * log.reward).mean() - truth) ** 2)
  return {name: np.array(errors) for name, errors in found.items()}


def weights(world: World, log: Log, setting: Setting) -> dict[str, np.ndarray]:
  """Estimator -> [n] what it multiplies rewards by."""
  policies, rows = log.policies, np.arange(len(log.reward))
  target, behaviour = policies.target[:, :, 0], log.behaviour
  found = {'IPS': (target / behaviour)[rows, policies.action]}
  likelihood = np.ones_like(target)
  for d, category in enumerate(log.embedding.T):
    likelihood *= world.chance[:, category, d].T
  above = (1 - EPSILON) * likelihood[rows, log.best] + EPSILON * likelihood.mean(1)
  found['MIPS (true)'] = above / np.einsum('nk,nk->n', behaviour, likelihood)
  fold = folds(SEED, len(rows), 3)
  counted = embeddings.estimated(policies, log.embedding, setting.num_actions, fold)
  found['MIPS, counted'] = counted(range(log.embedding.shape[1]))
  if setting.is_regressed:
    chance = many_actions.regressed(log, setting.num_actions)
    found['MIPS'] = np.einsum('nk,nk->n', chance, target / behaviour)
  return found


def _beside_worlds(setting: Setting, seed: int) -> dict[str, Values]:
  """The ratio in each of several worlds, and where the published one lies beside them."""
  less = setting._replace(num_logs=_LOGS_OF_A_WORLD, is_regressed=False)
  worlds = [squared_errors(less, seed + 1 + world) for world in range(_NUM_WORLDS)]
  logs = np.array([np.log(e['IPS'].mean() / e['MIPS, counted'].mean()) for e in worlds])
  # What a new draw is away from the mean of W others has variance sd^2 (1 + 1 / W).
  away = np.log(setting.published) - logs.mean()
  place = away / (logs.std(ddof=1) * np.sqrt(1 + 1 / _NUM_WORLDS))
  units = [f'world {world}' for world in range(_NUM_WORLDS)]
  name = f'log of {_metric(setting, "IPS", "MIPS, counted")}, worlds'
  return {name: Values(logs, units), _place(setting): Values([place], ['published'])}


def _place(setting: Setting) -> str:
  return f'log of the published ratio among worlds, t, {_size(setting)}'


def _size(setting: Setting) -> str:
  return f'{setting.num_actions} actions, {setting.num_rounds} rounds'


def _metric(setting: Setting, above: str, below: str) -> str:
  return f'MSE({above}) / MSE({below}), {_size(setting)}'


def _ratio(above: np.ndarray, below: np.ndarray) -> Values:
  """What each log adds to the ratio of two means, by the delta method."""
  ratio = above.mean() / below.mean()
  return Values(ratio + (above - ratio * below) / below.mean(), np.arange(len(above)))
