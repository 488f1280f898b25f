"""Estimators that weigh by what a log knows of its actions, from the log to the table."""

import dataclasses
import json

import numpy as np
import pytest

from rec_jax.data import logged, obp
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.studies.logged import log_checks, policy_value, structure, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.studies.logged.propensities import BALANCED
from rec_jax.types import InputError

NUM_ROUNDS, NUM_ACTIONS = 2_000, 40
# The kind of an item decides on the reward; the second column is of no kind.
KIND = np.arange(NUM_ACTIONS) % 4
WORTH = np.array([0.2, 0.4, 0.6, 0.8])


def log(**more):
  rng = np.random.default_rng(0)
  pi_b = rng.dirichlet(np.full(NUM_ACTIONS, 3.0), size=NUM_ROUNDS)
  pi_b = 0.9 * pi_b + 0.1 / NUM_ACTIONS
  action = (pi_b.cumsum(1) > rng.random((NUM_ROUNDS, 1))).argmax(1)
  feedback = {
    'n_actions': NUM_ACTIONS,
    'action': action,
    'reward': (rng.random(NUM_ROUNDS) < WORTH[KIND[action]]).astype(float),
    'pscore': pi_b[np.arange(NUM_ROUNDS), action],
    'context': rng.normal(size=(NUM_ROUNDS, 2)),
    'pi_b': pi_b[..., None],
    'action_context': np.stack([KIND, rng.normal(size=NUM_ACTIONS)], axis=1),
    'expected_reward': np.tile(WORTH[KIND], (NUM_ROUNDS, 1)),
  }
  return obp.from_dictionary(feedback | more)


def policy():
  chance = np.full((NUM_ROUNDS, NUM_ACTIONS, 1), 0.2 / NUM_ACTIONS)
  chance[:, 3] += 0.8
  return chance


def values(data, *names):
  reading = Reading(names, interval='t')
  return policy_value.evaluate_policy(data, policy(), 0.5, 0, reading)


def test_by_kind_of_item_the_value_is_held_and_the_interval_is_narrower():
  names = ('ipw', 'mips', 'offcem', 'policy_convolution')
  result = values(log(), *names)
  assert list(result.values) == [
    *names[:1],
    *[n for n in result.values if 'lambda' in n],
    *names[1:],
  ]
  # Convolution also smooths over the column that is of no kind, and is biased.
  for name in names[:3]:
    assert result.values[name].low < result.truth < result.values[name].high, name
  width = {name: value.high - value.low for name, value in result.values.items()}
  assert width['mips'] < width['ipw'] / 2
  assert result.values['mips'].max_weight < result.values['ipw'].max_weight / 3
  assert result.values['mips'].warning == (
    'by columns of action_context 0: biased where actions that share these earn differently'
  )
  assert 'bandwidth' in result.values['policy_convolution'].warning


def test_an_embedding_of_the_rounds_is_counted_and_its_dimensions_are_chosen():
  data = log()
  noise = np.random.default_rng(1).integers(3, size=NUM_ROUNDS)
  data = dataclasses.replace(data, action_embed=np.stack([KIND[data.action], noise], axis=1))
  result = values(data, 'ipw', 'mips', 'mips_slope')
  assert result.values['mips'].warning.startswith('by action_embed 0, 1: biased')
  # Neither a policy nor a reward depends on the second: it may go, the first may not.
  assert 'by action_embed 0' in result.values['mips_slope'].warning
  for name in ('mips', 'mips_slope'):
    assert result.values[name].low < result.truth < result.values[name].high, name


@pytest.mark.parametrize(
  ('change', 'name', 'message'),
  [
    (
      {'pi_b': None},
      'mips',
      'mips needs all probabilities of the policy and of the one that logged',
    ),
    ({'action_context': None}, 'policy_convolution', 'policy_convolution needs .* action_context'),
    # One column alone says of what kind items are.
    ({}, 'mips_slope', 'mips_slope needs .*, in two dimensions at least'),
    ({'action_context': np.arange(NUM_ACTIONS)[:, None]}, 'offcem', 'offcem needs .* categories'),
  ],
)
def test_what_a_log_does_not_allow_is_refused_in_one_line(change, name, message):
  with pytest.raises(InputError, match=f'--estimators: {message}') as error:
    values(log(**change), 'ipw', name)
  assert '\n' not in str(error.value)


