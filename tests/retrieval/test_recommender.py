"""Answers beside the model's own scores of the whole catalogue, and what is refused."""

import re

import numpy as np
import pytest

from rec_jax.models.student import Student
from rec_jax.retrieval import served_model
from rec_jax.retrieval.padding import Asked
from rec_jax.types import InputError
from tests.helpers import served

DATA = served.dataset()
N = DATA.items.num_items
IDS = DATA.items.ids.tolist()
# None, few, more than the model reads, and all but a few.
HISTORIES = (
  [],
  [('i3', True), ('i5', False), 'i20'],
  [(f'i{i}', i % 3 > 0) for i in range(12)],
)


@pytest.fixture(scope='module')
def models():
  taught = served.teacher(DATA)
  return {'teacher': taught, 'student': served.student(taught, DATA)}


@pytest.fixture(scope='module', params=['student', 'teacher'])
def both(request, models):
  """(model, recommender)."""
  model = models[request.param]
  return model, served.recommender(model, models['teacher'], DATA)


def arrays(history):
  """[1, L] each, of the last L events."""
  pairs = [(each, True) if isinstance(each, str) else each for each in history]
  made = np.zeros((2, 1, served.LENGTH), np.int32)
  for place, (item, liked) in enumerate(pairs[-served.LENGTH :]):
    made[:, 0, place] = IDS.index(item) + 1, liked
  return made


def by_hand(model, history, candidates):
  """Ids and logits of the candidates [N], the best first, by the score of the task."""
  logits = np.asarray(served.score(model)(model, *arrays(history), ~candidates[None]))[0]
  order = [row for row in np.argsort(-logits, kind='stable') if candidates[row]]
  return [IDS[row] for row in order], logits[order]


def unseen(history):
  seen = {each if isinstance(each, str) else each[0] for each in history}
  return np.array([each not in seen for each in IDS])


def check(answer, ids, scores, k):
  assert [item.id for item in answer.items] == ids[:k]
  np.testing.assert_allclose(
    [item.score for item in answer.items], scores[:k], rtol=2e-5, atol=1e-5
  )


def test_a_list_is_the_ranking_of_the_models_own_score(both):
  model, recommender = both
  answers = recommender.recommend(HISTORIES, 9)
  for history, answer in zip(HISTORIES, answers, strict=True):
    check(answer, *by_hand(model, history, unseen(history)), 9)
    assert answer.from_prior == (not history)
    assert [item.is_cold for item in answer.items] == [
      bool(DATA.split.cold_items[IDS.index(item.id)]) for item in answer.items
    ]
  # What was liked, the order of events and those before the last ten make a difference, or do not.
  changed = [[*reversed(HISTORIES[1])], [(i, not liked) for i, liked in HISTORIES[2]]]
  first, second = recommender.recommend(changed, 9)
  assert first.items != answers[1].items and second.items != answers[2].items
  early = recommender.recommend([HISTORIES[2][2:]], N - 12, blocked=['i0', 'i1'])[0]
  assert early.items == recommender.recommend([HISTORIES[2]], N - 12)[0].items


def test_what_was_seen_is_there_again_if_that_is_wanted(both):
  model, recommender = both
  [answer] = recommender.recommend([HISTORIES[2]], N, exclude_seen=False)
  check(answer, *by_hand(model, HISTORIES[2], np.ones(N, bool)), N)


def test_constraints_are_exact(both):
  model, recommender = both
  kind = np.array([served.KINDS[i % 3] for i in range(N)])
  for options, candidates in (
    ({'allowed': {'kind': 'red'}}, kind == 'red'),
    ({'allowed': {'kind': ['red', 'blue']}, 'blocked': ['i0', 'i23']}, kind != 'green'),
    ({'blocked': {'kind': 'red'}}, kind != 'red'),
    ({'allowed': ['i1', 'i2', 'i22', 'i7']}, np.isin(np.arange(N), (1, 2, 22, 7))),
  ):
    candidates = candidates & ~np.isin(IDS, options.get('blocked', [])) & unseen(HISTORIES[1])
    ids, scores = by_hand(model, HISTORIES[1], candidates)
    [answer] = recommender.recommend([HISTORIES[1]], len(ids), **options)
    check(answer, ids, scores, len(ids))


def test_padding_changes_nothing_and_no_size_of_a_request_compiles(both):
  _, recommender = both
  histories = [[f'i{i}' for i in range(number)] for number in range(9)]
  alone = [recommender.recommend([history], 5)[0] for history in histories]
  recommender.recommend(histories, 5)
  compiled = served_model.rank._cache_size()
  for answer, one in zip(recommender.recommend(histories, 5), alone, strict=True):
    assert [item.id for item in answer.items] == [item.id for item in one.items]
    np.testing.assert_allclose(
      [item.score for item in answer.items], [item.score for item in one.items], atol=1e-5
    )
  for number, k in ((1, 1), (9, 3), (12, 8)):
    recommender.recommend(histories[:number], k)
  assert served_model.rank._cache_size() == compiled
  assert recommender.recommend([], 5) == []


