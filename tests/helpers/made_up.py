"""A run that never happened, for the tests of the report: every number is given."""

import dataclasses
import functools
import math

import numpy as np

from rec_jax.evaluation import two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report.figures import Curve
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import (
  compared_models,
  cost,
  known_and_new,
  ranking_comparison,
  recommended_lists,
)
from rec_jax.stages.explore.off_policy_check import ESTIMATORS
from rec_jax.stages.finetune import new_items
from rec_jax.stages.pretrain import judgement

MODELS = (
  compared_models.POPULARITY,
  compared_models.RECENT,
  compared_models.EASE,
  compared_models.ID_ONLY,
  compared_models.ZERO_SHOT,
  compared_models.TEACHER,
  compared_models.STUDENT,
)
BY_ITEM = f'recall@10{two_way.BY_ITEM}'


def json_estimate(value, half=0.01, n=200):
  """As `summary.json` holds it; without `half` the bounds are unknown."""
  low, high = (None, None) if half is None else (value - half, value + half)
  return {'value': value, 'low': low, 'high': high, 'n': n}


def row(
  subject, metric, value, half=0.01, protocol=ranking_comparison.NEXT_ITEM, stage='evaluate', n=200
):
  half = math.nan if half is None else half
  estimate = Estimate(value, value - half, value + half, n)
  return runs.estimate_row(stage, subject, metric, estimate, protocol)


def policy(name, reward, features='none', difference=None, ten=50.0, half=0.02, rounds=40):
  """A policy whose curves are flat."""
  band = {end: [reward] * rounds for end in ('value', 'low', 'high')}
  return {
    'name': name,
    'features': features,
    'reward': json_estimate(reward, half),
    'regret': json_estimate(0.9 - reward, half),
    'distinct_items': json_estimate(2 * ten, None, 32),
    'items_10_exposures': json_estimate(ten, 1.0, 32),
    'cold_share': json_estimate(0.02, 0.001),
    'reward_new_users': json_estimate(reward, half, 150),
    'distinct_items_new_users': json_estimate(ten, 1.0, 32),
    'cold_share_new_users': json_estimate(0.02, 0.001, 150),
    'difference': difference,
    'curve': {'round': list(range(1, rounds + 1)), 'reward': band, 'regret': band},
  }


def environment(name='whole catalogue', policies=None, frontiers=()):
  """An environment in which a policy beats greedy, unless others are given."""
  greedy = policy('popularity greedy', 0.25, difference=json_estimate(0.0, 0.0))
  best = policy('linear Thompson', 0.32, 'teacher', json_estimate(0.07), ten=120.0)
  return {
    'name': name,
    'protocol': '20 visits a user, 32 seeds',
    'baseline': 'popularity greedy',
    'rounds': 40,
    'users': 200,
    'seeds': 32,
    'policies': [greedy, best] if policies is None else policies,
    'frontiers': list(frontiers),
  }


def frontier(name='linear Thompson'):
  keys = ('reward', 'distinct_items', 'cold_share')
  values = zip((0.1, 1.0, 3.0), (0.3, 0.32, 0.2), (90, 200, 900), (0.01, 0.02, 0.04), strict=True)
  points = [
    {'strength': strength} | dict(zip(keys, map(json_estimate, numbers), strict=True))
    for strength, *numbers in values
  ]
  return {'name': name, 'strength': 'prior scale', 'points': points}


def valued(name='greedy', truth=0.5, warning='', **estimates):
  """A policy valued from a log: every estimate is right unless another one is given."""
  found = dict.fromkeys(ESTIMATORS, truth) | estimates
  return {
    'name': name,
    'truth': json_estimate(truth, None),
    'estimates': {key: json_estimate(value, 0.03) for key, value in found.items()},
    'effective_sample_size': 321.4,
    'warning': warning,
  }


def exploration(environments=None):
  """What `summary.json` holds."""
  greedy = {'name': 'greedy', 'reward': json_estimate(0.2), 'difference': json_estimate(0.0, 0.0)}
  other = {'name': 'explorer', 'reward': json_estimate(0.3), 'difference': json_estimate(0.1)}
  shown = {'distinct_items': json_estimate(90.0, None), 'items_10_exposures': json_estimate(40.0)}
  halves = {'first_half': json_estimate(0.2), 'second_half': json_estimate(0.3)}
  if environments is None:
    environments = [environment(frontiers=[frontier()]), environment('rated candidates')]
  return {
    'environments': environments,
    'cold_start': {'protocol': 'nothing learnt', 'rows': [greedy | shown, other | shown]},
    'payoff': {'protocol': 'two halves', 'rows': [greedy | halves, other | halves]},
    'off_policy': {'protocol': 'learnt from one half', 'rows': [valued(), valued('other', dm=0.6)]},
    'tuning': {
      'protocol': 'users before the cut',
      'chosen': {'whole catalogue': {'Thompson': {'scale': 0.3}}},
    },
  }