def test_a_uniform_log_needs_no_pi_b_and_candidates_are_those_of_the_round():
  rng = np.random.default_rng(3)
  action = rng.integers(NUM_ACTIONS, size=NUM_ROUNDS)
  uniform = {'action': action, 'pscore': np.full(NUM_ROUNDS, 1 / NUM_ACTIONS), 'pi_b': None}
  data = log(**uniform)
  plain = values(data, 'mips', 'policy_convolution').values
  order = rng.permuted(np.tile(np.arange(NUM_ACTIONS), (NUM_ROUNDS, 1)), axis=1)
  shuffled = dataclasses.replace(
    data,
    candidates=order,
    expected_reward=np.take_along_axis(data.expected_reward, order, axis=1),
    pi_b=np.full((NUM_ROUNDS, NUM_ACTIONS, 1), 1 / NUM_ACTIONS),
  )
  reading = Reading(('mips', 'policy_convolution'), interval='t')
  chance = np.take_along_axis(policy(), order[..., None], axis=1)
  again = policy_value.evaluate_policy(shuffled, chance, 0.5, 0, reading).values
  for name, value in plain.items():
    assert again[name].value == pytest.approx(value.value, rel=1e-9)


def test_what_reads_all_probabilities_is_left_out_where_they_do_not_fit(monkeypatch, caplog):
  # Two tables of doubles, 16 bytes a cell.
  sizes = {'SC_PAGE_SIZE': 1, 'SC_PHYS_PAGES': 16 * NUM_ROUNDS * NUM_ACTIONS}
  monkeypatch.setattr(log_checks.os, 'sysconf', sizes.get)
  everything = Reading(interval='t')
  fits = policy_value.evaluate_policy(log(), policy(), 0.5, 0, everything).values
  assert 'mips' in fits and not caplog.messages
  sizes['SC_PHYS_PAGES'] -= 1
  found = policy_value.evaluate_policy(log(), policy(), 0.5, 0, everything).values
  assert found == {name: value for name, value in fits.items() if name in found}
  assert fits.keys() - found.keys() == {'mips', 'offcem', 'policy_convolution'}
  assert 'mips, mips_slope, offcem, policy_convolution are left out: all' in caplog.text
  assert 'ipw' in values(log(), 'ipw').values
  with pytest.raises(InputError, match='all probabilities in 2,000 rounds of 40 candidates'):
    values(log(), 'ipw', 'mips')
  balanced = Reading(('ipw',), propensities=BALANCED)
  with pytest.raises(InputError, match='all probabilities in 2,000 rounds of 40 candidates'):
    policy_value.evaluate_policy(log(), policy(), 0.5, 0, balanced)


def test_the_command_line_reaches_all_and_an_embedding_survives_the_file(tmp_path):
  data = log(action_embed=np.stack([KIND, KIND // 2], axis=1)[log().action])
  logged.write(tmp_path / 'log.parquet', data)
  kept = logged.read(tmp_path / 'log.parquet').action_embed
  np.testing.assert_array_equal(kept, data.action_embed)
  np.testing.assert_array_equal(obp.to_dictionary(data)['action_embed'], data.action_embed)
  np.save(tmp_path / 'mine.npy', policy())
  out, names = tmp_path / 'rows.json', ('mips', 'mips_slope', 'offcem', 'policy_convolution')
  valuation.run(
    tmp_path / 'log.parquet',
    f'{tmp_path}/mine.npy',
    0.5,
    0,
    tmp_path / 'value.svg',
    out,
    reading=Reading(names, interval='t'),
  )
  found = {row['metric']: row for row in json.loads(out.read_text())}
  assert set(found) == set(names)
  assert all('biased where' in row['warning'] for row in found.values())


def test_candidates_in_any_order_change_no_weight():
  data = log()
  offered = np.random.default_rng(2).permuted(
    np.tile(np.arange(NUM_ACTIONS), (NUM_ROUNDS, 1)), axis=1
  )
  weight = []
  for each, chance in (
    (data, policy()),
    (
      dataclasses.replace(data, candidates=offered, expected_reward=None),
      np.take_along_axis(policy(), offered[:, :, None], axis=1),
    ),
  ):
    zeros = np.zeros(NUM_ROUNDS)
    seen = structure.weighed(each, chance, Rounds(*[zeros] * 5), ('mips',), 0)
    weight.append(np.asarray(seen.marginal))
  np.testing.assert_allclose(weight[1], weight[0], rtol=1e-12)