def test_pairs_have_the_score_of_the_model(both):
  model, recommender = both
  pairs = [(history, item) for history in HISTORIES for item in ('i13', 'i21')]
  expected = []
  for history, item in pairs:
    ids, scores = by_hand(model, history, unseen(history))
    expected.append(scores[ids.index(item)])
  np.testing.assert_allclose(recommender.score(pairs), expected, rtol=2e-5, atol=1e-5)
  assert recommender.score([]).shape == (0,)


def test_alike_is_what_points_the_same_way(both):
  model, recommender = both
  vectors = model.item_vectors() if isinstance(model, Student) else model.towers.items.vectors()
  vectors = np.asarray(vectors, np.float64)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  for row, found in zip((3, 22), recommender.similar_items(['i3', 'i22'], 6), strict=True):
    cosine = vectors @ vectors[row]
    cosine[row] = -np.inf
    order = np.argsort(-cosine)[:6]
    assert [item.id for item in found] == [IDS[each] for each in order]
    np.testing.assert_allclose([item.score for item in found], cosine[order], atol=1e-5)


@pytest.mark.parametrize('kind', ['student', 'teacher'])
def test_an_item_added_by_its_text_is_where_the_model_has_it(models, kind):
  whole, number = models[kind], N - 2
  part = served.first_items(whole, DATA, number)
  recommender = served.recommender(part, models['teacher'], DATA, number)
  added = DATA.items.text[number:].tolist()
  recommender.add_items(IDS[number:], added, {'kind': ['red', ['blue', 'old']]})
  for history in HISTORIES[:2]:
    ids, scores = by_hand(whole, history, unseen(history))
    [answer] = recommender.recommend([history], len(ids))
    assert {item.id: item.is_cold for item in answer.items}[IDS[-1]]
    np.testing.assert_allclose([item.score for item in answer.items], scores, rtol=1e-4, atol=1e-4)
    assert [item.id for item in answer.items] == ids
  [answer] = recommender.recommend([[]], 1, allowed={'kind': 'old'})
  assert answer.items[0].id == IDS[-1]


def test_an_item_is_added_whole_whatever_its_attributes(models):
  recommender = served.recommender(models['student'], models['teacher'], DATA)
  text, colour = DATA.items.text[0], 'mauve'
  attributes = {'kind': [colour, None, 7], 'price': [3.5, None, ['low', None]]}
  recommender.add_items(['a', 'b', 'c'], [text] * 3, attributes)
  assert len(recommender.catalogue) == recommender._everything.sum() == N + 3
  assert recommender.catalogue.attribute('kind')[N:] == [(colour,), (), ('7',)]
  # One that the others do not have.
  assert recommender.catalogue.attribute('price')[N - 1 :] == [(), ('3.5',), (), ('low',)]
  [answer] = recommender.recommend([['b']], 1, allowed={'kind': 7})
  assert answer.items[0].id == 'c'


def test_items_take_spare_rows_and_their_number_doubles(models):
  recommender = served.recommender(models['student'], models['teacher'], DATA)
  before = recommender.recommend([HISTORIES[1]], 15)
  text, capacity = DATA.items.text[-1], len(recommender._everything)
  recommender.add_items(['n0'], [text])
  compiled = served_model.rank._cache_size()
  recommender.add_items([f'n{i}' for i in range(1, 20)], [text] * 19)
  recommender.recommend([HISTORIES[1]], 15)
  assert served_model.rank._cache_size() == compiled
  rest = [f'n{i}' for i in range(20, capacity)]
  recommender.add_items(rest, [text] * len(rest))
  assert len(recommender._everything) == 2 * capacity
  added = [f'n{i}' for i in range(capacity)]
  [answer] = recommender.recommend([HISTORIES[1]], 15, blocked=added)
  check(answer, [i.id for i in before[0].items], [i.score for i in before[0].items], 15)
  same = recommender.score([(HISTORIES[1], 'n3'), (HISTORIES[1], rest[-1])])
  assert same[0] == same[1]


