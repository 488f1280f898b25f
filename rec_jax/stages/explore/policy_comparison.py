"""All policies on one world: rollouts that are kept as they come, numbers, frontiers."""

import functools
from typing import Any

from rec_jax.runs.config import Config
from rec_jax.runs.parts import Parts, Work
from rec_jax.stages.explore import policies, rollout_metrics
from rec_jax.stages.explore.policies import Hyperparameters, PolicyEntry
from rec_jax.stages.explore.worlds import OWN, World


def compare(
  config: Config,
  world: World,
  chosen: dict[str, Hyperparameters],
  parts: Parts,
  encoded: World,
  with_teacher: dict[str, World],
) -> dict[str, Any]:
  """All policies on one world, each with its settings, and the two frontiers.

  Args:
    config: of the run.
    world: whose candidate features are those of the student, or of the user's own vectors.
    chosen: settings by label; the first of the grid where a label is missing.
    parts: where results are kept.
    encoded: the same world for policies that read the user tower.
    with_teacher: label -> the same world with the teacher's features.

  Returns:
    JSON-like, for the summary; each policy also with `user_reward`, a mean a user.
  """
  described = parts.group(world.name, _works(config, world, chosen, encoded, with_teacher))
  entries = policies.comparison(world)
  explored = {c.label: described[c.label][0] | {'features': _features(c, world)} for c in entries}
  for label in with_teacher:
    explored[f'{label} (teacher)'] = described[f'{label} teacher'][0] | {'features': 'teacher'}
  base = explored[world.baseline]
  return {
    'name': world.name,
    'protocol': world.protocol,
    'baseline': world.baseline,
    'rounds': world.num_rounds,
    'users': len(world.is_new),
    'seeds': config.explore.num_seeds,
    'policies': [
      {'name': label, 'difference': rollout_metrics.paired(policy, base, config.seed)} | policy
      for label, policy in explored.items()
    ],
    'frontiers': [_frontier(c, described[f'{c.label} frontier']) for c in entries if c.frontier],
  }


def describe(
  config: Config,
  world: World,
  entry: PolicyEntry,
  settings: list[Hyperparameters],
  num_seeds: int | None = None,
) -> list[dict[str, Any]]:
  """Rolls a policy out under each of the settings and describes what came of it."""
  explore = config.explore
  seeds = explore.num_seeds if num_seeds is None else num_seeds
  trajectory = policies.run(entry, world, settings, seeds, config.seed, explore.memory_bound)
  described = [
    rollout_metrics.describe(world, outcome, config.seed)
    for outcome in rollout_metrics.split(trajectory, len(settings))
  ]
  return [each | {'setting': setting} for each, setting in zip(described, settings, strict=True)]


def _works(
  config: Config,
  world: World,
  chosen: dict[str, Hyperparameters],
  encoded: World,
  with_teacher: dict[str, World],
) -> dict[str, Work]:
  """What is to be described, by the policy's label, with `frontier` or `teacher` behind it."""

  def rollouts(played: World, entry: PolicyEntry, *settings_and_seeds: Any) -> Work:
    return functools.partial(describe, config, played, entry, *settings_and_seeds)

  works, again = {}, {}
  for entry in policies.comparison(world):
    label = entry.label
    setting = chosen.get(label) or policies.first(entry)
    works[label] = rollouts(encoded if entry.needs_query else world, entry, [setting])
    if entry.frontier:
      line = [setting | {entry.strength: value} for value in entry.frontier]
      again[f'{label} frontier'] = rollouts(world, entry, line, config.explore.frontier_seeds)
    if label in with_teacher:
      again[f'{label} teacher'] = rollouts(with_teacher[label], entry, [setting])
  # Last, when their programs have been compiled.
  return works | again


def _features(entry: PolicyEntry, world: World) -> str:
  """Whose vectors the policy reads."""
  if not entry.needs_query and 'lambda_' not in entry.grid:
    return 'none'
  return 'own' if world.name == OWN else 'student'


def _frontier(entry: PolicyEntry, described: list[dict[str, Any]]) -> dict[str, Any]:
  kept = ('reward', 'distinct_items', 'cold_share')
  return {
    'name': entry.label,
    'strength': entry.strength,
    'points': [
      {'strength': strength} | {name: point[name] for name in kept if name in point}
      for strength, point in zip(entry.frontier, described, strict=True)
    ],
  }
