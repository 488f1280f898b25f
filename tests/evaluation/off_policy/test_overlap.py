"""Overlap that does not hang on what was drawn: moments by a loop, and logs that were lucky."""

import dataclasses

import jax
import numpy as np
import pytest

from rec_jax.data import logged, logged_feedback, obp
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.evaluate import evaluate
from rec_jax.evaluation.off_policy.overlap import difference_warning, overlap_of
from rec_jax.studies.logged import policy_value
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError
from tests.evaluation.off_policy import problems

KEY = jax.random.key(0)


def test_moments_by_a_loop():
  log = problems.log(0, num_rounds=20)
  pi_b = problems.distribution(np.random.default_rng(1), 20, 4, 2)
  rows, place = np.arange(20), log['position']
  log['pscore'] = pi_b[rows, log['action'], place]
  with jax.enable_x64():
    rounds = estimators.match(**log, pi_b=pi_b)
  for i in range(20):
    behaviour, policy = pi_b[i, :, place[i]], log['action_dist'][i, :, place[i]]
    for power, found in ((2, rounds.second_moment), (4, rounds.fourth_moment)):
      expected = sum(b * (e / b) ** power for b, e in zip(behaviour, policy, strict=True))
      assert float(found[i]) == pytest.approx(expected)
  second, fourth = np.asarray(rounds.second_moment), np.asarray(rounds.fourth_moment)
  warning = overlap_of(rounds).warning
  sizes = 20**2 / second.sum(), second.sum() ** 2 / fourth.sum()
  assert f'20 rounds weigh as much as {sizes[0]:.0f}, and {sizes[1]:.0f} of the' in warning
  assert 'that may be drawn' in warning


def lucky(chance, num_rounds=1_000):
  """A log that never drew the second action, of this chance, which the policy likes as well."""
  pi_b = np.tile([1 - chance, chance], (num_rounds, 1))[:, :, None]
  return {
    'reward': (np.arange(num_rounds) % 2).astype(float),
    'action': np.zeros(num_rounds, int),
    'pscore': np.full(num_rounds, 1 - chance),
    'action_dist': np.full((num_rounds, 2, 1), 0.5),
    'pi_b': pi_b,
  }


def test_a_log_that_drew_no_large_weight_warns_where_it_might_have():
  log = lucky(1e-3)
  known = evaluate(KEY, **log, resamples=50)['snipw']
  alone = evaluate(KEY, **log | {'pi_b': None}, resamples=50)['snipw']
  assert 'poor overlap: 1000 rounds weigh as much as 4, and 1 of the weights' in known.warning
  assert 'poor overlap' not in alone.warning


def test_actions_that_are_never_logged_warn():
  warning = evaluate(KEY, **lucky(0.0), resamples=50)['snipw'].warning
  assert 'poor overlap: 1000 rounds weigh as much as 0' in warning and '\n' not in warning


def test_a_log_that_drew_a_large_weight_does_not_warn_for_that():
  log = problems.log(2, num_rounds=1_000)
  pi_b = np.full((1_000, 4, 2), 0.25)
  log |= {'pscore': np.full(1_000, 0.25), 'reward': (np.arange(1_000) % 2).astype(float)}
  assert overlap_of(estimators.match(**log, pi_b=pi_b)).warning == ''


def test_pi_b_has_to_be_the_policy_that_logged():
  log = lucky(0.3)
  log['pscore'] = np.where(np.arange(1_000) == 7, 0.9, log['pscore'])
  with pytest.raises(
    InputError, match='pi_b, row 7: 0.7 for the logged action and a pscore of 0.9'
  ):
    evaluate(KEY, **log)
  with pytest.raises(InputError, match=r'pi_b is \[1000, 3, 1\] and action_dist \[1000, 2, 1\]'):
    evaluate(KEY, **lucky(0.3) | {'pi_b': np.full((1_000, 3, 1), 1 / 3)})


