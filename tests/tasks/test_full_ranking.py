"""Queries and their judgement against plain loops."""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.tasks import full_ranking
from rec_jax.types import Interactions

U, N, E, L = 30, 25, 600, 4
THRESHOLD = 4.0


def asking(interactions):
  """What queries are made of: a data set without features."""
  nothing = types.SimpleNamespace(context=lambda events: None)
  return types.SimpleNamespace(interactions=interactions, encoded=nothing)


@pytest.fixture(scope='module')
def dataset():
  rng = np.random.default_rng(0)
  pairs = rng.choice(U * N, E, replace=False)
  interactions = Interactions(
    user=(pairs // N).astype(np.int32),
    item=(pairs % N).astype(np.int32),
    timestamp=np.sort(rng.integers(0, 50, E)),
    rating=rng.integers(1, 6, E).astype(np.float32),
    user_ids=np.arange(U).astype(str),
  )
  return asking(interactions)


def earlier_events(dataset, event):
  """Indices of the user's events before `event`, in order."""
  user = dataset.interactions.user
  return [e for e in range(event) if user[e] == user[event]]


@pytest.fixture(scope='module')
def asked(dataset):
  events = np.random.default_rng(1).permutation(E)[:300]
  return events, full_ranking.queries(dataset, events, L, THRESHOLD)


def test_a_query_knows_what_was_before_its_event(dataset, asked):
  events, queries = asked
  log = dataset.interactions
  unseen = queries.unseen(N)
  for row, event in enumerate(events):
    before = earlier_events(dataset, event)
    window = before[-L:]
    padding = [0] * (L - len(window))
    assert queries.history[row].tolist() == [log.item[e] + 1 for e in window] + padding
    assert queries.rewards[row].tolist() == [int(log.rating[e] >= 4) for e in window] + padding
    times = [log.timestamp[e] - log.timestamp[window[0]] for e in window]
    assert queries.times[row].tolist() == times + padding
    assert (queries.user[row], queries.target[row]) == (log.user[event], log.item[event])
    assert set(np.flatnonzero(~unseen[row])) == {log.item[e] for e in before}


@pytest.mark.parametrize('number', [0, 1, 3, L, L + 1])
def test_of_a_history_the_last_events_are_read_and_the_candidates_stay(dataset, asked, number):
  events, queries = asked
  log, short = dataset.interactions, queries.last(number)
  for row, event in enumerate(events):
    window = earlier_events(dataset, event)[-L:]
    window = window[len(window) - min(number, len(window)) :]
    padding = [0] * (L - len(window))
    assert short.history[row].tolist() == [log.item[e] + 1 for e in window] + padding
    assert short.rewards[row].tolist() == [int(log.rating[e] >= 4) for e in window] + padding
    times = [log.timestamp[e] - log.timestamp[window[0]] for e in window]
    assert short.times[row].tolist() == times + padding
  for table in ('history', 'rewards', 'times'):
    assert getattr(short, table).dtype == getattr(queries, table).dtype
  np.testing.assert_array_equal(short.unseen(N), queries.unseen(N))
  np.testing.assert_array_equal(short.target, queries.target)


def test_where_events_repeat_all_items_are_candidates(dataset, asked):
  log = dataset.interactions
  assert not log.has_repeats and not asked[1].repeats
  assert full_ranking.excluded(log) == 'seen items excluded'
  item = log.item.copy()
  own = np.flatnonzero(log.user == log.user[0])
  item[own[-1]] = item[own[0]]
  again = asking(dataclasses.replace(log, item=item))
  assert again.interactions.has_repeats
  assert full_ranking.excluded(again.interactions) == 'seen items included'
  queries = full_ranking.queries(again, own[-1:], L, THRESHOLD)
  assert queries.unseen(N).all() and queries.take(np.array([0, 0])).repeats
  # The answer is an item of the history, and is found.
  best = full_ranking.rank_targets(
    lambda part: jnp.eye(N)[part.target], queries, np.ones(N, bool), (1,)
  )
  assert best['recall@1'].tolist() == [1]


def test_without_ratings_every_event_is_liked(dataset):
  implicit = asking(dataclasses.replace(dataset.interactions, rating=None))
  queries = full_ranking.queries(implicit, np.arange(E), L, THRESHOLD)
  np.testing.assert_array_equal(queries.rewards, queries.history > 0)


def test_taking_rows_is_asking_for_their_events(dataset, asked):
  events, queries = asked
  rows = np.array([5, 0, 5, 299])
  taken, expected = queries.take(rows), full_ranking.queries(dataset, events[rows], L, THRESHOLD)
  for field in dataclasses.fields(full_ranking.Queries):
    np.testing.assert_array_equal(getattr(taken, field.name), getattr(expected, field.name))


def test_more_queries_than_a_chunk_are_judged_like_a_loop(asked):
  _, queries = asked
  assert len(queries) % full_ranking._CHUNK
  candidates = np.arange(N) % 7 != 0
  table = np.random.default_rng(2).normal(size=(U, N)).astype(np.float32)
  sizes = []

  def score(part):
    sizes.append(len(part))
    return jnp.asarray(table[part.user])

  judged = full_ranking.rank_targets(score, queries, candidates, (3, 10))
  assert sizes == [full_ranking._CHUNK] * 2
  unseen = queries.unseen(N)
  for row, (user, target) in enumerate(zip(queries.user, queries.target, strict=True)):
    allowed = np.flatnonzero(unseen[row] & candidates)
    ranked = allowed[np.argsort(-table[user][allowed])].tolist()
    place = ranked.index(target) + 1 if target in ranked else np.inf
    for k in (3, 10):
      assert judged[f'recall@{k}'][row] == (place <= k)
      gain = 1 / np.log2(1 + place) if place <= k else 0
      np.testing.assert_allclose(judged[f'ndcg@{k}'][row], gain, rtol=1e-6)
    np.testing.assert_allclose(judged['mrr'][row], 1 / place, rtol=1e-6)
    top = ranked[:10]
    assert judged['top'][row][: len(top)].tolist() == top
  # The repeated queries of the last chunk are not counted.
  assert len(judged['mrr']) == len(queries)


def test_sampled_negatives_are_labelled_and_as_many_as_there_are_give_the_full_ranking(asked):
  _, queries = asked
  table = np.random.default_rng(3).normal(size=(U, N)).astype(np.float32)
  everything = np.ones(N, bool)

  def rank(**options):
    return full_ranking.rank_targets(lambda part: table[part.user], queries, everything, **options)

  full, some, all_of_them = rank(), rank(num_negatives=4), rank(num_negatives=N)
  assert all(name.endswith(' among 4 sampled') for name in set(some) - {'top'})
  for name in set(full) - {'top'}:
    np.testing.assert_array_equal(all_of_them[f'{name} among 25 sampled'], full[name])
  # At most five compete, the target among them.
  assert ((some['top'] >= 0).sum(1) <= 5).all() and (some['mrr among 4 sampled'] >= 1 / 5).all()
  # A rank r among n negatives is r' with 1 + (r - 1) 4 / n on average.
  number = queries.unseen(N).sum(1) - 1
  expected = 1 + (1 / full['mrr'] - 1) * np.minimum(4 / np.maximum(number, 1), 1)
  assert (1 / some['mrr among 4 sampled']).mean() == pytest.approx(expected.mean(), abs=0.2)
  again, other = rank(num_negatives=4), rank(num_negatives=4, seed=1)
  np.testing.assert_array_equal(again['top'], some['top'])
  assert (other['top'] != some['top']).any()


def test_fewer_items_than_the_cutoff(dataset):
  queries = full_ranking.queries(dataset, np.arange(100, 110), L, THRESHOLD)
  few = dataclasses.replace(
    queries,
    target=queries.target % 6,
    seen_items=queries.seen_items[:0],
    seen_offsets=np.zeros(len(queries) + 1, int),
  )
  judged = full_ranking.rank_targets(
    lambda part: jnp.zeros((len(part), 6)), few, np.ones(6, bool), (10, 50)
  )
  assert judged['top'].shape == (10, 6)
  np.testing.assert_array_equal(judged['recall@50'], 1)


def test_a_large_catalogue_is_ranked_for_fewer_queries_at_once(asked, monkeypatch):
  _, queries = asked
  table = np.random.default_rng(4).normal(size=(U, N)).astype(np.float32)
  sizes = set()

  def score(part):
    sizes.add(len(part))
    return table[part.user]

  whole = full_ranking.rank_targets(score, queries, np.ones(N, bool))
  monkeypatch.setattr(full_ranking, '_MOST_AT_ONCE', 70 * N)
  parts = full_ranking.rank_targets(score, queries, np.ones(N, bool))
  assert sizes == {full_ranking._CHUNK, 70}
  for name, values in whole.items():
    np.testing.assert_array_equal(parts[name], values, name)
  monkeypatch.setattr(full_ranking, '_LARGE', N - 1)
  few = full_ranking.rank_targets(score, queries.take(np.arange(5)), np.ones(N, bool))
  assert sizes == {full_ranking._CHUNK, 70, 8}
  np.testing.assert_array_equal(few['mrr'], whole['mrr'][:5])


@pytest.mark.parametrize(
  ('num_items', 'size'), [(1, 256), (1682, 256), (62_423, 256), (10**6, 33), (2**26, 1)]
)
def test_how_many_queries_are_scored_at_once_follows_from_the_catalogue(num_items, size):
  assert full_ranking.at_once(num_items) == size
