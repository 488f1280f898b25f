"""What the numbers of a run say in words: every sentence is chosen by an interval."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers
from rec_jax.report.page import Headline, Summary
from rec_jax.stages import judging, results
from rec_jax.stages.contenders import EASE, ID_ONLY, POPULARITY, STUDENT, TEACHER, ZERO_SHOT
from rec_jax.stages.results import Results

Json = Mapping[str, Any]
# (whether the interval settles it, sentence)
Finding = tuple[bool, str]


def summary(found: Results) -> Summary:
  """Main numbers, what they settle, and what they do not."""
  findings = [*_ranking(found), *_unseen(found), *_exploration(found)]
  return Summary(
    headlines=headlines(found),
    conclusions=[text for is_settled, text in findings if is_settled],
    limits=[*(text for is_settled, text in findings if not is_settled), *_limits(found)],
  )


def headlines(found: Results) -> list[Headline]:
  """The main numbers, each with what to compare it with."""
  return [*_model_headlines(found), *_policy_headlines(found)]


def best_policy(environment: Json) -> tuple[Json, Json] | None:
  """(best policy, baseline) of an environment; None where there is nothing to compare.

  The best is the one of highest reward among those above the baseline by an interval paired by
  user, else of highest reward among all.
  """
  by_name = {policy['name']: policy for policy in environment['policies']}
  baseline = by_name.pop(environment['baseline'], None)
  if baseline is None or not by_name:
    return None
  above = [policy for policy in by_name.values() if _sign(_difference(policy)) > 0]
  return max(above or by_name.values(), key=lambda policy: policy['reward']['value']), baseline


def _model_headlines(found: Results) -> Iterator[Headline]:
  others = (POPULARITY, EASE, ID_ONLY)
  for metric, label in (('recall@10', 'recall@10'), ('ndcg@10', 'NDCG@10')):
    value = _next_item(found, TEACHER, metric)
    if value is not None:
      yield Headline(f'Teacher, {label}', value, _compared(found, others, metric))
  kept = _next_item(found, judging.ratio_name(STUDENT, TEACHER), 'ndcg@10')
  if kept is not None:
    yield Headline('Student, NDCG@10 relative to the teacher', kept, _time_ratio(found))
  unseen = _unseen_recall(found, TEACHER, judging.UNSEEN_IN_ALL)
  zero_shot = _unseen_recall(found, ZERO_SHOT, judging.UNSEEN_IN_ALL)
  if unseen is not None and zero_shot is not None:
    note = f'{ZERO_SHOT} {numbers.plain(zero_shot)}'
    yield Headline('Teacher, recall@10 of unseen items', unseen, note)


def _policy_headlines(found: Results) -> Iterator[Headline]:
  for environment in found.exploration['environments']:
    pair = best_policy(environment)
    if pair is not None:
      best, baseline = pair
      reward = results.estimate(baseline['reward'])
      note = f'{_title(best)}; {baseline["name"]} {numbers.plain(reward)}'
      yield Headline(
        f'Best reward a visit, {environment["name"]}', results.estimate(best['reward']), note
      )


def _ranking(found: Results) -> Iterator[Finding]:
  for baseline in (POPULARITY, EASE, ID_ONLY):
    name = judging.difference_name(TEACHER, baseline)
    recall, ndcg = (_next_item(found, name, metric) for metric in ('recall@10', 'ndcg@10'))
    if recall is not None and ndcg is not None:
      yield _comparison(
        f'the teacher ranks the next item better than {baseline}', {'recall@10': recall, 'NDCG@10': ndcg}
      )
  kept = _next_item(found, judging.ratio_name(STUDENT, TEACHER), 'ndcg@10')
  if kept is not None:
    yield True, f'The student keeps {_percent(kept)} of the teacher\'s NDCG@10{_at_time(found)}.'
