"""Decisions from outside of jit: the same as under jit, and each bad input is named."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits import host
from rec_jax.types import InputError
from tests.bandits import problems

SPEC = problems.SPEC._replace(slate_size=2)
KEY = jax.random.key(3)
POLICY = bandits.make('popularity_lin_ts')
STATE = POLICY.init(KEY, SPEC)
CONTEXT = problems.context(0, SPEC)


def outcome(**changes):
  decision = host.select(KEY, POLICY, SPEC, STATE, CONTEXT)
  return dataclasses.replace(problems.outcome(CONTEXT, decision, 1.0), **changes)


def test_a_checked_decision_and_update_are_those_of_the_policy():
  decision = host.select(KEY, POLICY, SPEC, STATE, jax.tree.map(np.asarray, CONTEXT))
  assert problems.same_bits(decision.index, POLICY.select(KEY, STATE, CONTEXT).index)
  feedback = outcome()
  after = host.update(KEY, POLICY, SPEC, STATE, jax.tree.map(np.asarray, feedback))
  assert problems.same_bits(after, jax.jit(POLICY.update)(KEY, STATE, feedback))


def test_what_is_masked_may_be_anything():
  spoilt = dataclasses.replace(CONTEXT, features=CONTEXT.features.at[0].set(jnp.nan))
  decision = host.select(KEY, POLICY, SPEC, STATE, spoilt)
  expected = host.select(KEY, POLICY, SPEC, STATE, CONTEXT)
  np.testing.assert_array_equal(decision.index, expected.index)


def test_positions_at_which_nothing_was_shown_are_padding():
  narrow = dataclasses.replace(CONTEXT, mask=jnp.arange(5) == 2)
  decision = host.select(KEY, POLICY, SPEC, STATE, narrow)
  np.testing.assert_array_equal(decision.index, [2, -1])
  rows = dataclasses.replace(
    problems.outcome(narrow, decision, 1.0),
    weight=np.array([1.0, 0.0]),
    propensity=np.array([1.0, 0.0]),
  )
  shown = jax.tree.map(lambda column: column[:1], rows)
  after, expected = (host.update(KEY, POLICY, SPEC, STATE, part) for part in (rows, shown))
  for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'mask': np.zeros(5, bool)}, r'mask: all 5 candidates are masked; leave at least one'),
    ({'mask': np.ones(5)}, r'mask holds float64; give True'),
    ({'mask': np.ones(4, bool)}, r'mask has shape \(4,\); expected \(5,\)'),
    ({'features': np.zeros((5, 2))}, r'features has shape \(5, 2\); expected \(5, 3\)'),
    ({'query': np.zeros(4)}, r'query has shape \(4,\); expected \(3,\)'),
    ({'query': np.array([0, np.nan, 0])}, r'query\[1\] = nan is not finite'),
    ({'features': np.full((5, 3), np.inf)}, r'features\[1, 0\] = inf is not finite'),
    ({'arm_ids': np.array([0, 1, 7, 2, 3])}, r'arm_ids\[2\] = 7 is not in 0\.\.6'),
    ({'arm_ids': np.arange(5.0)}, r'arm_ids holds float64; give integers in 0\.\.6'),
    ({'user_id': np.int32(-1)}, r'user_id = -1 is not in 0\.\.3'),
  ],
)
def test_a_bad_context_is_named(changes, message):
  with pytest.raises(InputError, match='^context.' + message):
    host.select(KEY, POLICY, SPEC, STATE, dataclasses.replace(CONTEXT, **changes))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'reward': np.array([1, np.nan])}, r'reward\[1\] = nan is not finite'),
    ({'features': np.full((2, 3), np.inf)}, r'features\[0, 0\] = inf is not finite'),
    ({'features': np.zeros((2, 4))}, r'features has shape \(2, 4\); expected \(2, 3\)'),
    ({'reward': np.ones(3)}, r'user_id has shape \(2,\); expected \(3,\)'),
    ({'reward': np.float32(1)}, r'reward has shape \(\); expected one number a row, \(B,\)'),
    ({'arm_id': np.array([0, -1])}, r'arm_id\[1\] = -1 is not in 0\.\.6'),
    ({'weight': np.array([1.0, -2.0])}, r'weight\[1\] = -2\.0 is negative'),
    ({'propensity': np.array([0.0, 0.5])}, r'propensity\[0\] = 0\.0 is not in \(0, 1\]'),
    ({'propensity': np.array([np.nan, 1.5])}, r'propensity\[1\] = 1\.5 is not in \(0, 1\]'),
    ({'info': ()}, r'info is not what this policy wants back; hand it decision\.info'),
  ],
)
def test_bad_feedback_is_named(changes, message):
  with pytest.raises(InputError, match='^feedback.' + message):
    host.update(KEY, POLICY, SPEC, STATE, outcome(**changes))


def test_info_has_a_row_for_each_reward():
  short = jax.tree.map(lambda leaf: leaf[:1], outcome().info)
  with pytest.raises(InputError, match=r'leaf of shape \(1,\); expected \(2,\), one row'):
    host.update(KEY, POLICY, SPEC, STATE, outcome(info=short))