def judged(lead=-0.02, taken=False):
  """Rows of `pretrain`: the continued encoder finds more items than before by `lead`."""
  one = functools.partial(row, stage='pretrain', protocol='items among a fold of the catalogue')
  found = [
    one(judgement.BEFORE, judgement.RETRIEVAL, 0.2),
    one(judgement.CONTINUED, judgement.RETRIEVAL, 0.2 + lead),
    one(judgement.DIFFERENCE, judgement.RETRIEVAL, lead),
    one(judgement.HANDED_ON, judgement.IS_CONTINUED, float(taken), None, n=1),
  ]
  for name in (judgement.BEFORE, judgement.CONTINUED):
    found += [one(name, judgement.MEAN_COSINE, 0.3, None), one(name, judgement.RANK, 150.0, None)]
  return found


def placed(bias=0.5, weight=1.0, place=8.0):
  """Rows of `finetune`: what new items gain and known ones lose, and what is taken."""
  one = functools.partial(row, 'teacher seed 0', stage='finetune', protocol='items as if new')
  chosen = {new_items.BIAS: bias, new_items.WEIGHT: weight, new_items.PLACE: place}
  found = [one(name, value, None) for name, value in chosen.items()]
  for number in (0.0, 0.5, 1.0):
    found.append(one(f'{new_items.WARM}, {new_items.BIAS} {number:g}', 0.12 - 0.02 * number))
    found.append(one(f'{new_items.NEW}, {new_items.BIAS} {number:g}', 0.1 * number))
  return found


def rows(teacher_lead=0.05, half=0.01):
  """Rows of `pretrain` and `evaluate`; the teacher leads every other model by `teacher_lead`."""
  found = [row('untrained head', 'masked_lm_loss', 9.0, stage='pretrain', protocol='mean of texts')]
  found += [*judged(), *placed()]
  for protocol in (
    ranking_comparison.NEXT_ITEM,
    ranking_comparison.UNSEEN_IN_ALL,
    ranking_comparison.UNSEEN_ALONE,
  ):
    for metric in ('recall@10', BY_ITEM, 'recall@50', 'ndcg@10', 'mrr'):
      found += [row(name, metric, 0.1, protocol=protocol) for name in MODELS]
      found += [
        row(ranking_comparison.difference_name(a, b), metric, teacher_lead, half, protocol)
        for a, b in ranking_comparison.PAIRS
      ]
      ratio = ranking_comparison.ratio_name(compared_models.STUDENT, compared_models.TEACHER)
      found.append(row(ratio, metric, 0.97, protocol=protocol))
  for name in MODELS:
    found += [row(name, metric, 0.3, None) for metric in recommended_lists.OF_CATALOGUE]
    found += [row(name, metric, 2.0) for metric in ('popularity@10', 'novelty@10', 'diversity@10')]
    for group in known_and_new.GROUPS:
      found += [row(name, metric, 0.1, protocol=group) for metric in known_and_new.METRICS]
    if name != compared_models.TEACHER:
      found.append(row(name, f'recall@10{ranking_comparison.AGAINST_BEST}', 0.04, None))
  found += [
    row(name, cost.PARAMETERS, 1000, None, 'trained and frozen', n=1)
    for name in (compared_models.TEACHER, compared_models.STUDENT)
  ]
  return [*found, row(compared_models.EASE, 'decay', 0.6, None, ranking_comparison.TUNING, n=1)]


def results(**changes):
  """A whole run; `changes` replace attributes."""
  settings = dataclasses.asdict(Config())
  counts = dict.fromkeys(
    (
      'events',
      'users',
      'items',
      'events_before_cut',
      'users_before_cut',
      'ranked_users',
      'validation_users',
    ),
    500,
  ) | dict.fromkeys(
    ('training_events', 'users_after_cut', 'known_users_after_cut', 'cold_items'), 100
  )
  curve = Curve(np.arange(10, 60, 10), np.linspace(7, 5, 5))
  ranked = {'loss': curve, 'ndcg@10': curve}
  fields = {
    'manifest': {
      'config': settings,
      'seed': 0,
      'device': {'kind': 'cpu', 'host_cores': 2},
      'code_revision': 'abc',
      'versions': {'jax': '0.10'},
    },
    'dataset': {
      'name': 'Made up',
      'licence': 'none',
      'notes': {'rows_left_out': 3},
      'cut': 0.7,
      'split': 'leave_last',
      'younger_share': 0.4,
      'cut_time': '1998-02-09T15:47:51+00:00',
      'counts': counts
      | {'events_on_cold_items': 50, 'corpus_texts': 70}
      | {'item_texts_cut': 3, 'corpus_texts_cut': 4},
      'fingerprint': 'f' * 64,
    },
    'has_ratings': True,
    'rows': rows(),
    'timings': {
      'prepare': {'total': 3.0},
      'evaluate': {
        cost.timing_name(compared_models.TEACHER): 0.2,
        cost.timing_name(compared_models.STUDENT): 0.001,
      },
    },
    'exploration': exploration(),
    'scalars': {
      'pretrain/frozen': {'loss': curve},
      'finetune/teacher': ranked,
      'finetune/id_only': ranked,
      'distil': ranked,
    },
  }
  return Results(**(fields | changes))
