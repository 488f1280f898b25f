"""A sweep: its numbers are those of plain rollouts, with one compilation a policy."""

import dataclasses
import json
import re

import jax
import numpy as np
import polars as pl
import pytest

from rec_jax import bandits
from rec_jax.environments import rollout
from rec_jax.studies.sweep import delays, file_worlds, rollouts, sweep, worlds
from rec_jax.studies.sweep.config import (
  AdversarialConfig,
  CascadeConfig,
  ClassificationConfig,
  FixedLinearConfig,
  FixedLogisticConfig,
  KArmedConfig,
  LinearConfig,
  MatrixConfig,
  PiecewiseConfig,
  PositionBasedConfig,
  ReplayConfig,
  WheelConfig,
)
from rec_jax.types import InputError
from tests.data.test_open_bandit import folder
from tests.helpers import world_files

CONFIG = LinearConfig(
  policies='lin_ucb', grid='lin_ucb.alpha=0.1|2', num_seeds=23, num_rounds=30, num_points=4, dim=3
)
SOAK = pytest.mark.soak
PROTOCOL = '23 seeds, each with a truth of its own'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """Those that worlds read."""
  return world_files.write(tmp_path_factory.mktemp('files'))


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
  keys = jax.random.split(jax.random.key(CONFIG.seed), CONFIG.num_seeds)[seed : seed + 1]
  policy = bandits.make('lin_ucb', alpha=2.0)
  metrics = rollout.rollout(keys, policy, world.environment, world.data, world.spec, 30).metrics
  expected = np.cumsum(metrics.best_expected_reward - metrics.expected_reward)
  rows = frame.filter((pl.col('setting') == 'lin_ucb, alpha=2') & (pl.col('seed') == seed))
  assert rows['round'].to_list() == [7, 15, 22, 30]
  last = rows['round'].to_numpy()
  np.testing.assert_allclose(rows['regret'], expected[last - 1], rtol=1e-4)
  reward = np.cumsum(metrics.expected_reward)[last - 1]
  np.testing.assert_allclose(rows['expected_reward'], reward, rtol=1e-4)


def test_metrics_are_means_with_paired_differences(swept):
  frame = pl.read_parquet(swept[0] / 'regret/*.parquet').filter(pl.col('round') == 30)
  of = {setting: rows['regret'].to_numpy() for (setting,), rows in frame.group_by('setting')}
  rows = json.loads((swept[0] / 'metrics.json').read_text())
  found = {(row['subject'], row['metric']): row for row in rows}
  assert len(found) == 3 + 2 + 3
  difference = of['lin_ucb, alpha=2'] - of['uniform']
  row = found['lin_ucb, alpha=2, minus uniform', 'regret']
  assert row['value'] == pytest.approx(difference.mean())
  half = 2.0739 * difference.std(ddof=1) / np.sqrt(23)
  assert row['high'] - row['value'] == pytest.approx(half, rel=1e-3)
  assert (row['n'], PROTOCOL in row['protocol']) == (23, True)
  assert found['uniform', 'regret']['value'] == pytest.approx(of['uniform'].mean())


def test_a_second_call_computes_nothing_and_says_the_same(swept, monkeypatch, capsys):
  before = (swept[0] / 'metrics.json').read_text()
  monkeypatch.delattr(rollouts, 'rollout')
  sweep.run(CONFIG, swept[0])
  assert (swept[0] / 'metrics.json').read_text() == before
  table = capsys.readouterr().out
  # The best first, with the difference beside it.
  assert re.search(r'regret +lin_ucb, alpha=\S+ .*\n', table)
  assert 'minus uniform' in table
  assert PROTOCOL in table
  for name in ('regret.svg', 'regret_others.svg'):
    assert (swept[0] / name).read_text().startswith('<svg')
  page = (swept[0] / 'report' / 'index.html').read_text()
  assert 'cumulative regret, without uniform' in page


