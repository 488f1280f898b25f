"""Which rollouts a comparison is made of."""

import types

import numpy as np

from rec_jax.runs.config import Config
from rec_jax.stages.explore import policies, policy_comparison


def test_a_frontier_is_played_at_each_strength_and_else_as_it_was_chosen(monkeypatch):
  played = {}

  def describe(config, world, entry, settings, seeds=None):
    del config, world
    played.setdefault(entry.label, []).append((settings, seeds))

  monkeypatch.setattr(policy_comparison, 'describe', describe)
  world = types.SimpleNamespace(
    a0=np.ones(3),
    b0=np.ones(3),
    num_events=np.zeros(3),
    data=types.SimpleNamespace(features=np.eye(3)),
    num_rounds=10,
    baseline='greedy',
  )
  entries = [entry for entry in policies.comparison(world) if entry.frontier]
  chosen = {entry.label: policies.first(entry) | {'lambda_': 123.0} for entry in entries}
  config = Config()
  for work in policy_comparison._works(config, world, chosen, world, {}).values():
    work()
  assert len(entries) == 2
  for entry in entries:
    (alone, seeds), (line, line_seeds) = played[entry.label]
    assert alone == [chosen[entry.label]]
    assert seeds is None
    assert line_seeds == config.explore.frontier_seeds
    assert [setting[entry.strength] for setting in line] == list(entry.frontier)
    others = [{k: v for k, v in setting.items() if k != entry.strength} for setting in line]
    assert all(each == others[0] and each['lambda_'] == 123.0 for each in others)
