"""Rows of metrics against loops over users and events, and against closed forms."""

import dataclasses

import numpy as np
import pytest

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation.intervals import RESAMPLES, Estimate
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import judged_events, known_and_new, ranking_comparison
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.types import Interactions, ItemTable

NUM_USERS, NUM_ITEMS = 25, 60


def dataset(num_items=NUM_ITEMS, late_items=6, seed=0):
  """Users who meet the last `late_items` items only after the cut at one half."""
  rng = np.random.default_rng(seed)
  events = []
  for user in range(NUM_USERS):
    early = rng.permutation(num_items - late_items)[: min(12, num_items - late_items)]
    late = num_items - 1 - rng.permutation(late_items)[: rng.integers(late_items + 1)]
    events += [(0, user, item) for item in early] + [(1, user, item) for item in late]
  events = rng.permutation(np.array(events))
  phase, user, item = events[np.argsort(events[:, 0], kind='stable')].T
  interactions = Interactions(
    user.astype(np.int32),
    item.astype(np.int32),
    np.arange(len(user)),
    None,
    np.arange(NUM_USERS).astype(str),
  )
  cut = (np.sum(phase == 0) + 0.5) / len(phase)
  split = splits.split(interactions, num_items, cut, 5)
  items = ItemTable(np.arange(num_items).astype(str), np.full(num_items, 'a'))
  tokens = np.ones((num_items, 4), np.int32)
  return Dataset('made up', interactions, items, split, tokens, tokens, tokens, tokens, '', {})


def contender(num_items, *seeds):
  """Scores that depend on the user and the seed alone."""
  tables = [np.random.default_rng(seed).normal(size=(NUM_USERS, num_items)) for seed in seeds]
  return ComparedModel(
    [lambda asked, table=table: table[asked.user].astype(np.float32) for table in tables]
  )


def table_of(seed, num_items):
  return np.random.default_rng(seed).normal(size=(NUM_USERS, num_items)).astype(np.float32)


def ranks(data, events, seed, candidates):
  """The rank of each event's item among candidates that its user has not met before."""
  user, item = data.interactions.user, data.interactions.item
  found = []
  for event in events:
    scores = table_of(seed, len(candidates))[user[event]]
    met = set(item[:event][user[:event] == user[event]])
    rivals = [i for i in range(len(candidates)) if candidates[i] and i not in met]
    found.append(1 + sum(scores[i] > scores[item[event]] for i in rivals))
  return np.array(found)


METRICS = {
  'recall@10': lambda rank: rank <= 10,
  'ndcg@10': lambda rank: (rank <= 10) / np.log2(1 + rank),
  'mrr': lambda rank: 1 / rank,
}


def values(rows, protocol):
  return {
    (row['subject'], row['metric']): row for row in rows if row['protocol'].startswith(protocol)
  }


def test_ranking_of_the_next_item_against_a_loop():
  data, config = dataset(), Config(num_seeds=2)
  models = {'teacher': contender(NUM_ITEMS, 1, 2), 'popularity': contender(NUM_ITEMS, 3)}
  rows = values(ranking_comparison.ranking_rows(config, data, models), ranking_comparison.NEXT_ITEM)
  everything = np.ones(NUM_ITEMS, bool)
  for metric, of in METRICS.items():
    seeds = [of(ranks(data, data.split.test_event, seed, everything)).mean() for seed in (1, 2, 3)]
    teacher, popularity = np.mean(seeds[:2]), seeds[2]
    assert rows['teacher', metric]['value'] == pytest.approx(teacher, abs=1e-6)
    assert rows['teacher', metric]['n'] == NUM_USERS
    paired = rows['teacher minus popularity, paired', metric]
    assert paired['value'] == pytest.approx(teacher - popularity, abs=1e-6)
    spread = rows['teacher, spread over seeds', metric]
    assert spread['value'] == pytest.approx(np.std(seeds[:2], ddof=1), abs=1e-6)
    assert (spread['low'], spread['n']) == (None, 2)
  assert ('popularity, spread over seeds', 'mrr') not in rows
  assert 'mean over 2 seeds' in rows['teacher', 'mrr']['protocol']


def test_coverage_counts_items_of_any_list():
  data = dataset()
  rows = ranking_comparison.ranking_rows(Config(), data, {'popularity': contender(NUM_ITEMS, 3)})
  shown = set()
  for event in data.split.test_event:
    user, item = data.interactions.user, data.interactions.item
    met = set(item[:event][user[:event] == user[event]])
    order = np.argsort(-table_of(3, NUM_ITEMS)[user[event]])
    shown |= set([i for i in order if i not in met][:10])
  row = values(rows, ranking_comparison.NEXT_ITEM)['popularity', 'coverage@10']
  assert row['value'] == pytest.approx(len(shown) / NUM_ITEMS)
  assert row['low'] is None