@pytest.mark.soak
def test_outcomes_that_never_arrive_teach_nothing(swept, tmp_path):
  late = dataclasses.replace(CONFIG, grid='lin_ucb.alpha=0.1', delay=1e9)
  sweep.run(late, tmp_path)
  known, unknown = (
    {
      setting: rows['regret'].to_numpy()
      for (setting,), rows in pl.read_parquet(path / 'regret/*.parquet').group_by('setting')
    }
    for path in (swept[0], tmp_path)
  )
  np.testing.assert_array_equal(known['uniform'], unknown['uniform'])
  assert unknown['lin_ucb, alpha=0.1'].mean() > 1.2 * known['lin_ucb, alpha=0.1'].mean()
  protocol = json.loads((tmp_path / 'metrics.json').read_text())[0]['protocol']
  assert 'geometric delay with mean 1e+09 rounds, cut at 30' in protocol


@pytest.mark.parametrize(('refresh_every', 'idle'), [(29, False), (30, True), (0, True)])
def test_networks_that_are_never_refreshed_are_named(caplog, refresh_every, idle):
  config = dataclasses.replace(CONFIG, refresh_every=refresh_every)
  policies = ('uniform', 'per_user_lin_ts', 'neural_linear_ts', 'lin_ucb')
  sweep._warn_of_idle(config, {policy: [{}] for policy in policies}, worlds.build(config))
  assert [record.args[0] for record in caplog.records] == ['neural_linear_ts'] * idle


@pytest.mark.parametrize(
  ('kind', 'delay', 'words'),
  [
    ('geometric', 0.0, ''),
    ('geometric', 2.0, 'a geometric delay with mean 2 rounds, cut at 17'),
    ('fixed', 30.0, 'a fixed delay of 30 rounds'),
    ('fixed', 31.0, 'a fixed delay of 31 rounds, cut at 30'),
    ('uniform', 1.5, 'a uniform delay with mean 1.5 rounds'),
    ('uniform', 16.0, 'a uniform delay with mean 16 rounds, cut at 30'),
  ],
)
def test_the_protocol_says_of_a_delay_what_is_so(kind, delay, words):
  config = dataclasses.replace(CONFIG, delay=delay, delay_distribution=kind)
  assert delays.description(config) == (words and f', known after {words}')


def protocol_of(config, workdir):
  sweep.run(config, workdir)
  return json.loads((workdir / 'metrics.json').read_text())[0]['protocol']


def test_what_a_policy_could_not_learn_from_is_told(tmp_path, caplog):
  config = dataclasses.replace(CONFIG, policies='popularity_greedy', grid='', num_seeds=2)
  protocol = protocol_of(config, tmp_path)
  told = re.findall(r'(\w+) could not learn from (\d+) rows of feedback a seed', protocol)
  # About a sixth of normal rewards of mean 0 and variance 2 and more lie in [0, 1].
  assert [name for name, _ in told] == ['popularity_greedy']
  assert 15 < int(told[0][1]) < 30
  assert 'popularity_greedy could not learn from' in caplog.text
  # A sweep that is done says the same.
  assert protocol_of(config, tmp_path) == protocol


@pytest.mark.parametrize(
  ('config', 'words'),
  [
    (KArmedConfig(), 'each with a truth of its own'),
    (KArmedConfig(means='0.9,0.8'), 'which share the truth of the world'),
    *(
      pytest.param(config(num_arms=3, dim=2), 'each with a truth of its own', marks=SOAK)
      for config in (FixedLinearConfig, FixedLogisticConfig)
    ),
    pytest.param(CascadeConfig(), 'each with a truth of its own', marks=SOAK),
    (AdversarialConfig(), 'the best fixed arm in hindsight'),
  ],
)
def test_the_protocol_says_whose_truth_it_is(config, words, tmp_path):
  small = dataclasses.replace(config, policies='uniform', num_seeds=2, num_rounds=3)
  assert words in protocol_of(small, tmp_path)


