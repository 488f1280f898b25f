"""A sweep: its numbers are those of plain rollouts, with one compilation a policy."""

import json

import jax
import numpy as np
import polars as pl
import pytest

from rec_jax import bandits
from rec_jax.environments import rollout
from rec_jax.stages import sweep, worlds
from rec_jax.stages.config import SweepConfig
from rec_jax.types import InputError

CONFIG = SweepConfig(
  policies='lin_ucb', grid='lin_ucb.alpha=0.1|2', seeds=23, num_rounds=30, num_points=4, dim=3
)
PROTOCOL = '23 seeds, which share the truth of the world'


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('sweep')
  before = rollout._run._cache_size()
  sweep.run(CONFIG, workdir)
  return workdir, rollout._run._cache_size() - before


def test_there_is_one_compilation_a_policy(swept):
  assert swept[1] == 2


def test_regret_is_that_of_a_plain_rollout_of_one_seed(swept):
  frame = pl.read_parquet(swept[0] / 'regret/*.parquet')
  assert len(frame) == 3 * 23 * 4
  world = worlds.build(CONFIG)
  seed = 22
  keys = jax.random.split(jax.random.key(CONFIG.seed), CONFIG.seeds)[seed : seed + 1]
  policy = bandits.make('lin_ucb', alpha=2.0)
  metrics = rollout.rollout(keys, policy, world.environment, world.data, world.spec, 30).metrics
  expected = np.cumsum(metrics.best_expected_reward - metrics.expected_reward)
  rows = frame.filter((pl.col('setting') == 'lin_ucb, alpha=2') & (pl.col('seed') == seed))
  assert rows['round'].to_list() == [7, 15, 22, 30]
  np.testing.assert_allclose(rows['regret'], expected[rows['round'].to_numpy() - 1], rtol=1e-4)


def test_metrics_are_means_with_paired_differences(swept):
  frame = pl.read_parquet(swept[0] / 'regret/*.parquet').filter(pl.col('round') == 30)
  of = {setting: rows['regret'].to_numpy() for (setting,), rows in frame.group_by('setting')}
  rows = json.loads((swept[0] / 'metrics.json').read_text())
  found = {(row['subject'], row['metric']): row for row in rows}
  assert len(found) == 3 + 2
  difference = of['lin_ucb, alpha=2'] - of['uniform']
  row = found['lin_ucb, alpha=2', 'regret minus uniform']
  assert row['value'] == pytest.approx(difference.mean())
  half = 2.0739 * difference.std(ddof=1) / np.sqrt(23)
  assert row['high'] - row['value'] == pytest.approx(half, rel=1e-3)
  assert (row['n'], PROTOCOL in row['protocol']) == (23, True)
  assert found['uniform', 'regret']['value'] == pytest.approx(of['uniform'].mean())


def test_a_second_call_computes_nothing_and_says_the_same(swept, monkeypatch, capsys):
  before = (swept[0] / 'metrics.json').read_text()
  monkeypatch.delattr(sweep, 'rollout')
  sweep.run(CONFIG, swept[0])
  assert (swept[0] / 'metrics.json').read_text() == before
  table = capsys.readouterr().out
  assert 'regret after 30 rounds (n=23)' in table
  assert PROTOCOL in table
  for name in ('regret.svg', 'regret_others.svg'):
    assert (swept[0] / name).read_text().startswith('<svg')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'environment': 'liner'}, "unknown environment 'liner'; known: linear, logistic"),
    ({'environment': 'classification', 'table': 'iris'}, "unknown table 'iris'; known: digits, "),
    ({'environment': 'piecewise', 'num_changes': 9, 'num_rounds': 9}, 'num_changes is 9; .*=9'),
    ({'seeds': 0}, 'seeds is 0; set --config.seeds to 1 or more'),
    ({'memory_bound': 0.0}, 'memory_bound is 0.0'),
    ({'grid': 'lin_ucb.alfa=1'}, 'known: '),
    (
      {'environment': 'wheel', 'policies': 'two_tower_greedy'},
      "'two_tower_greedy' does not fit .*query_dim is 2, arm_dim is 15",
    ),
  ],
)
def test_bad_input_writes_nothing(tmp_path, change, message):
  with pytest.raises(InputError, match=message):
    sweep.run(SweepConfig(**change), tmp_path / 'run')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', list(worlds.WORLDS))
def test_every_world_fits_its_sizes(name):
  world = worlds.build(SweepConfig(environment=name))
  key = jax.random.key(0)
  state = world.environment.init(key, world.data)
  context = world.environment.observe(key, world.data, state, 0)
  spec = world.spec
  assert context.features.shape == (1, spec.num_candidates, spec.arm_dim)
  assert context.query.shape == (1, spec.query_dim)
  assert 'standard deviation 1' in world.description or name in ('logistic', 'classification')


def test_blocks_have_one_shape_and_fit_the_memory():
  for runs_, bound in ((1, 2e9), (23, 2e9), (1000, 2e9), (1000, 64 * 30 * 7)):
    config = SweepConfig(num_rounds=30, memory_bound=bound)
    blocks = list(sweep._blocks(runs_, config))
    assert len({rows.shape for rows, _ in blocks}) == 1
    assert len(blocks[0][0]) <= max(1, bound / (64 * 30))
    new = np.concatenate([rows[:num_new] for rows, num_new in blocks])
    np.testing.assert_array_equal(new, np.arange(runs_))