def test_reasons_are_what_events_add(both):
  _, recommender = both
  history, items = HISTORIES[1], ['i7', 'i21']
  vectors = recommender._model.vectors[...]
  linear, trend = recommender._model.linear, recommender._model.trend[...]
  for reason, item in zip(recommender.explain(history, items), items, strict=True):
    row = IDS.index(item)
    found = {each.id: each for each in reason.contributions}
    for age, event in enumerate(('i20', 'i5', 'i3')):
      product = linear.given[...][IDS.index(event)] @ vectors[row, 8:]
      np.testing.assert_allclose(found[event].linear, 0.8**age * product, atol=1e-5)
    totals = [each.total for each in reason.contributions]
    assert totals == sorted(totals, reverse=True)
    assert reason.trend == float(trend[row])
    # Without the last event: what is learnt is all but the linear path and the prior.
    learnt = []
    for events in (history, history[:2]):
      asked = Asked(*arrays(events), np.zeros((1, served.LENGTH), np.int32), np.zeros((1, 0)))
      users = served_model.user_vectors(recommender._model, asked)
      learnt.append(float(users[0, :8] @ vectors[row, :8]))
    np.testing.assert_allclose(found['i20'].learnt, learnt[0] - learnt[1], atol=1e-5)
    cosine = {
      event: float(vectors[IDS.index(event)] @ vectors[row])
      / float(np.linalg.norm(vectors[IDS.index(event)]) * np.linalg.norm(vectors[row]))
      for event in found
    }
    assert reason.nearest[0] == max(cosine, key=cosine.get)
    np.testing.assert_allclose(reason.nearest[2], max(cosine.values()), atol=1e-5)
  [reason] = recommender.explain([], ['i7'])
  assert reason.nearest is None and reason.contributions == ()
  assert reason.trend == float(trend[IDS.index('i7')]) != 0


@pytest.mark.parametrize(
  ('arguments', 'options', 'message'),
  [
    (([['i3', 'thing 77']], 3), {}, '"thing 77" in the catalogue: did you mean "Thing 7'),
    (([['ii3']], 3), {}, '"ii3" in the catalogue: did you mean "Thing 3 (1983)" (i3)'),
    (([['qq'] * 9], 3), {}, 'catalogue; no item "qq" in the catalogue; 6 more unknown'),
    (([['i3']], N), {}, f'k is {N}, but {N - 1} items are left'),
    (([['i3']], 1), {'unknown': 'ignore'}, 'unknown is "ignore": say refuse or skip'),
    (([['i3']], 0), {}, 'ask for one item or more'),
    (([['i3']], 1), {'allowed': {'kind': 'rad'}}, 'no item has kind "rad": there is red'),
    (([['i3']], 1), {'blocked': IDS}, 'leave no item'),
    (([['i3']], 1), {'allowed': ['i3']}, 'k is 1, but 0 items are left'),
    ((['i3'], 1), {}, 'a history is a list of ids'),
    (([['i3']], 1), {'explore': 'no_such'}, 'unknown policy'),
    (([['i3']], 1), {'explore': 'lin_ts', 'settings': {'scale': -1.0}}, 'scale = -1'),
    (([['i3']], 1), {'explore': 'exp4'}, 'a history teaches it nothing'),
  ],
)
def test_what_cannot_be_is_said_in_one_line(both, arguments, options, message):
  with pytest.raises(InputError, match=re.escape(message)) as error:
    both[1].recommend(*arguments, **options)
  assert '\n' not in str(error.value)


def test_unknown_events_are_skipped_if_that_is_wanted(both):
  _, recommender = both
  [answer] = recommender.recommend([['gone', ('i3', False), 'i5']], 5, unknown='skip')
  assert answer.skipped == ('gone',)
  assert answer.items == recommender.recommend([[('i3', False), 'i5']], 5)[0].items
  [answer] = recommender.recommend([['gone']], 5, unknown='skip')
  assert answer.from_prior


def test_what_cannot_be_added_changes_nothing(both):
  _, recommender = both
  text = DATA.items.text[0]
  for ids, texts, message in (
    (['i3'], [text], 'already'),
    (['a', 'a'], [text, text], 'already'),
    (['a'], [' '], 'empty text'),
    (['a'], [], '1 ids and 0 texts'),
  ):
    with pytest.raises(InputError, match=message):
      recommender.add_items(ids, texts)
  assert len(recommender.catalogue) == N
  recommender.add_items([], [])


def test_a_damaged_model_or_that_of_another_catalogue_is_not_served(models):
  taught = models['teacher']
  with pytest.raises(InputError, match=f'knows {N} items and the catalogue has {N - 1}'):
    served.recommender(taught, taught, DATA, N - 1)
  broken = served.first_items(taught, DATA, N)
  broken.towers.items.id.embedding[...] = broken.towers.items.id.embedding[...].at[0, 0].set(np.nan)
  with pytest.raises(InputError, match='not all finite'):
    served.recommender(broken, taught, DATA)
