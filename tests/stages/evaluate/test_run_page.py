"""The page and the tables of a run, from numbers that are given."""

import dataclasses
import html
import re

import pytest

from rec_jax.data import split_protocols
from rec_jax.report import page
from rec_jax.stages.evaluate import (
  conclusions,
  judged_events,
  model_sections,
  ranking_comparison,
  run_page,
)
from rec_jax.stages.evaluate.compared_models import STUDENT, TEACHER
from rec_jax.stages.explore import exploration_sections
from rec_jax.stages.finetune import new_items_figure
from rec_jax.stages.prepare import data_section
from rec_jax.stages.pretrain import encoder_section
from tests.helpers import made_up


def text_of(path):
  content = re.sub(r'<style>.*?</style>|<[^>]+>', ' ', path.read_text(), flags=re.DOTALL)
  return ' '.join(html.unescape(content).split())


def written(tmp_path, **changes):
  run_page.write(made_up.results(**changes), tmp_path / 'index.html')
  return text_of(tmp_path / 'index.html')


def test_page_holds_every_part_of_a_run(tmp_path):
  text = written(tmp_path)
  for part in (
    'rec_jax on Made up',
    'What to conclude',
    'What not to conclude',
    'Loss on what was held out',
    'Ranking the next item',
    'Items never seen in training',
    'Cost of teacher and student',
    'Reward against exploration: whole catalogue',
    'Regret and reward by round: rated candidates',
    'Cold start: nothing learnt before the cut',
    'Payoff: explore first, then exploit',
    'linear Thompson, teacher features',
    'scale = 0.3',
    'rows left out 3',
    'decay 0.6',
  ):
    assert part in text, part
  # Encoder; differences and learning curves; unseen items by two protocols, room for new ones;
  # two environments.
  assert (tmp_path / 'index.html').read_text().count('<img') == 1 + 4 + 4 + 2 + 8


def test_shares_are_in_per_cent_and_counts_of_equal_seeds_have_no_interval():
  tables = exploration_sections.environment_section(made_up.environment()).tables
  best = dict(zip(tables[0].columns, tables[0].rows[0], strict=True))
  assert best['policy'] == 'linear Thompson, teacher features'
  assert best['exposure on cold items, %'].value == pytest.approx(2.0)
  assert best['exposure on cold items, %'].high == pytest.approx(2.1)
  assert best['distinct items'] == 240.0
  greedy = dict(zip(tables[0].columns, tables[0].rows[1], strict=True))
  assert greedy['less popularity greedy'] is None
  assert greedy['reward a visit'].value == 0.25


def test_only_as_many_curves_as_can_be_told_apart():
  others = [made_up.policy(f'policy {i}', i / 20) for i in range(12)]
  greedy = made_up.policy('popularity greedy', 0.25)
  section = exploration_sections.environment_section(
    made_up.environment(policies=[*others, greedy])
  )
  names = [entry.label for entry in section.figures[1].legend]
  assert len(section.tables[0].rows) == 13
  # Short names are written at the curves, so the legend of the figure is empty.
  assert names == []
  longer = [made_up.policy(f'a policy with quite a long name {i}', i / 20) for i in range(12)]
  section = exploration_sections.environment_section(
    made_up.environment(policies=[*longer, greedy])
  )
  names = [entry.label for entry in section.figures[1].legend]
  best = [f'a policy with quite a long name {i}' for i in (11, 10, 9, 8, 7)]
  assert names == ['popularity greedy', *best, 'a policy with quite a long name 0']


def test_page_of_tiny_tables_says_what_is_left_out(tmp_path):
  next_item = [
    row
    for row in made_up.rows()
    if row['protocol'] not in (ranking_comparison.UNSEEN_IN_ALL, ranking_comparison.UNSEEN_ALONE)
    and row['metric'] not in ('recall@10', 'coverage@10')
  ]
  explored_nothing = made_up.exploration(
    [made_up.environment(policies=[]), made_up.environment('rated candidates', policies=[])]
  ) | {'cold_start': None, 'payoff': None, 'tuning': {'protocol': 'nothing', 'chosen': {}}}
  text = written(
    tmp_path, rows=next_item, exploration=explored_nothing, has_ratings=False, scalars={}
  )
  assert 'Left out for want of candidates (next item): recall@10, coverage@10.' in text
  assert 'No event after the cut is on such an item.' in text
  assert 'Nothing could be rolled out: 20 visits a user' in text
  assert 'implicit: an event is a reward' in text


def test_spread_over_seeds_stands_below_the_table():
  spread = made_up.row(ranking_comparison.spread_name(TEACHER), 'recall@10', 0.0071, None, n=5)

  def note(rows):
    return model_sections._ranking(made_up.results(rows=rows)).tables[0].note

  said = 'Standard deviation over training seeds: teacher recall@10 0.0071.'
  assert said in note([*made_up.rows(), spread])
  assert 'Standard deviation' not in note(made_up.rows())


def test_times_are_in_a_unit_in_which_they_can_be_read():
  *_, section = model_sections.sections(made_up.results())
  [table] = section.tables
  assert table.columns[2] == 'milliseconds'
  assert [row[2] for row in table.rows] == ['200', '1.00']


