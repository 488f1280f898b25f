"""The contract that every environment keeps: those of sweeps, and those on a stream of visits."""

import dataclasses
import functools
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.catalogue import catalogue_data
from rec_jax.environments.clicks import CascadeData, PositionData
from rec_jax.environments.rated import rated_data
from rec_jax.environments.visits import visit_environment, visit_spec
from rec_jax.studies.sweep import worlds
from rec_jax.studies.sweep.config import SweepConfig
from rec_jax.studies.sweep.sweep_metrics import REGRET
from rec_jax.studies.sweep.world import World
from tests.bandits.problems import compiled
from tests.environments.test_visits import events
from tests.helpers import world_files

# Those that a world has, it gets.
SETTINGS = {'num_arms': 5, 'dim': 3, 'num_rounds': 12, 'num_changes': 2, 'hidden_dim': 4}
KEYS = jax.random.split(jax.random.key(0), 3)
ROUNDS = 4
# Where not all that was shown was seen.
PARTLY_SEEN = CascadeData, PositionData
VISITS = {'catalogue': catalogue_data, 'rated': rated_data}


@pytest.fixture(scope='module', params=[*worlds.WORLDS, *VISITS])
def world(request, tmp_path_factory):
  """With slates of two where the environment has slates."""
  name = request.param
  if name in VISITS:
    data = VISITS[name](*events(), min_events=4)
    built = World(visit_environment(slate_size=2), data, visit_spec(data), name)
  else:
    settings = SETTINGS | world_files.write(tmp_path_factory.mktemp('files'))
    config = importlib.import_module(f'configs.bandits.{name}').get_config()
    own = settings.keys() & dataclasses.asdict(config).keys()
    built = worlds.build(dataclasses.replace(config, **{key: settings[key] for key in own}))
  slate_size = 1 if name == 'replay' else 2
  return built._replace(spec=built.spec._replace(slate_size=slate_size))


@pytest.fixture(scope='module')
def play(world):
  """(keys [S], data) -> first state, last state, and what happened in each round, leading [S]."""
  environment, policy = world.environment, bandits.make('uniform')

  def one_seed(key, data):
    first = environment.init(key, data)

    def one_round(state, t):
      observe_key, select_key, step_key = jax.random.split(jax.random.fold_in(key, t), 3)
      context = environment.observe(observe_key, data, state, t)
      keys = jax.random.split(select_key, len(context.user_id))
      policy_state = policy.init(key, world.spec)
      decision = jax.vmap(policy.select, (0, None, 0))(keys, policy_state, context)
      state, feedback, metrics = environment.step(step_key, data, state, t, context, decision)
      return state, (context, decision, feedback, metrics)

    last, happened = jax.lax.scan(one_round, first, jnp.arange(ROUNDS))
    return first, last, happened

  return compiled(jax.vmap(one_seed, (0, None)))


def types_of(tree):
  return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def test_rounds_keep_shapes_types_and_masks(world, play):
  spec = world.spec
  first, last, (context, decision, feedback, metrics) = play(KEYS, world.data)
  assert types_of(first) == types_of(last)
  users = (len(KEYS), ROUNDS, context.user_id.shape[2])
  candidates = (*users, spec.num_candidates)
  assert types_of(context) == dataclasses.replace(
    context,
    user_id=(users, np.int32),
    query=((*users, spec.query_dim), np.float32),
    features=((*candidates, spec.arm_dim), np.float32),
    arm_ids=(candidates, np.int32),
    mask=(candidates, np.bool_),
  )
  slates = (*users, spec.slate_size)
  rows = (len(KEYS), ROUNDS, users[-1] * spec.slate_size)
  for values in (feedback.reward, feedback.weight, feedback.propensity):
    assert types_of(values) == (rows, np.float32)
  assert types_of((feedback.arm_id, feedback.user_id)) == 2 * ((rows, np.int32),)
  for values in (metrics.reward, metrics.expected_reward, metrics.best_expected_reward):
    assert types_of(values) == (slates, np.float32)
  # Nothing that may not be shown is shown, and what was shown is what is learnt from.
  index, shown = np.asarray(decision.index), np.asarray(metrics.arm_id) >= 0
  assert np.take_along_axis(np.asarray(context.mask), index, -1)[shown].all()
  assert shown.any()
  np.testing.assert_array_equal(metrics.arm_id[shown], decision.arm_id[shown])
  np.testing.assert_array_equal(metrics.reward[~shown], 0)
  taught = shown.reshape(rows)
  # XLA may compute a number twice, and once with a fused multiplication.
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  if isinstance(world.data, PARTLY_SEEN):
    assert np.all(feedback.weight <= taught) and np.all(feedback.weight >= 0)
    close(feedback.reward * feedback.weight, metrics.reward.reshape(rows))
  else:
    np.testing.assert_array_equal(feedback.weight, taught)
    close(feedback.reward, metrics.reward.reshape(rows))
  np.testing.assert_array_equal(feedback.arm_id[taught], decision.arm_id[shown])
  chosen = np.take_along_axis(np.asarray(context.features), index[..., None], -2)
  close(feedback.features[taught], chosen[shown])
  if world.measure is REGRET:
    best, expected = metrics.best_expected_reward.sum(-1), metrics.expected_reward.sum(-1)
    assert np.all(best >= expected - 1e-5)


def test_a_seed_is_the_same_beside_others_and_nothing_is_traced_twice(world, play):
  several = play(KEYS, world.data)
  jax.tree.map(np.testing.assert_array_equal, several, play(KEYS, world.data))
  traces = play._cache_size()
  new = jax.random.split(jax.random.key(1), len(KEYS))
  others = play(new.at[0].set(KEYS[2]), world.data)
  assert play._cache_size() == traces
  assert not np.array_equal(several[2][1].index[1:], others[2][1].index[1:])
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    jax.tree.map(lambda x: x[2], several),
    jax.tree.map(lambda x: x[0], others),
  )


def test_the_documentation_and_the_configs_have_every_world():
  root = Path(__file__).parents[2]
  page = (root / 'docs/bandits.md').read_text()
  documentation = page.split('\n## Environments\n')[1].split('\n## ')[0]
  rows = re.findall(r'^\| `(\w+)` \|', documentation, re.MULTILINE)
  assert sorted(rows) == sorted(worlds.WORLDS)
  stems = {path.stem for path in (root / 'configs/bandits').glob('*.py')}
  assert stems == set(worlds.WORLDS)
  for name in stems:
    config = importlib.import_module(f'configs.bandits.{name}').get_config()
    assert config.environment == name
    own = {field.name for field in dataclasses.fields(config)}
    (row,) = re.findall(rf'^\| `{name}` \|.*\|([^|]*)\|$', documentation, re.MULTILINE)
    shared = {field.name for field in dataclasses.fields(SweepConfig)}
    assert set(re.findall(r'`(\w+)`', row)) & own == own - shared