def test_a_replay_reports_the_reward_of_matched_rounds(files, tmp_path, capsys):
  config = ReplayConfig(
    policies='uniform',
    log=files['log'],
    num_rounds=60,
    num_points=3,
    num_seeds=4,
  )
  sweep.run(config, tmp_path)
  world = worlds.build(config)
  keys = jax.random.split(jax.random.key(config.seed), 4)
  policy = bandits.make('uniform')
  metrics = rollout.rollout(keys, policy, world.environment, world.data, world.spec, 60).metrics
  matched = metrics.arm_id >= 0
  (value, count) = json.loads((tmp_path / 'metrics.json').read_text())
  assert (value['metric'], count['metric']) == ('reward per matched round', 'matched rounds')
  assert value['value'] == pytest.approx(metrics.reward.sum() / matched.sum())
  assert (value['n'], count['value']) == (3, pytest.approx(matched.sum() / 4))
  assert value['low'] < value['value'] < value['high']
  assert 'matched rounds' in capsys.readouterr().out
  assert (tmp_path / 'regret.svg').read_text().startswith('<svg')


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    (LinearConfig(environment='wheel'), "environment is 'wheel' in the config of 'linear': leave"),
    (ClassificationConfig(table='iris'), "unknown table 'iris'; known: digits, "),
    (PiecewiseConfig(num_changes=9, num_rounds=9), 'num_changes is 9; .*=9'),
    (KArmedConfig(means='1,nan', noise=1.0), "means is '1,nan'; give finite numbers with commas"),
    (LinearConfig(num_seeds=0), 'num_seeds is 0; set --config.num_seeds to 1 or more'),
    (LinearConfig(memory_bound=0.0), 'memory_bound is 0.0'),
    (
      LinearConfig(delay=1e17),
      r'delay is 1e\+17; set --config.delay to 0 or more and at most 1073741823',
    ),
    (
      LinearConfig(delay=2.0, delay_distribution='normal'),
      "'normal'; known: geometric, fixed, uniform",
    ),
    (
      LinearConfig(delay=2.5, delay_distribution='fixed'),
      'delay is 2.5, .* fixed delay 2.5 rounds; set',
    ),
    (
      LinearConfig(delay=0.7, delay_distribution='uniform'),
      'delay 1.4 rounds; .* the longest is a whole',
    ),
    (LinearConfig(grid='lin_ucb.alfa=1'), 'known: '),
    (AdversarialConfig(table='cruel'), "unknown table 'cruel'; known: lower_bound, switching, "),
    (CascadeConfig(slate_size=11), 'slate_size is 11; .* at most num_arms=10'),
    (CascadeConfig(max_attraction=0.0), 'max_attraction is 0.0'),
    (PositionBasedConfig(examination='1,high'), "examination is '1,high': could not convert"),
    (PositionBasedConfig(examination='0.5,1'), "examination is '0.5,1'; .* the highest first"),
    (PositionBasedConfig(examination='1,0'), "examination is '1,0'; .* above 0"),
    (PositionBasedConfig(num_arms=2), 'more positions than items; set --config.num_arms to 3'),
    (MatrixConfig(), 'no reward matrix given; set --config.rewards=FILE.npz'),
    (ReplayConfig(log='girls.parquet'), 'girls.parquet: no such file'),
    (
      WheelConfig(policies='two_tower_greedy'),
      "'two_tower_greedy' does not fit .*query_dim is 2, arm_dim is 15",
    ),
  ],
)
def test_bad_input_writes_nothing(tmp_path, config, message):
  with pytest.raises(InputError, match=message):
    sweep.run(config, tmp_path / 'run')
  assert not list(tmp_path.iterdir())


def test_a_campaign_is_the_random_log_of_the_open_bandit_sample(tmp_path, monkeypatch):
  raw, frame = folder(tmp_path, 'random', propensity_score=np.full(25, 1 / 4))
  monkeypatch.setattr(file_worlds, 'open_bandit_folder', lambda: raw)
  config = ReplayConfig(log='men', num_rounds=25)
  frame = frame.sort('timestamp', maintain_order=True)
  np.testing.assert_array_equal(worlds.build(config).data.action, frame['item_id'])
  with pytest.raises(InputError, match='num_rounds is 26 and the log has 25 rounds; set .* 25 or'):
    worlds.build(dataclasses.replace(config, num_rounds=26))


def test_blocks_have_one_shape_and_fit_the_memory():
  for runs_, bound in ((1, 2e9), (23, 2e9), (1000, 2e9), (1000, 64 * 30 * 7)):
    config = LinearConfig(num_rounds=30, memory_bound=bound)
    blocks = list(rollouts._blocks(runs_, config))
    assert len({rows.shape for rows, _ in blocks}) == 1
    assert len(blocks[0][0]) <= max(1, bound / (64 * 30))
    new = np.concatenate([rows[:num_new] for rows, num_new in blocks])
    np.testing.assert_array_equal(new, np.arange(runs_))