def test_lists_are_judged_beyond_accuracy():
  data = dataset()
  directions = np.random.default_rng(9).normal(size=(NUM_ITEMS, 3))
  rows = ranking_comparison.ranking_rows(
    Config(), data, {'popularity': contender(NUM_ITEMS, 3)}, directions
  )
  found = values(rows, ranking_comparison.NEXT_ITEM)
  user, item = data.interactions.user, data.interactions.item
  events = np.bincount(item[data.split.train_mask], minlength=NUM_ITEMS)
  popularity, novelty, diversity, counts = [], [], [], np.zeros(NUM_ITEMS)
  for event in data.split.test_event:
    met = set(item[:event][user[:event] == user[event]])
    order = np.argsort(-table_of(3, NUM_ITEMS)[user[event]])
    top = [i for i in order if i not in met][:10]
    counts[top] += 1
    popularity.append(events[top].mean())
    novelty.append(np.mean([np.log2(NUM_USERS / max(events[i], 1)) for i in top]))
    unit = directions[top] / np.linalg.norm(directions[top], axis=1, keepdims=True)
    diversity.append(1 - (unit @ unit.T)[np.triu_indices(10, 1)].mean())
  expected = {
    'gini@10': np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()),
    'entropy@10': -sum(c / counts.sum() * np.log(c / counts.sum()) for c in counts if c),
    'popularity@10': np.mean(popularity),
    'novelty@10': np.mean(novelty),
    'diversity@10': np.mean(diversity),
  }
  for metric, value in expected.items():
    assert found['popularity', metric]['value'] == pytest.approx(value), metric
  assert 0 <= found['popularity', 'serendipity@10']['value'] < 1
  assert found['popularity', 'novelty@10']['low'] < expected['novelty@10']


def test_models_are_tested_against_the_best():
  data = dataset()
  # Knows the answers.
  test = data.split.test_event
  right = np.zeros((NUM_USERS, NUM_ITEMS), np.float32)
  right[data.interactions.user[test], data.interactions.item[test]] = 1
  oracle = ComparedModel([lambda asked: right[asked.user]])
  models = {
    'teacher': oracle,
    'popularity': contender(NUM_ITEMS, 3),
    'EASE': contender(NUM_ITEMS, 4),
  }
  rows = values(
    ranking_comparison.ranking_rows(Config(), data, models), ranking_comparison.NEXT_ITEM
  )
  name = f'ndcg@10{ranking_comparison.AGAINST_BEST}'
  assert ('teacher', name) not in rows
  for other in ('popularity', 'EASE'):
    # Corrected for three pairs; the least is one in ten thousand.
    assert rows[other, name]['value'] == pytest.approx(3e-4)
    assert rows[other, name]['low'] is None


def test_several_events_of_a_user_are_averaged_first():
  data, config = dataset(), Config()
  config.data.split = 'random_ratio'
  split = splits.split(data.interactions, NUM_ITEMS, 0.55, 5, 'random_ratio')
  # The first user is asked about three events, the others about one.
  more = np.flatnonzero(data.interactions.user == data.interactions.user[split.test_event[0]])[1:4]
  events = np.concatenate([more, split.test_event[1:]])
  train_mask = split.train_mask & ~np.isin(np.arange(len(split.train_mask)), events)
  split = dataclasses.replace(split, test_event=events, train_mask=train_mask)
  data = dataclasses.replace(data, split=split)
  models = {'teacher': contender(NUM_ITEMS, 1)}
  row = values(ranking_comparison.ranking_rows(config, data, models), 'next item: a tenth')[
    'teacher', 'mrr'
  ]
  reciprocal = 1 / ranks(data, events, 1, np.ones(NUM_ITEMS, bool))
  expected = np.mean([reciprocal[:3].mean(), *reciprocal[3:]])
  assert row['value'] == pytest.approx(expected) and row['n'] == NUM_USERS
  assert '(split random_ratio)' in row['protocol'] and 'within each user' in row['protocol']


