"""Tuning: the same trials for every model, and nothing of what comes after the cut."""

import dataclasses
import math

import numpy as np
import pytest

from rec_jax.models.baselines import registry
from rec_jax.models.baselines.registry import Range
from rec_jax.tasks import baselines, full_ranking, random_search
from tests.helpers import small

SPACE = {'rate': Range(1.0, 0.01, 100.0), 'width': Range(8, 4, 64, steps=2)}


def test_search_starts_at_the_defaults_and_finds_what_is_better():
  trials = random_search.search(lambda chosen: -abs(math.log(chosen['rate'] / 9)), SPACE, 40, 0)
  assert len(trials) == 40
  assert {'rate': 1.0, 'width': 8} in [trial.settings for trial in trials]
  assert 6 < trials[0].settings['rate'] < 13.5
  assert [trial.value for trial in trials] == sorted((t.value for t in trials), reverse=True)


def test_more_trials_begin_with_those_of_fewer():
  few, more = (random_search.search(lambda chosen: 0.0, SPACE, number, 3) for number in (4, 7))
  assert more[:4] == few
  assert few[0].settings == {'rate': 1.0, 'width': 8}
  assert few != random_search.search(lambda chosen: 0.0, SPACE, 4, 4)


def test_without_settings_there_is_one_trial():
  assert random_search.search(lambda chosen: 1.0, {}, 10, 0) == [random_search.Trial({}, 1.0)]


def validation(dataset):
  return full_ranking.queries(dataset, dataset.split.validation_event, 10, 4.0)


def test_tuning_does_not_look_past_the_cut():
  dataset = small.dataset()
  user, changed = dataset.interactions.user, dataset.interactions.item.copy()
  # Items that nobody there meets a second time: repeated events would ask other questions.
  for event in range(dataset.split.num_before, len(changed)):
    met = changed[:event][user[:event] == user[event]]
    changed[event] = min(set(range(dataset.items.num_items)) - {*met, changed[event]})
  other = dataclasses.replace(
    dataset, interactions=dataclasses.replace(dataset.interactions, item=changed)
  )
  assert (changed != dataset.interactions.item).any()
  trials = [baselines.tune('ease', each, validation(each), 3, 0) for each in (dataset, other)]
  assert trials[0] == trials[1]
  # What lies before the cut does enter.
  earlier = dataset.interactions.item[::-1].copy()
  other = dataclasses.replace(
    dataset, interactions=dataclasses.replace(dataset.interactions, item=earlier)
  )
  assert baselines.tune('ease', other, validation(dataset), 3, 0) != trials[0]


def test_a_trial_is_worth_the_ndcg_of_a_model_fitted_to_the_training_events():
  dataset = small.dataset()
  trial = baselines.tune('popularity', dataset, validation(dataset), 5, 0)
  events = baselines.training_events(dataset)
  count = np.bincount(events.item, minlength=events.num_items)
  asked = validation(dataset)
  found = []
  for target, unseen in zip(asked.target, asked.unseen(events.num_items), strict=True):
    better = (unseen & (count > count[target])).sum()
    # Equal counts leave every order of the items open.
    ranks = better + 1 + np.arange((unseen & (count == count[target])).sum())
    found.append(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean())
  assert trial == [random_search.Trial({}, pytest.approx(np.mean(found), rel=1e-5))]
  assert len(events.item) == dataset.split.train_mask.sum()
  assert registry.get('popularity').space == {}
