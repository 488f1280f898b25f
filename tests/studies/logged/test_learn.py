"""Policies learnt from a log by each objective, against what they truly earn."""

import dataclasses
import functools
import itertools
import json
import re

import jax
import numpy as np
import pytest
from scipy import special

from rec_jax.data import logged, obp
from rec_jax.data.logged_feedback import subset
from rec_jax.studies.logged import (
  learn,
  log_checks,
  objectives,
  policy_checkpoint,
  policy_value,
  propensities,
  sampling,
  valuation,
)
from rec_jax.studies.logged.objectives import OBJECTIVES, LearningConfig
from rec_jax.types import InputError

NUM_ROUNDS, NUM_ACTIONS = 2000, 4
ITEMS = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0], [0.3, 0.8]])


def world(seed=0, action_context=None):
  """(log, expected rewards [n, K]) of a policy that prefers the wrong items."""
  rng = np.random.default_rng(seed)
  context = rng.normal(size=(NUM_ROUNDS, 2))
  expected = special.expit(3 * context @ ITEMS.T - 1)
  behaviour = special.softmax(-context @ ITEMS.T / 2, axis=1)
  action = (rng.random(NUM_ROUNDS)[:, None] > np.cumsum(behaviour, axis=1)).sum(1)
  rows = np.arange(NUM_ROUNDS)
  log = obp.from_dictionary(
    {
      'n_actions': NUM_ACTIONS,
      'action': action,
      'reward': (rng.random(NUM_ROUNDS) < expected[rows, action]).astype(float),
      'pscore': behaviour[rows, action],
      'context': 4 + context,
      'action_context': action_context,
    }
  )
  return log, expected


def probabilities(frozen, log):
  query, features = policy_checkpoint.seen_by(frozen, log)
  return special.softmax(query @ features.T, axis=1)


@functools.cache
def learnt(objective):
  return second_half(objective, world()[0])


