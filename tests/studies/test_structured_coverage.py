"""The worlds of the study of coverage: exact values by brute force, and all that it expects."""

import itertools

import numpy as np
import pytest

from experiments import studies
from rec_jax.studies.structured import categories, coverage, doses, lists
from rec_jax.studies.structured.coverage import WORLDS, StructuredConfig


def world(actions):
  return WORLDS[actions][0](np.random.RandomState(1))


@pytest.mark.parametrize('users', lists.USERS)
def test_the_value_of_lists_is_a_sum_over_all_of_them(users):
  made, total = world(f'lists, {users}'), 0.0
  for x in range(lists.NUM_CONTEXTS):
    for number, items in enumerate(itertools.product(range(lists.NUM_ITEMS), repeat=3)):
      assert tuple(made.lists[number]) == items
      shown = np.prod([made.target[x, place, item] for place, item in enumerate(items)])
      total += shown * made.chance[x, number].sum()
  assert made.truth == pytest.approx(total / lists.NUM_CONTEXTS)
  # What a user does not look at changes nothing: the last position of the first, and the first.
  same_first = made.chance[:, made.lists[:, 0] == 2, 0]
  spread = np.ptp(same_first, axis=1).max()
  assert (spread < 1e-12) == (users != 'whole list')
  last = made.chance[:, made.lists[:, 2] == 2, 2]
  assert (np.ptp(last, axis=1).max() < 1e-12) == (users == 'independent')


def test_the_value_of_doses_and_of_categories():
  made = world('doses')
  earned = [np.sin(4 * d + x / 2) for x, d in zip(made.context, made.dose, strict=True)]
  assert made.truth == pytest.approx(np.mean(earned))
  for actions, share in (('categories', 0), ('drawn categories', 0), ('categories, violated', 1)):
    made = world(actions)
    assert made.of_action.any() == share
    total = 0.0
    for x in range(categories.NUM_CONTEXTS):
      for k in range(categories.NUM_ACTIONS):
        total += made.target[x, k] * (
          made.of_action[x, k] + (made.chance[k] * made.of_category[x]).sum()
        )
    assert made.truth == pytest.approx(total / categories.NUM_CONTEXTS)
    assert np.isin(made.chance, (0, 1)).all() == (actions != 'drawn categories')


@pytest.mark.parametrize('actions', WORLDS)
def test_all_that_the_study_expects_is_measured(actions):
  config = StructuredConfig(num_logs=3, num_rounds=30, resamples=8, actions=actions)
  found = coverage.measure(config, None)
  expected = studies.load('structured_coverage').expected
  asked = {metric for variant, metric in expected if variant.rpartition(', ')[0] == actions}
  assert asked and asked <= set(found)
  for values in found.values():
    assert np.isfinite(values.value).all() and len(values.value) == 3


def test_a_log_repeats_by_its_seed():
  made = world('doses at the edge')
  first, second = (doses.terms(made, np.random.RandomState(2), 50)[0]['dr'] for _ in range(2))
  np.testing.assert_array_equal(first.correction, second.correction)
