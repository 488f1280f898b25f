"""Stage `explore`: bandit policies on the feedback after the cut, in two environments.

Reads `prepare`, `finetune` and `distil`. Hyperparameters are tuned on an earlier stream, cut out
of the events before the cut. Each rollout is kept in `parts/` as soon as it is done, so that a
killed run resumes. Writes `summary.json` (for the report), `per_unit.parquet` (what each user
earned under each policy), `log.parquet` and `metrics.json`.

With `vectors` it reads that file and no other stage: one environment, nothing tuned, no log; it
ends with `report/index.html`, which the stage `evaluate` writes otherwise.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_jax import files
from rec_jax.data import splits
from rec_jax.evaluation import intervals
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.runs.parts import Parts
from rec_jax.stages.explore import (
  chain,
  exploration_log,
  off_policy_check,
  payoff,
  policies,
  rollout_metrics,
  vectors,
  vectors_page,
  worlds,
)
from rec_jax.stages.explore.chain import Chain
from rec_jax.stages.explore.policies import Hyperparameters
from rec_jax.stages.explore.policy_comparison import compare, describe
from rec_jax.training.tracking import progress
from rec_jax.types import InputError

_TUNING = (
  'events before the cut, cut again at the same share: among the settings within one standard '
  'error of the best reward, the one that gives most items ten exposures; the models have seen '
  'these events, which favours trust in their features'
)
_COLD_START = (
  'whole catalogue with nothing learnt before the cut: every item starts from Beta(1, 9), features '
  'are zero-shot text vectors of the published encoder; settings as tuned for the main comparison'
)
_METRICS = (
  *('reward', 'regret', 'cold_share', 'distinct_items', 'items_10_exposures', 'difference'),
  *('reward_new_users', 'cold_share_new_users', 'distinct_items_new_users'),
)
# Of the progress bar: rollouts of one environment; then tuning, two teachers, the other studies.
_COMPARED = 11
_NUM_PARTS = 2 * (1 + _COMPARED + 2) + 2 + len(policies.COLD_START) + len(payoff.ENTRIES) + 2


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/explore`, unless it is finished; on vectors alone, a report beside it."""
  if config.vectors:
    arrays = vectors.read(config.vectors)
  else:
    runs.require(workdir, 'distil')
    check_visitors(config, workdir)
  stage_dir = runs.start(config, workdir, 'explore')
  if config.vectors:
    runs.claim_file(workdir, config.vectors)
  if stage_dir is not None:
    with progress('explore', _COMPARED if config.vectors else _NUM_PARTS) as advance:
      parts = Parts(stage_dir / 'parts', advance)
      if config.vectors:
        summary = _explore_vectors(config, arrays, parts)
      else:
        summary = _explore_chain(config, chain.load(config, workdir), stage_dir, parts)
    _write_per_unit(summary['environments'], stage_dir / 'per_unit.parquet')
    files.write_json(stage_dir / 'summary.json', summary)
    runs.finish(stage_dir, _rows(summary))
  if config.vectors:
    vectors_page.write(workdir, is_drawn='rewards' not in arrays)


