"""Tables that are asked for a few rounds at a time, against all rounds at once and a loop."""

import dataclasses

import numpy as np
import pytest
from scipy import special

from rec_jax.data import obp
from rec_jax.studies.logged import tables
from rec_jax.types import InputError

NUM_ROUNDS, NUM_ACTIONS, NUM_POSITIONS = 23, 5, 2
RNG = np.random.default_rng(0)
SHAPE = NUM_ROUNDS, NUM_ACTIONS, NUM_POSITIONS
POLICY = special.softmax(RNG.normal(size=SHAPE), axis=1)
MODEL = RNG.normal(size=SHAPE)
ACTION = RNG.integers(NUM_ACTIONS, size=NUM_ROUNDS)
LOG = dataclasses.replace(
  obp.from_dictionary(
    {
      'n_actions': NUM_ACTIONS,
      'action': ACTION,
      'reward': RNG.random(NUM_ROUNDS),
      'pscore': RNG.uniform(0.1, 1, NUM_ROUNDS),
      'context': RNG.normal(size=(NUM_ROUNDS, 2)),
    }
  ),
  position=np.arange(NUM_ROUNDS) % NUM_POSITIONS,
  expected_reward=RNG.random((NUM_ROUNDS, NUM_ACTIONS)),
)


def watched(values, asked):
  def table(rows):
    asked.append(len(rows))
    return values[rows]

  return table


def test_a_few_rounds_at_a_time_are_those_of_a_loop(monkeypatch):
  # Three rounds of 5 x 2 cells at once; 23 is no multiple of it.
  monkeypatch.setattr(tables, 'CHUNK_CELLS', 39)
  asked = []
  rounds, truth = tables.matched(LOG, watched(POLICY, asked), watched(MODEL, asked))
  assert set(asked) == {3} and len(asked) == 16
  total = 0.0
  for i, (action, place) in enumerate(zip(ACTION, LOG.position, strict=True)):
    chances, model = POLICY[i, :, place], MODEL[i, :, place]
    expected = (
      LOG.reward[i],
      chances[action] / LOG.propensity[i],
      chances[action],
      model[action],
      chances @ model,
    )
    found = (rounds.reward, rounds.weight, rounds.target, rounds.q_logged, rounds.q_target)
    np.testing.assert_allclose([column[i] for column in found], expected, rtol=1e-12)
    total += chances @ LOG.expected_reward[i]
  assert truth == pytest.approx(total / NUM_ROUNDS, rel=1e-12)
  assert len(rounds.reward) == NUM_ROUNDS and rounds.reward.dtype == np.float64


@pytest.mark.parametrize('named', [False, True])
def test_moments_of_weights_by_the_policy_that_logged_are_those_of_a_loop(monkeypatch, named):
  monkeypatch.setattr(tables, 'CHUNK_CELLS', 39)
  # Of three positions, where rounds are at two.
  pi_b = RNG.dirichlet(np.ones(NUM_ACTIONS), (NUM_ROUNDS, 3)).swapaxes(1, 2)
  log = dataclasses.replace(LOG, pi_b=pi_b, expected_reward=None)
  offered = np.tile(np.arange(NUM_ACTIONS), (NUM_ROUNDS, 1))
  if named:
    offered = RNG.permuted(offered, axis=1)
    log = dataclasses.replace(log, candidates=offered)
  rounds, truth = tables.matched(log, tables.held(POLICY), None)
  assert truth is None
  for i, place in enumerate(log.position):
    weight = POLICY[i, :, place] / pi_b[i, offered[i], place]
    moments = [POLICY[i, :, place] @ weight**power for power in (1, 3)]
    found = rounds.second_moment[i], rounds.fourth_moment[i]
    np.testing.assert_allclose(found, moments, rtol=1e-12)
  assert tables.matched(LOG, tables.held(POLICY), None)[0].second_moment is None


def test_a_whole_table_is_all_rounds_at_once(monkeypatch):
  monkeypatch.setattr(tables, 'CHUNK_CELLS', 39)
  np.testing.assert_array_equal(tables.whole(LOG, tables.held(POLICY)), POLICY)
  # Rounds that are all at the first of two positions.
  first = dataclasses.replace(LOG, position=np.zeros(NUM_ROUNDS, int))
  np.testing.assert_array_equal(tables.whole(first, tables.held(POLICY)), POLICY)


@pytest.mark.parametrize(
  ('policy', 'model', 'message'),
  [
    (np.where(np.arange(NUM_ROUNDS)[:, None, None] == 17, 0, POLICY), MODEL, 'action_dist, row 17'),
    (POLICY, np.where(np.arange(NUM_ROUNDS)[:, None, None] == 19, np.nan, MODEL), 'q_hat, row 19'),
  ],
)
def test_a_bad_row_is_named_by_its_place_in_the_log(monkeypatch, policy, model, message):
  monkeypatch.setattr(tables, 'CHUNK_CELLS', 39)
  with pytest.raises(InputError, match=message):
    tables.matched(LOG, tables.held(policy), tables.held(model))
