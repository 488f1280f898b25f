"""Sentences are chosen by intervals: each case is built so that one answer is right."""

import math

import pytest

from rec_jax.stages.evaluate import conclusions, ranking_comparison
from rec_jax.stages.explore import exploration_findings, vectors_page, worlds
from tests.helpers import made_up


def sentences(**changes):
  summary = conclusions.summarise(made_up.results(**changes))
  return summary.conclusions, summary.limits


def explored(*policies, name='whole catalogue'):
  environment = made_up.environment(name, list(policies))
  return made_up.exploration([environment]) | {'cold_start': None, 'payoff': None}


GREEDY = made_up.policy('popularity greedy', 0.25)


@pytest.mark.parametrize(
  ('lead', 'half', 'word', 'is_settled'),
  [
    (0.05, 0.01, 'clearly above', True),
    (-0.05, 0.01, 'clearly below', True),
    (0.05, 0.06, 'not clearly above', False),
    (-0.05, 0.06, 'not clearly above', False),
  ],
)
def test_the_interval_settles_how_models_compare(lead, half, word, is_settled):
  settled, open_ = sentences(rows=made_up.rows(lead, half))
  for claim in (
    f'In ranking the next item the teacher is {word} EASE: recall@10',
    f'never seen in training (in the whole catalogue) the teacher is {word} text zero-shot',
    f'never seen in training (among themselves) the teacher is {word} text zero-shot',
  ):
    assert any(claim in sentence for sentence in settled) == is_settled, claim
    assert any(claim in sentence for sentence in open_) != is_settled, claim
  named = any(sentence.startswith('Recommend by EASE here') for sentence in settled)
  assert named == (word == 'clearly below')


def test_metrics_that_disagree_settle_nothing():
  rows = [row for row in made_up.rows() if 'minus' not in row['subject']]
  for metric, half in (('recall@10', 0.01), ('ndcg@10', 0.2)):
    rows.append(
      made_up.row(ranking_comparison.difference_name('teacher', 'id-only'), metric, 0.05, half)
    )
  settled, open_ = sentences(rows=rows)
  assert not any('id-only' in sentence for sentence in settled)
  assert sum('not clearly above id-only' in sentence for sentence in open_) == 1


def test_users_and_items_that_disagree_settle_nothing_of_unseen_items():
  pair = ranking_comparison.difference_name('teacher', 'text zero-shot')
  rows = [row for row in made_up.rows() if row['subject'] != pair]
  where = ranking_comparison.UNSEEN_ALONE
  rows += [
    made_up.row(pair, 'recall@10', 0.05, 0.01, where),
    made_up.row(pair, made_up.BY_ITEM, 0.05, 0.06, where),
  ]
  settled, open_ = sentences(rows=rows)
  claim = 'the teacher is not clearly above text zero-shot: recall@10 '
  assert not any('text zero-shot' in sentence for sentence in settled)
  assert sum(claim in sentence for sentence in open_) == 1


def test_disjoint_intervals_and_overlapping_ones():
  apart = made_up.policy('Thompson', 0.32, difference=made_up.json_estimate(0.07))
  settled, _ = sentences(exploration=explored(GREEDY, apart))
  assert any('two intervals are disjoint' in sentence for sentence in settled)
  near = made_up.policy('Thompson', 0.27, difference=made_up.json_estimate(0.02))
  settled, _ = sentences(exploration=explored(GREEDY, near))
  assert any('two intervals overlap' in sentence for sentence in settled)


def test_greedy_suffices_where_no_paired_interval_is_above_zero():
  same = made_up.policy('Thompson', 0.26, difference=made_up.json_estimate(0.005))
  settled, _ = sentences(exploration=explored(GREEDY, same))
  (sentence,) = [s for s in settled if s.startswith('Whole catalogue')]
  assert sentence.endswith('so greedy suffices here.')
  assert 'best: Thompson, +0.005' in sentence