def test_where_few_items_are_judged_they_are_a_sample_too():
  data = dataset()
  # Eight users are asked about each of three items.
  test = data.split.test_event
  target = data.interactions.item.copy()
  target[test] = np.arange(len(test)) % 3 + NUM_ITEMS - 3
  data = dataclasses.replace(data, interactions=dataclasses.replace(data.interactions, item=target))
  liked = np.zeros((NUM_USERS, NUM_ITEMS), np.float32)
  liked[:, NUM_ITEMS - 1] = 1
  models = {'teacher': ComparedModel([lambda asked: liked[asked.user]])}
  models['popularity'] = contender(NUM_ITEMS, 3)
  ends = {}
  for split in ('cold_item', 'leave_last'):
    config = Config(num_sampled_negatives=20)
    config.data.split = split
    rows = ranking_comparison.ranking_rows(config, data, models)
    found = values(rows, ranking_comparison.NEXT_ITEM)
    row = found['teacher', 'ndcg@10']
    ends[split] = row['low'], row['high'], row['n']
    assert ('two-way' in row['protocol']) == (split == 'cold_item')
    # Signs by user tell nothing of other items.
    p_value = f'ndcg@10{ranking_comparison.AGAINST_BEST}'
    assert (('popularity', p_value) in found) == (split == 'leave_last')
    for metric in ('log-loss', 'novelty@10', 'recall@10 among 20 sampled'):
      assert found['teacher', metric]['n'] == ends[split][2]
    measured = ranking_comparison.next_item_per_query(config, data, models['teacher'])
    assert (measured['next item, ndcg@10'].item is None) == (split == 'leave_last')
  assert (ends['cold_item'][2], ends['leave_last'][2]) == (3, NUM_USERS)
  assert ends['cold_item'][0] < ends['leave_last'][0] - 0.1


def test_sampled_metrics_are_labelled_and_only_where_asked_for():
  data, models = dataset(), {'teacher': contender(NUM_ITEMS, 1)}
  config = Config(num_sampled_negatives=20)
  rows = ranking_comparison.ranking_rows(config, data, models)
  found = {row['metric']: row for row in rows}
  sampled, full = found['recall@10 among 20 sampled'], found['recall@10']
  # Ten of twenty-one are found by chance.
  assert sampled['value'] > full['value'] + 0.1
  assert 'among the item and a sample of the others' in sampled['protocol']
  assert not any(
    'sampled' in row['metric'] for row in ranking_comparison.ranking_rows(Config(), data, models)
  )


def test_known_and_new_users_and_items_apart():
  data, config = dataset(), Config()
  # One of the users comes after the cut alone.
  is_new = np.zeros(NUM_USERS, bool)
  is_new[3] = True
  data = dataclasses.replace(data, split=dataclasses.replace(data.split, cold_users=is_new))
  rows = known_and_new.rows(config, data, {'teacher': contender(NUM_ITEMS, 1)})
  after = np.arange(data.split.num_before, data.interactions.num_events)
  user, item = data.interactions.user[after], data.interactions.item[after]
  cold = data.split.cold_items[item]
  for group, chosen in (
    ('known users', user != 3),
    ('new users', user == 3),
    ('known items', ~cold),
    ('new items', cold),
  ):
    found = values(rows, f'after the cut, {group}')
    if not chosen.any():
      assert not found
      continue
    rank = ranks(data, after[chosen], 1, np.ones(NUM_ITEMS, bool))
    gain = np.where(rank <= 10, 1 / np.log2(1 + rank), 0)
    expected = np.mean([gain[user[chosen] == u].mean() for u in np.unique(user[chosen])])
    assert found['teacher', 'ndcg@10']['value'] == pytest.approx(expected), group


def test_unseen_items_are_averaged_within_each_user_first():
  data = dataset()
  rows = ranking_comparison.unseen_rows(Config(), data, {'teacher': contender(NUM_ITEMS, 1)})
  user, item = data.interactions.user, data.interactions.item
  events = np.flatnonzero(data.split.cold_items[item])
  assert len(set(np.bincount(user[events]))) > 2
  for protocol, candidates in (
    (ranking_comparison.UNSEEN_IN_ALL, np.ones(NUM_ITEMS, bool)),
    (ranking_comparison.UNSEEN_ALONE, data.split.cold_items),
  ):
    rank = ranks(data, events, 1, candidates)
    of_user = [np.mean(1 / rank[user[events] == u]) for u in np.unique(user[events])]
    row = values(rows, protocol)['teacher', 'mrr']
    assert row['value'] == pytest.approx(np.mean(of_user), abs=1e-6)
    assert row['value'] != pytest.approx(np.mean(1 / rank), abs=1e-4)
    of_item = [np.mean(1 / rank[item[events] == i]) for i in np.unique(item[events])]
    by_item = values(rows, protocol)['teacher', 'mrr, by item']
    assert by_item['value'] == pytest.approx(np.mean(of_item), abs=1e-6)
    assert by_item['value'] != pytest.approx(row['value'], abs=1e-4)
    # Fewer items than users: they decide how much is known.
    assert row['n'] == by_item['n'] == len(of_item) < len(of_user)