def test_terminal_shows_models_and_the_best_policy_beside_its_baseline():
  lines = run_page.terminal_tables(made_up.results()).splitlines()
  assert [line.split('  ')[0] for line in lines[2:9]] == list(model_sections.MODELS)
  assert 'popularity greedy' in lines[-4]
  assert 'linear Thompson, teacher features' in lines[-3]
  assert all(len(line) <= 100 for line in lines)


def test_policies_of_an_environment_without_new_users():
  policies = made_up.environment()['policies']
  known = [
    {key: value for key, value in policy.items() if not key.endswith('new_users')}
    for policy in policies
  ]
  assert (
    len(exploration_sections.environment_section(made_up.environment(policies=known)).tables) == 1
  )


def test_an_environment_without_cold_items_does_not_speak_of_them():
  environment = made_up.environment(frontiers=[made_up.frontier()])
  for each in (*environment['policies'], *environment['frontiers'][0]['points']):
    for key in [key for key in each if key.startswith('cold_share')]:
      del each[key]
  section = exploration_sections.environment_section(environment)
  assert len(section.tables) == 2  # All users, and new ones alone.
  assert not any(
    'cold' in text for table in section.tables for text in (*table.columns, table.note)
  )
  assert len(section.figures[0].panels) == 1


def test_first_the_usual_metrics_then_what_is_recommended_and_to_whom():
  ranking = next(model_sections.sections(made_up.results()))
  first, lists, groups = ranking.tables
  assert first.columns[:3] == ['model', 'recall@10', 'NDCG@10'] and 'p, recall' in first.columns
  by_model = {row[0]: dict(zip(first.columns, row, strict=True)) for row in first.rows}
  assert by_model['EASE']['p, recall'] == 0.04 and by_model['teacher']['p, recall'] is None
  # Serendipity was not measured in this run.
  assert 'Gini' in lists.columns and 'serendipity' not in lists.columns
  assert groups.columns == ['model', 'known users', 'new users', 'known items', 'new items']


@pytest.mark.parametrize('protocol', split_protocols.PROTOCOLS)
def test_every_split_is_told_of(protocol):
  results = made_up.results()
  results = dataclasses.replace(results, dataset={**results.dataset, 'split': protocol})
  meaning = {row[0]: row[2] for row in data_section.section(results).tables[0].rows}
  assert 'test' in meaning['ranked users'] and 'fitted on' in meaning['training events']
  assert protocol in judged_events.JUDGED


def test_every_table_has_a_caption_that_explains_it():
  found = made_up.results()
  sections = [encoder_section.section(found), *model_sections.sections(found)]
  sections += exploration_sections.sections(found)
  tables = [table for section in sections for table in section.tables]
  assert len(tables) == 14
  assert all(isinstance(table, page.Table) and len(table.note) > 60 for table in tables)


@pytest.mark.parametrize(
  ('lead', 'taken', 'said'),
  [
    (-0.02, False, 'finds fewer; the later stages build on the encoder as it was'),
    (-0.02, True, 'finds fewer; the later stages build on it.'),
    (0.0, True, 'finds as many or more; the later stages build on it.'),
  ],
)
def test_the_page_says_which_encoder_is_handed_on(lead, taken, said):
  found = made_up.results()
  found = dataclasses.replace(found, rows=[*found.rows[:1], *made_up.judged(lead, taken)])
  (table,) = encoder_section.section(found).tables[1:]
  assert said in table.note
  # Isotropy has no interval that could be shown as unknown.
  assert table.rows[0][2:] == [0.3, 150.0]
  assert [row[0] for row in table.rows] == [
    'encoder before',
    'continued encoder',
    'continued minus before, paired',
  ]


@pytest.mark.parametrize(
  ('taken', 'said'), [(False, 'build on the encoder as it was before.'), (True, 'build on it.')]
)
def test_the_page_says_where_nothing_judges_the_encoder(taken, said):
  found = made_up.results()
  (decided,) = (row for row in made_up.judged(taken=taken) if row['metric'] == 'is_continued')
  found = dataclasses.replace(found, rows=[found.rows[0], decided])
  section = encoder_section.section(found)
  assert 'nothing judges the continued encoder' in section.text
  assert section.text.endswith(said)
  assert 'nothing judges' not in encoder_section.section(made_up.results()).text


def test_the_page_shows_what_new_items_gain_and_known_ones_lose():
  found = made_up.results()
  (figure,) = new_items_figure.trade(found)
  taken = '0.5, and 1 of the log popularity that the text tells, behind 8 known items'
  assert f'Taken: {taken} (teacher seed 0)' in figure.caption
  assert len(figure.panels) == 2
  none = dataclasses.replace(found, rows=[row for row in found.rows if row['stage'] != 'finetune'])
  assert new_items_figure.trade(none) == []


def test_student_comes_last_in_the_models(tmp_path):
  assert list(model_sections.MODELS)[-1] == STUDENT
  assert len(conclusions.headlines(made_up.results())) == 6
