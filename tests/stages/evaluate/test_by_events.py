"""Ranking by the number of training events of an item, against a loop over events."""

import numpy as np

from rec_jax.data import splits
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import by_events
from tests.stages.evaluate.test_ranking_comparison import NUM_ITEMS, contender, dataset, ranks


def test_events_after_the_cut_are_ranked_in_the_group_of_their_item():
  data, config = dataset(), Config()
  found = by_events.per_query(config, data, contender(NUM_ITEMS, 1, 2))
  user, item = data.interactions.user, data.interactions.item
  number = np.bincount(
    item[splits.training_events(data.interactions, data.split)], minlength=NUM_ITEMS
  )
  after = np.arange(data.split.num_before, len(item))
  seen = set()
  for label, group in {
    'no event': number == 0,
    '1 to 5 events': (number >= 1) & (number <= 5),
    '6 to 20 events': (number >= 6) & (number <= 20),
    'more events': number > 20,
  }.items():
    events = after[group[item[after]]]
    if not len(events):
      assert not any(name.startswith(label) for name in found)
      continue
    seen.add(label)
    for among, candidates in (('in all', np.ones(NUM_ITEMS, bool)), ('alone', group)):
      values = found[f'{label} {among}, recall@10']
      expected = np.mean([ranks(data, events, seed, candidates) <= 10 for seed in (1, 2)], axis=0)
      np.testing.assert_allclose(values.value, expected)
      np.testing.assert_array_equal(values.unit, user[events])
      np.testing.assert_array_equal(values.item, item[events])
  assert 'no event' in seen


def test_of_many_events_a_sample_is_ranked(monkeypatch):
  monkeypatch.setattr(by_events, '_MOST_QUERIES', 7)
  data = dataset()
  found = by_events.per_query(Config(), data, contender(NUM_ITEMS, 1))
  again = by_events.per_query(Config(), data, contender(NUM_ITEMS, 1))
  assert len(found['no event in all, recall@10'].value) == 7
  for name, values in found.items():
    np.testing.assert_array_equal(values.value, again[name].value)
  other = by_events.per_query(Config(seed=1), data, contender(NUM_ITEMS, 1))
  name = 'no event in all, recall@10'
  assert list(other[name].unit) != list(found[name].unit)