def test_intervals_on_unseen_items_know_that_a_few_items_decide():
  data = dataset()
  one_item = np.zeros((NUM_USERS, NUM_ITEMS), np.float32)
  # Always first with two of the six unseen items, always last with the others.
  one_item[:, -2:], one_item[:, -6:-2] = 1, -1
  models = {'teacher': ComparedModel([lambda asked: one_item[asked.user]])}
  rows = ranking_comparison.unseen_rows(Config(), data, models)
  row = values(rows, ranking_comparison.UNSEEN_IN_ALL)['teacher', 'recall@10']
  # Of six items two are found: with other six it could have been none or four.
  assert row['low'] < 0.1
  assert row['high'] > 0.6


def test_cutoffs_that_hold_every_candidate_are_left_out():
  data = dataset()
  rows = ranking_comparison.unseen_rows(Config(), data, {'teacher': contender(NUM_ITEMS, 1)})
  # 6 unseen items, all of them in any ten.
  assert ('teacher', 'recall@10') not in values(rows, ranking_comparison.UNSEEN_ALONE)
  assert ('teacher', 'recall@50') in values(rows, ranking_comparison.UNSEEN_IN_ALL)
  few = dataset(num_items=9, late_items=2)
  rows = ranking_comparison.ranking_rows(Config(), few, {'teacher': contender(9, 1)})
  assert {row['metric'] for row in rows} == {'ndcg@10', 'mrr'}


def test_no_unseen_item_gives_no_row():
  data = dataset()
  split = dataclasses.replace(data.split, cold_items=np.zeros(NUM_ITEMS, bool))
  data = dataclasses.replace(data, split=split)
  assert ranking_comparison.unseen_rows(Config(), data, {'teacher': contender(NUM_ITEMS, 1)}) == []


def test_interval_of_a_ratio_is_that_of_the_delta_method():
  rng = np.random.default_rng(0)
  baseline = rng.gamma(2.0, size=400)
  student = 0.9 * baseline + rng.normal(scale=0.3, size=400)
  linear = ranking_comparison._linearised_ratio(student, baseline, np.ones(400))
  ratio = student.mean() / baseline.mean()
  assert linear.mean() == pytest.approx(ratio)
  resampled = rng.integers(400, size=(RESAMPLES, 400))
  ratios = student[resampled].mean(1) / baseline[resampled].mean(1)
  assert linear.std(ddof=1) / np.sqrt(400) == pytest.approx(ratios.std(), rel=0.05)
  # The ratios of single users vary far more: their spread would be wrong.
  assert np.std(student / baseline) / np.sqrt(400) > 1.5 * ratios.std()


def test_ratio_of_weighted_means():
  values, baseline, weight = np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 4.0]), [1, 1, 0.5]
  linear = ranking_comparison._linearised_ratio(values, baseline, np.array(weight))
  # (1 + 2 + 3) / (2 + 2 + 2)
  assert np.average(linear, weights=weight) == pytest.approx(1.0)


@pytest.mark.parametrize(
  ('value', 'low', 'high', 'clear'),
  [
    (1.0, 1.0, 1.0, True),
    # Standard errors of a third and of a half.
    (1.01, 1.01 - 1.96 / 3, 1.01 + 1.96 / 3, True),
    (1.0, 1.0 - 1.96 / 2, 1.0 + 1.96 / 2, False),
    (1.0, np.nan, np.nan, False),
  ],
)
def test_no_ratio_to_a_mean_near_zero(value, low, high, clear):
  assert ranking_comparison._is_clearly_positive(Estimate(value, low, high, 20)) == clear


def test_a_sample_of_users_is_judged_and_named():
  data, models = dataset(), {'teacher': contender(NUM_ITEMS, 1)}
  test = data.split.test_event
  every = 1 / ranks(data, test, 1, np.ones(NUM_ITEMS, bool))
  label = ranking_comparison.NEXT_ITEM
  found = {}
  for number in (0, 7, NUM_USERS):
    rows = ranking_comparison.ranking_rows(Config(num_test_users=number), data, models)
    found[number] = values(rows, label)['teacher', 'mrr']
  assert found[0] == found[NUM_USERS] and 'sample' not in found[0]['protocol']
  assert found[0]['value'] == pytest.approx(every.mean())
  assert found[7]['n'] == 7
  said = f'for a random sample of 7 of the {NUM_USERS} users (seed 0)'
  assert found[7]['protocol'].endswith(said)
  chosen, _ = judged_events.sampled(Config(num_test_users=7), data, test)
  assert len(chosen) == 7 and set(chosen) < set(test)
  assert found[7]['value'] == pytest.approx(every[np.isin(test, chosen)].mean())
  other, _ = judged_events.sampled(Config(num_test_users=7, seed=1), data, test)
  assert set(other) != set(chosen)
  unseen = ranking_comparison.unseen_rows(Config(num_test_users=7), data, models)
  # Whichever are fewer, users or items.
  assert max(row['n'] for row in unseen) <= 7
  assert all('sample of 7 of the' in row['protocol'] for row in unseen)