def test_the_command_line_reads_pi_b_of_a_log(tmp_path):
  log = lucky(1e-3)
  feedback = {name: x for name, x in log.items() if name != 'action_dist'} | {'n_actions': 2}
  logged.write(tmp_path / 'log.parquet', obp.from_dictionary(feedback))
  data = logged.read(tmp_path / 'log.parquet')
  value = policy_value.evaluate_policy(data, 'uniform', 0.5, 0, Reading(('snipw',))).values['snipw']
  assert 'of the weights that may be drawn' in value.warning


def test_the_policy_that_logged_over_candidates():
  rng = np.random.default_rng(0)
  pi_b = rng.dirichlet(np.ones(3), size=4)[:, :, None]
  log = obp.from_dictionary(
    {
      'n_actions': 3,
      'action': np.zeros(4),
      'reward': np.ones(4),
      'pscore': pi_b[:, 0, 0],
      'pi_b': pi_b,
    }
  )
  assert logged_feedback.offered_policy(log, slice(1, 4)).shape == (3, 3, 1)
  # Two more items, known from elsewhere, that were not there to choose from.
  more = dataclasses.replace(log, item_ids=np.arange(5).astype(str))
  found = logged_feedback.offered_policy(more, np.array([3, 1]))
  np.testing.assert_array_equal(found, np.pad(pi_b[[3, 1]], ((0, 0), (0, 2), (0, 0))))
  candidates = np.array([[0, 2, 1], [2, 0, 1], [1, 2, 0], [0, 1, -1]])
  named = dataclasses.replace(log, candidates=candidates)
  found = logged_feedback.offered_policy(named, slice(1, 4))
  np.testing.assert_array_equal(found[0, :, 0], pi_b[1, [2, 0, 1], 0])
  np.testing.assert_array_equal(found[2, :, 0], [pi_b[3, 0, 0], pi_b[3, 1, 0], 0])


def test_policies_are_told_apart_by_the_rounds_in_which_their_weights_differ():
  # Ten rounds differ by 1 and ninety by a ninth: 20^2 / (10 + 90 / 81) = 36.
  weight = np.r_[np.zeros(10), np.full(90, 10 / 9)]
  half = np.arange(100) % 2
  found = difference_warning(half, weight)
  assert found.startswith('few rounds tell them apart: they weigh as much as 36, of which 18 are')
  assert difference_warning(np.arange(100), weight) == ''
  assert difference_warning(np.tile(half, 2), np.tile(weight, 2)) == ''
  assert difference_warning(half, 3 * weight, 2 * weight + 1) == found
  assert difference_warning(half, weight, weight) == ''
  # A log that lacks by luck the three rounds that it should have: 3.03^2 / 3.03.
  lucky, half = np.full(300, 1 / 0.99), np.arange(300) % 2
  assert difference_warning(half, lucky) == ''
  assert 'as much as 3, of which 2' in difference_warning(half, lucky, None, lucky)


@pytest.mark.parametrize(
  ('share', 'num_rounds', 'chance'), [(0.99, 3_000, 0.03), (0.97, 3_000, 0.3), (0.9, 500, 0.3)]
)
def test_where_no_warning_is_of_the_difference_its_interval_holds(share, num_rounds, chance):
  rng, held, quiet = np.random.default_rng(0), [], []
  for _ in range(200):
    shown = rng.random(num_rounds) < share
    reward = (rng.random(num_rounds) < chance).astype(float)
    weight = shown / share
    value = weight @ reward / weight.sum()
    effect = corrected_t(weight * (reward - value) / weight.mean() + value - reward)
    held.append(effect.low <= 0 <= effect.high)
    moment = np.full(num_rounds, 1 / share)
    quiet.append(difference_warning(reward, weight, None, moment) == '')
  held, quiet = np.array(held), np.array(quiet)
  # Of the first, six in ten hold, and without this warning nothing would say so.
  assert (quiet.mean() > 0.5) == (chance == 0.3)
  assert (quiet & ~held).mean() <= 0.08
  assert held.mean() < 0.8 or held[quiet].mean() > 0.9
