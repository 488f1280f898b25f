"""How often 95 % intervals cover a value that is exactly known, with bias and width."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from rec_jax.evaluation.off_policy.estimators import Terms
from rec_jax.runs.study import Values
from rec_jax.studies.coverage import asymptotic, covers
from rec_jax.studies.logged.list_estimates import NAMES
from rec_jax.studies.structured import categories, doses, lists

# Logs whose bootstrap shares its resamples.
CHUNK_SIZE = 100


@dataclasses.dataclass
class StructuredConfig:
  """One kind of log.

  Attributes:
    seed: of the world, the logs and the bootstrap.
    num_logs: how many are drawn of the world.
    num_rounds: of each log.
    resamples: of the bootstrap.
    actions: one of `WORLDS`.
  """

  seed: int = 0
  num_logs: int = 400
  num_rounds: int = 1_000
  resamples: int = 1_000
  actions: str = 'lists, independent'


# (world, random, number of rounds) -> what each round adds by estimator, and of which none warns.
Draw = Callable[..., tuple[dict[str, Terms], dict[str, bool]]]
# What actions are -> the world by a random state, and its logs.
WORLDS: dict[str, tuple[Callable, Draw]] = {
  f'lists, {users}': (functools.partial(lists.world, users=users), lists.terms)
  for users in lists.USERS
} | {
  'doses': (functools.partial(doses.world, least=0.3, largest=0.7), doses.terms),
  'doses at the edge': (functools.partial(doses.world, least=0.9, largest=1.0), doses.terms),
  'categories': (
    functools.partial(categories.world, is_drawn=False, violation=0.0),
    categories.terms,
  ),
  'drawn categories': (
    functools.partial(categories.world, is_drawn=True, violation=0.0),
    categories.terms,
  ),
  'categories, violated': (
    functools.partial(categories.world, is_drawn=False, violation=0.5),
    categories.terms,
  ),
}


def measure(config: StructuredConfig, workdir: Path) -> Mapping[str, Values]:
  """For each log whether each interval covers, what it errs by, how wide it is; see `covered`."""
  del workdir
  random = np.random.RandomState(config.seed)
  make, draw = WORLDS[config.actions]
  world = make(random)
  found: dict[str, list[np.ndarray]] = {}
  for start in range(0, config.num_logs, CHUNK_SIZE):
    size = min(CHUNK_SIZE, config.num_logs - start)
    logs = [draw(world, random, config.num_rounds) for _ in range(size)]
    table = {
      name: jax.tree.map(lambda *leaves: np.stack(leaves), *(terms[name] for terms, _ in logs))
      for name in logs[0][0]
    }
    key = jax.random.fold_in(jax.random.key(config.seed), start)
    for (name, interval), estimates in asymptotic(key, table, config.resamples).items():
      held = np.array(covers(estimates, world.truth), float)
      found.setdefault(covered(name, interval), []).append(held)
      if interval != 't':
        continue
      quiet = np.array([each[name] for _, each in logs])
      found.setdefault(f'{name}: no warning', []).append(quiet.astype(float))
      found.setdefault(misled(name), []).append((1 - held) * quiet)
      for metric, values in (
        ('error', [each.value - world.truth for each in estimates]),
        ('width', [each.high - each.low for each in estimates]),
      ):
        found.setdefault(f'{name}: {metric}', []).append(np.array(values))
  every = np.arange(config.num_logs)
  return {metric: Values(np.concatenate(parts), every) for metric, parts in found.items()}


def covered(name: str, interval: str) -> str:
  """The metric that is the share of the logs whose interval holds the value."""
  return f'{name}, {interval}: covers'


def misled(name: str) -> str:
  """The metric that is the share of the logs that do not warn and whose `t` interval misses."""
  return f'{name}: misses without a warning'


def unbiased(actions: str) -> tuple[str, ...]:
  """Estimators whose assumption holds in a world of `WORLDS`, so that their intervals should."""
  if actions.startswith('lists, '):
    users = actions.removeprefix('lists, ')
    return tuple(name for name in NAMES if users in lists.UNBIASED[lists.kind_of(name)])
  if actions.startswith('doses'):
    return ('ipw', 'snipw', 'dr', 'sndr')
  if actions == 'categories':
    return ('ipw', 'dr', 'mips', 'offcem')
  return ('ipw', 'dr')