def second_half(objective, log):
  """Probabilities [n, K] on the second half of what the first half teaches."""
  frozen = learn.learn(log, LearningConfig(objective), NUM_ROUNDS // 2, 0)
  return probabilities(frozen, log)[NUM_ROUNDS // 2 :]


@pytest.mark.parametrize('objective', [name for name in OBJECTIVES if name != 'top_k'])
def test_what_is_learnt_earns_more_on_rounds_that_did_not_teach_it(objective):
  expected = world()[1][NUM_ROUNDS // 2 :]
  value = (learnt(objective) * expected).sum(1).mean()
  best, uniform = expected.max(1).mean(), expected.mean()
  assert value > uniform + 0.7 * (best - uniform)


def test_top_k_is_better_for_slates_and_worse_for_single_items():
  expected = world()[1][NUM_ROUNDS // 2 :]
  single, slate = learnt('ipw'), learnt('top_k')
  assert (single * expected).sum(1).mean() > (slate * expected).sum(1).mean() + 0.05
  in_slate = [((1 - (1 - prob) ** 3) * expected).sum(1).mean() for prob in (single, slate)]
  assert in_slate[1] > in_slate[0] + 0.1


def test_what_is_learnt_from_rewards_upside_down_earns_less():
  log, expected = world()
  wrong = dataclasses.replace(log, reward=1 - log.reward)
  value = (second_half('ipw', wrong) * expected[NUM_ROUNDS // 2 :]).sum(1).mean()
  assert value < 0.7 * expected.mean()


@pytest.mark.parametrize('objective', ['ipw', 'natural', 'poem', 'banditnet', 'baseline'])
@pytest.mark.parametrize('reward', [0.7, pytest.param(0.0, marks=pytest.mark.soak)])
def test_rewards_that_are_all_the_same_teach_nothing(objective, reward):
  log, _ = world()
  same = subset(dataclasses.replace(log, reward=np.full(NUM_ROUNDS, reward)), slice(60))
  frozen = learn.learn(same, LearningConfig(objective, num_steps=20), 30, 0)
  # A baseline is of a model, which leaves more than rounding.
  tolerance = 0.02 if objective == 'baseline' else 1e-6
  np.testing.assert_allclose(probabilities(frozen, same), 1 / NUM_ACTIONS, atol=tolerance)


def test_ranked_lists_teach_no_policy(tmp_path):
  log, _ = world()
  twice = np.repeat(np.arange(NUM_ROUNDS // 2), 2)
  lists = dataclasses.replace(log, round=twice, position=np.tile([0, 1], NUM_ROUNDS // 2))
  logged.write(tmp_path / 'log.parquet', lists)
  with pytest.raises(InputError, match='--log: no policy learns from those: row 1 .* ranked lists'):
    learn.run(tmp_path / 'log.parquet', LearningConfig('ipw'), 0.5, 0, tmp_path / 'out')
  message = '--propensities: estimated ones are not for those: row 1 .* ranked lists'
  with pytest.raises(InputError, match=message):
    propensities.load(tmp_path / 'log.parquet', propensities.ESTIMATED, 0)


def test_features_of_the_items_are_the_towers():
  log, expected = world(action_context=ITEMS)
  value = (second_half('ipw', log) * expected[NUM_ROUNDS // 2 :]).sum(1).mean()
  assert value > expected.mean() + 0.7 * (expected.max(1).mean() - expected.mean())


def test_pessimism_leaves_alone_what_was_never_tried():
  log, _ = world()
  five = dataclasses.replace(
    log, item_ids=np.arange(NUM_ACTIONS + 1).astype(str), num_candidates=log.num_candidates + 1
  )
  wide = LearningConfig('pessimistic', penalty=2.0)
  never = probabilities(learn.learn(five, wide, NUM_ROUNDS, 0), five)[:, -1]
  assert never.max() < 0.2
  assert never.mean() < 0.02


def test_the_checkpoint_is_valued_on_the_rounds_that_did_not_teach_it(tmp_path, capsys):
  log, expected = world()
  path, out = tmp_path / 'log.parquet', tmp_path / 'out'
  logged.write(path, log)
  learn.run(path, LearningConfig('ipw'), 0.5, 0, out)
  output = capsys.readouterr().out
  assert '1,000 of the 2,000 rounds of the log taught it and are left out' in output
  assert 'the policy is better than the one that logged' in output
  assert (out / 'policy_value.svg').exists()
  truth = (learnt('ipw') * expected[NUM_ROUNDS // 2 :]).sum(1).mean()
  low, high = map(float, re.search(r'\nsnipw .*?\[([\d.]+), ([\d.]+)\]', output).groups())
  assert low < truth < high < low + 0.2
  frozen = policy_checkpoint.load(out / 'policy')
  action_dist = policy_checkpoint.distributions(jax.random.key(0), frozen, log)
  rest = np.arange(NUM_ROUNDS // 2, NUM_ROUNDS)
  np.testing.assert_allclose(action_dist(rest)[:, :, 0], learnt('ipw'), atol=1e-5)


def test_a_policy_that_fits_noise_is_not_judged_by_it_when_a_row_is_dropped(tmp_path, capsys):
  """Rewards of chance .3 whatever is chosen; 200 rounds and 60 columns are learnt by heart."""
  rng = np.random.default_rng(0)
  log = obp.from_dictionary(
    {
      'n_actions': NUM_ACTIONS,
      'action': rng.integers(NUM_ACTIONS, size=400),
      'reward': (rng.random(400) < 0.3).astype(float),
      'pscore': np.full(400, 1 / NUM_ACTIONS),
      'context': rng.normal(size=(400, 60)),
    }
  )
  frozen = learn.learn(log, LearningConfig('ipw'), 200, 0)
  policy_checkpoint.save(tmp_path / 'policy', frozen)
  kept = subset(log, np.arange(400) != 7)
  logged.write(tmp_path / 'log.parquet', dataclasses.replace(kept, round=np.arange(399)))
  valuation.run(
    tmp_path / 'log.parquet',
    str(tmp_path / 'policy'),
    0.5,
    0,
    tmp_path / 'value.svg',
    tmp_path / 'rows.json',
  )
  assert '199 of the 399 rounds of the log taught it and are left out' in capsys.readouterr().out
  found = {row['metric']: row for row in json.loads((tmp_path / 'rows.json').read_text())}
  assert found['snipw']['n'] == 200
  assert found['snipw']['low'] < 0.3 < found['snipw']['high']
  # By what taught it it would be worth far more.
  weight = probabilities(frozen, log)[np.arange(200), log.action[:200]]
  assert weight @ log.reward[:200] / weight.sum() > 0.5
  with pytest.raises(InputError, match='200 of 200 rounds of the log taught the policy'):
    policy_checkpoint.without_lessons(subset(log, slice(200)), [frozen])


@pytest.mark.parametrize('objective', ['ipw', 'pessimistic'])
def test_a_sample_of_the_candidates_teaches_as_well_as_all(monkeypatch, objective):
  monkeypatch.setattr(sampling, 'NUM_DRAWN', 3)
  log, expected = world()
  expected = expected[NUM_ROUNDS // 2 :]
  value, of_all = (
    (policy * expected).sum(1).mean() for policy in (second_half(objective, log), learnt(objective))
  )
  assert value > expected.mean() + 0.9 * (of_all - expected.mean())


def large(num_items, num_rounds=60):
  rng = np.random.default_rng(0)
  return obp.from_dictionary(
    {
      'n_actions': num_items,
      'action': rng.integers(num_items, size=num_rounds),
      'reward': rng.random(num_rounds),
      'pscore': np.full(num_rounds, 1 / num_items),
      'context': rng.normal(size=(num_rounds, 2)),
    }
  )


@pytest.mark.parametrize('num_items', [1, 3_000])
def test_what_is_learnt_of_an_item_does_not_grow_with_their_number(num_items):
  """A row of two columns and an intercept each, and no matrix of items by items."""
  log = large(num_items)
  frozen = learn.learn(log, LearningConfig('dr', num_steps=2), 30, 0)
  assert frozen.features.matrix.shape == (num_items, 3)
  action_dist = policy_checkpoint.distributions(jax.random.key(0), frozen, log)
  found = action_dist(np.array([7, 40]))
  assert found.shape == (2, num_items, 1)
  np.testing.assert_allclose(found[:, :, 0], probabilities(frozen, log)[[7, 40]], atol=1e-6)


def test_items_that_do_not_fit_into_memory_are_said_before_anything_is_learnt(monkeypatch):
  sizes = {'SC_PAGE_SIZE': 1, 'SC_PHYS_PAGES': 1_000}
  monkeypatch.setattr(log_checks.os, 'sysconf', sizes.get)
  with pytest.raises(InputError, match='300 items with 2 columns of context, learnt by ipw, take'):
    learn.learn(large(300), LearningConfig('ipw'), 30, 0)


def test_a_baseline_takes_off_what_the_context_alone_pays():
  log, _ = world()
  paid = dataclasses.replace(log, reward=log.reward + 3 * log.context[:, 0])
  before, after = (second_half('baseline', each) for each in (log, paid))
  assert np.abs(after - before).mean() < 0.02
  assert np.abs(second_half('ipw', paid) - learnt('ipw')).mean() > 0.05
  blind = dataclasses.replace(log, context=None)
  with pytest.raises(InputError, match='baseline reads a context, and the log has none; take ipw'):
    learn.learn(blind, LearningConfig('baseline'), 10, 0)


def test_banditnet_takes_the_translation_by_which_rounds_left_out_are_paid_most(monkeypatch):
  log, expected = world()
  values = {}
  for translations in ((-20.0,), (-20.0, 0.0)):
    monkeypatch.setattr(objectives, 'TRANSLATIONS', translations)
    policy = second_half('banditnet', log)
    values[translations] = (policy * expected[NUM_ROUNDS // 2 :]).sum(1).mean()
  # With no translation it is ipw; with rewards of ten more it learns what was logged.
  np.testing.assert_allclose(policy, learnt('ipw'), atol=1e-5)
  assert values[(-20.0,)] < values[(-20.0, 0.0)] - 0.1


def test_mrdr_is_dr_by_a_model_for_the_policy_of_dr(monkeypatch):
  log, _ = world()
  assert np.abs(second_half('mrdr', log) - learnt('dr')).mean() > 1e-3
  seen = {}

  def alike(weight, pscore):
    seen['weight'] = weight
    return np.ones_like(weight)

  monkeypatch.setattr(learn, 'robust_weight', alike)
  np.testing.assert_allclose(second_half('mrdr', log), learnt('dr'), atol=1e-4)
  first, rows = subset(log, slice(NUM_ROUNDS // 2)), np.arange(NUM_ROUNDS // 2)
  chance = probabilities(learn.learn(log, LearningConfig('dr'), NUM_ROUNDS // 2, 0), first)
  expected = np.minimum(chance[rows, first.action] / first.propensity, 100)
  np.testing.assert_allclose(seen['weight'], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
  ('objective', 'shift'),
  [
    ('ipw', -5.0),
    *(
      pytest.param(*case, marks=pytest.mark.soak)
      for case in itertools.product(('ipw', 'natural', 'poem'), (-5.0, 5.0))
      if case != ('ipw', -5.0)
    ),
  ],
)
def test_the_origin_of_the_rewards_changes_nothing(objective, shift):
  log, _ = world()
  shifted = second_half(objective, dataclasses.replace(log, reward=log.reward + shift))
  np.testing.assert_allclose(shifted, learnt(objective), atol=0.02)


@pytest.mark.parametrize('objective', ['ipw', 'natural', 'poem', 'banditnet', 'top_k'])
def test_rewards_are_learnt_from_their_mean_on_but_those_of_slates(objective, monkeypatch):
  log, taught = world()[0], []

  def fit(key, loss, params, rows, *arguments, **options):
    taught.append(np.asarray(rows.reward))
    return params

  monkeypatch.setattr(learn, 'fit', fit)
  monkeypatch.setattr(learn, '_best_translation', lambda *arguments: 0.0)
  for shift in (0.0, -5.0):
    learn.learn(
      dataclasses.replace(log, reward=log.reward + shift), LearningConfig(objective), 200, 0
    )
  reward = log.reward[:200]
  for shift, found in zip((0.0, -5.0), taught, strict=True):
    expected = reward + shift if objective == 'top_k' else reward - reward.mean()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_more_positions_than_items_are_refused():
  log = dataclasses.replace(world()[0], position=np.arange(NUM_ROUNDS) % (NUM_ACTIONS + 1))
  with pytest.raises(InputError, match='position, row 4: 4, and there are 4 items to choose from'):
    learn.learn(log, LearningConfig('ipw'), 200, 0)


def test_what_cannot_be_valued_leaves_nothing(tmp_path, monkeypatch):
  path, out = tmp_path / 'log.parquet', tmp_path / 'out'
  logged.write(path, world()[0])

  def fail(*arguments):
    raise InputError('no overlap')

  monkeypatch.setattr(policy_value, 'evaluate_distribution', fail)
  with pytest.raises(InputError, match='no overlap'):
    learn.run(path, LearningConfig('pessimistic'), 0.5, 0, out)
  assert not out.exists()


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (LearningConfig('best'), '--objective: best is not one of ipw, baseline'),
    (LearningConfig('ipw', max_weight=0.0), 'max_weight = 0 is outside'),
    (LearningConfig('poem', penalty=-1.0), 'penalty = -1 is outside'),
    (LearningConfig('top_k', slate_size=0), 'slate_size = 0 is outside'),
    (LearningConfig('ipw', num_steps=0), 'num_steps = 0 is outside'),
  ],
)
def test_settings_are_checked(settings, message):
  with pytest.raises(InputError, match=message):
    learn.learn(world()[0], settings, 10, 0)


@pytest.mark.parametrize('share', [1e-4, 0.9999])
def test_what_cannot_be_valued_is_not_written(tmp_path, share):
  path, out = tmp_path / 'log.parquet', tmp_path / 'out'
  logged.write(path, world()[0])
  with pytest.raises(InputError, match='of 2000 rounds a part has 0: .* another --train_share'):
    learn.run(path, LearningConfig('ipw'), share, 0, out)
  assert not out.exists()


@pytest.mark.parametrize('below', ['', 'sub', 'sub/sub'])
def test_where_nothing_can_be_written_is_said_before_the_log_is_read(tmp_path, below):
  out = tmp_path / 'out'
  out.write_text('')
  with pytest.raises(InputError, match=f'--out: {out} is no directory to write to'):
    learn.run('absent', LearningConfig('ipw'), 0.5, 0, out / below)