def check_visitors(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Looks whether the finished stage `prepare` left enough events to explore on, and to tune on.

  Raises:
    InputError: nobody has enough, with the field to lower, or everything is a repeat.
  """
  dataset = artefacts.load_dataset(workdir)
  first, num_before = splits.first_meetings(dataset.interactions, dataset.split.num_before)
  user, again = first.user, int(config.data.cut * num_before)
  streams = {
    'after the cut': user[num_before:],
    'between a cut of the events before the cut and the cut, where policies are tuned': user[
      again:num_before
    ],
  }
  for where, stream in streams.items():
    if not len(stream):
      raise InputError(
        f'nothing to explore {where}: every event there is of an item that its user had before; '
        'give more events or another --config.data.cut, or run pretrain, finetune and distil alone '
        'and evaluate --checkpoint=WORKDIR/distil'
      )
    most = np.bincount(stream).max()
    for field in ('min_events_catalogue', 'min_events_rated'):
      wanted = getattr(config.explore, field)
      if most < wanted:
        raise InputError(
          f'no user has {wanted} events {where} (the most is {most}): '
          f'set --config.explore.{field} to {most} or less, or give more events'
        )


def _explore_vectors(config: Config, arrays: dict[str, np.ndarray], parts: Parts) -> dict[str, Any]:
  """The study on the user's own vectors."""
  encoded = worlds.from_vectors(arrays, config.explore.min_events_catalogue, config.seed)
  world = chain.with_features(encoded, np.asarray(encoded.data.features), config)
  return {'environments': [compare(config, world, {}, parts, encoded, {})]}


def _explore_chain(config: Config, models: Chain, stage_dir: Path, parts: Parts) -> dict[str, Any]:
  """The study on the models of the chain."""
  names = (worlds.CATALOGUE, worlds.RATED)
  tune = {name: functools.partial(_tune, config, models, name) for name in names}
  tunings = parts.group('tuning', tune)
  environments, chosen = [], {}
  for name, tuned in tunings.items():
    chosen[name] = {label: setting for label, (setting, _) in tuned.items()}
    world = models.world(name)
    environments.append(
      compare(
        config,
        world,
        chosen[name],
        parts,
        models.encoded(world),
        dict.fromkeys(_best_two(tuned), models.with_teacher(world)),
      )
    )
  catalogue = models.world(worlds.CATALOGUE)
  settings = chosen[worlds.CATALOGUE]
  summary = {
    'environments': environments,
    'tuning': {'protocol': _TUNING, 'chosen': chosen},
    'cold_start': _cold_start(config, models, settings, parts),
    'payoff': payoff.compare(config, catalogue, settings, parts),
  }
  rated = models.world(worlds.RATED)
  path, settings = stage_dir / 'log.parquet', chosen[worlds.RATED]
  log = functools.partial(exploration_log.write, path, config, rated, settings, models.dataset)
  summary['log'] = parts.once('log', log)
  value = functools.partial(off_policy_check.compare, config, rated, settings, path)
  return summary | {'off_policy': parts.once('off policy', value)}


def _tune(config: Config, models: Chain, name: str) -> dict[str, tuple[Hyperparameters, float]]:
  """The chosen settings, and their reward, of each policy that has any."""
  world, settings = models.tuning_world(name), config.explore
  return {
    entry.label: policies.tune(
      entry, world, settings.tuning_seeds, config.seed, settings.memory_bound
    )
    for entry in policies.comparison(world)
    if entry.grid
  }


def _best_two(tuned: dict[str, tuple[Hyperparameters, float]]) -> list[str]:
  """The labels with the highest reward in tuning among those that read features."""
  linear = [label for label, (setting, _) in tuned.items() if 'lambda_' in setting]
  return sorted(linear, key=lambda label: -tuned[label][1])[:2]


def _cold_start(
  config: Config, models: Chain, chosen: dict[str, Hyperparameters], parts: Parts
) -> dict[str, Any]:
  world = models.cold_world()
  entries = (policies.UNIFORM, policies.baseline(world), *policies.COLD_START)
  works = {
    entry.label: functools.partial(describe, config, world, entry, [chosen.get(entry.label, {})])
    for entry in entries
  }
  described = {label: part for label, [part] in parts.group('cold start', works).items()}
  base = described[world.baseline]
  rows = [
    {'name': label, 'difference': rollout_metrics.paired(policy, base, config.seed)}
    | {name: policy[name] for name in ('reward', 'distinct_items', 'items_10_exposures')}
    for label, policy in described.items()
  ]
  return {'protocol': _COLD_START, 'rows': rows}


def _write_per_unit(environments: list[dict[str, Any]], path: Path) -> None:
  """Moves the reward of each user, mean over seeds and visits, from the summary to a table."""
  frames = []
  for environment in environments:
    for policy in environment['policies']:
      reward = policy.pop('user_reward')
      names = {'environment': environment['name'], 'policy': policy['name']}
      frames.append(pl.DataFrame(names | {'user': range(len(reward)), 'reward': reward}))
  with files.replacing(path) as stream:
    pl.concat(frames).write_parquet(stream)


def _rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
  """The rows of metrics.json."""
  return [
    runs.estimate_row('explore', subject, metric, intervals.from_json(value), protocol)
    for subject, metric, value, protocol in _numbers(summary)
  ]


def _numbers(summary: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
  """(subject, metric, estimate, protocol) of everything in a summary."""
  for environment in summary['environments']:
    protocol = f'{environment["name"]}: {environment["protocol"]}'
    for policy in environment['policies']:
      for metric in _METRICS:
        if metric in policy:
          yield policy['name'], metric, policy[metric], protocol
    for frontier in environment['frontiers']:
      for point in frontier['points']:
        subject = f'{frontier["name"]}, {frontier["strength"]}={point["strength"]:g}'
        for metric in ('reward', 'distinct_items', 'cold_share'):
          if metric in point:
            yield subject, metric, point[metric], f'{protocol}; frontier'
  for part in ('cold_start', 'payoff'):
    for row in summary.get(part, {'rows': []})['rows']:
      for metric, value in row.items():
        if metric != 'name':
          yield row['name'], metric, value, summary[part]['protocol']
  off_policy = summary.get('off_policy', {'rows': []})
  for row in off_policy['rows']:
    for metric, value in {'truth': row['truth'], **row['estimates']}.items():
      yield row['name'], f'value, {metric}', value, off_policy['protocol']