def test_the_best_policy_is_one_that_its_interval_supports():
  lucky = made_up.policy('lucky', 0.40, difference=made_up.json_estimate(0.15, 0.2))
  sure = made_up.policy('sure', 0.32, difference=made_up.json_estimate(0.07))
  unknown = made_up.policy('unknown', 0.5, difference=made_up.json_estimate(0.2, None))
  best, baseline = exploration_findings.best_policy(
    made_up.environment(policies=[lucky, sure, GREEDY, unknown])
  )
  assert best['name'] == 'sure'
  assert baseline['name'] == 'popularity greedy'
  assert exploration_findings.best_policy(made_up.environment(policies=[GREEDY])) is None
  assert exploration_findings.best_policy(made_up.environment(policies=[lucky, sure])) is None


@pytest.mark.parametrize(
  ('ten', 'word', 'is_settled'), [(100, 'at least', True), (99, 'less than', False)]
)
def test_twice_as_many_items(ten, word, is_settled):
  best = made_up.policy('Thompson', 0.32, difference=made_up.json_estimate(0.07), ten=ten)
  settled, open_ = sentences(exploration=explored(GREEDY, best))
  sentence = f'shows {ten} items at least ten times, {word} twice the 50 of popularity greedy'
  assert any(sentence in s for s in (settled if is_settled else open_))


def test_own_vectors_have_no_cold_items_and_only_drawn_rewards_favour_them():
  best = made_up.policy('Thompson', 0.32, difference=made_up.json_estimate(0.07))
  assert (
    'cold items get 2.0 [1.9, 2.1] % of its exposure'
    in sentences(exploration=explored(GREEDY, best))[1][1]
  )
  own = [{k: v for k, v in policy.items() if 'cold' not in k} for policy in (GREEDY, best)]
  environment = made_up.environment(worlds.OWN, own)
  given, drawn = (vectors_page.summary_of(environment, is_drawn).limits for is_drawn in (0, 1))
  assert given == drawn[:-1]
  assert given[0].endswith('less than twice the 50 of popularity greedy.')
  assert 'right by construction' in drawn[-1]


def test_limits_depend_on_the_run():
  _, limits = sentences()
  assert any('counts as 0' in limit for limit in limits)
  assert any('Users chose the rated candidates' in limit for limit in limits)
  assert any('One training seed' in limit for limit in limits)
  _, limits = sentences(has_ratings=False)
  assert any('sampled items that the user never touched' in limit for limit in limits)
  assert not any('Users chose the rated candidates' in limit for limit in limits)
  manifest = made_up.results().manifest
  manifest['config']['num_seeds'] = 5
  _, limits = sentences(manifest=manifest)
  [limit] = [limit for limit in limits if '5 training seeds' in limit]
  assert limit.endswith('Policies explore with the models of the first seed alone.')


def test_nothing_is_said_of_unseen_items_that_nobody_met():
  rows = [row for row in made_up.rows() if row['protocol'] == ranking_comparison.NEXT_ITEM]
  settled, limits = sentences(rows=rows)
  assert not any('never seen' in sentence for sentence in settled)
  assert any('Nothing is said about unseen items' in limit for limit in limits)
  assert not any('unseen items are over users' in limit for limit in limits)
  _, limits = sentences()
  assert any('unseen items are over users' in limit for limit in limits)


def test_payoff_and_cold_start_name_what_they_are_compared_with():
  settled, _ = sentences()
  assert any('second half of the stream, explorer is clearly above greedy' in s for s in settled)
  assert any(
    'nothing learnt before the cut, explorer is clearly above greedy' in s for s in settled
  )


def test_an_unknown_interval_settles_nothing():
  rows = made_up.rows(half=math.nan)
  settled, open_ = sentences(rows=rows)
  assert not any('clearly above' in sentence for sentence in settled if 'teacher is' in sentence)
  assert any('not clearly above EASE' in sentence for sentence in open_)
