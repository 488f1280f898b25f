"""What the numbers of a run say in words: every sentence is chosen by an interval."""

from collections.abc import Iterator

from rec_jax.evaluation import two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import findings, numbers
from rec_jax.report.findings import Finding
from rec_jax.report.page import Headline, Summary
from rec_jax.runs import run_results
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import cost, ranking_comparison
from rec_jax.stages.evaluate.compared_models import (
  EASE,
  ID_ONLY,
  POPULARITY,
  RECENT,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
)
from rec_jax.stages.explore import exploration_findings, off_policy_section
from rec_jax.stages.explore.worlds import CATALOGUE, RATED


def summarise(found: Results) -> Summary:
  """Main numbers, what they settle, and what they do not."""
  explored = found.exploration
  sentences = [*_ranking(found), *_unseen(found)]
  for environment in explored['environments']:
    sentences += exploration_findings.balance(environment)
  sentences += exploration_findings.differences(
    explored['cold_start'], 'With nothing learnt before the cut'
  )
  sentences += exploration_findings.differences(
    explored['payoff'], 'In the second half of the stream'
  )
  if explored['off_policy']['rows']:
    sentences.append((True, off_policy_section.conclusion(explored['off_policy'])))
  return Summary(
    headlines=headlines(found),
    conclusions=[sentence for is_settled, sentence in sentences if is_settled],
    limits=[*(sentence for is_settled, sentence in sentences if not is_settled), *_limits(found)],
  )


def headlines(found: Results) -> list[Headline]:
  """The main numbers, each with what to compare it with."""
  return [
    *_model_headlines(found),
    *exploration_findings.headlines(found.exploration['environments']),
  ]


def _model_headlines(found: Results) -> Iterator[Headline]:
  for metric, label in (('recall@10', 'recall@10'), ('ndcg@10', 'NDCG@10')):
    others = {name: _next_item(found, name, metric) for name in (POPULARITY, EASE, ID_ONLY)}
    compared = [f'{name} {numbers.number(e.value)}' for name, e in others.items() if e]
    value = _next_item(found, TEACHER, metric)
    if value:
      yield Headline(f'Teacher, {label}', value, ', '.join(compared))
  kept = _next_item(found, ranking_comparison.ratio_name(STUDENT, TEACHER), 'ndcg@10')
  if kept:
    yield Headline('Student / teacher, NDCG@10', kept, _time_share(found))
  teacher, zero_shot = (
    run_results.find(found, 'evaluate', name, 'recall@10', ranking_comparison.UNSEEN_ALONE)
    for name in (TEACHER, ZERO_SHOT)
  )
  if teacher and zero_shot:
    note = f'{ZERO_SHOT} {numbers.number(zero_shot.value)}'
    yield Headline('Teacher, recall@10 among unseen items', teacher, note)


def _ranking(found: Results) -> Iterator[Finding]:
  for baseline in (POPULARITY, RECENT, EASE, ZERO_SHOT, ID_ONLY):
    pair = ranking_comparison.difference_name(TEACHER, baseline)
    values = {'recall@10': _next_item(found, pair, 'recall@10')}
    values['NDCG@10'] = _next_item(found, pair, 'ndcg@10')
    yield from findings.compared(
      f'In ranking the next item the teacher is {findings.GAP} {baseline}', values
    )
    if findings.sign(values['NDCG@10']) < 0:
      yield True, f'Recommend by {baseline} here, not by the teacher: it ranks better.'
  kept = _next_item(found, ranking_comparison.ratio_name(STUDENT, TEACHER), 'ndcg@10')
  if kept:
    share = numbers.plain(kept)
    yield True, f'The student keeps {share} of the NDCG@10 of the teacher. {_time_share(found)}.'


def _unseen(found: Results) -> Iterator[Finding]:
  pair = ranking_comparison.difference_name(TEACHER, ZERO_SHOT)
  # Users and items each alike: where the two disagree nothing is settled.
  metrics = [f'recall@10{suffix}' for suffix in ('', two_way.BY_ITEM)]
  values = {
    protocol: {
      metric: run_results.find(found, 'evaluate', pair, metric, protocol) for metric in metrics
    }
    for protocol in (ranking_comparison.UNSEEN_IN_ALL, ranking_comparison.UNSEEN_ALONE)
  }
  if not any(value for each in values.values() for value in each.values()):
    yield False, 'Nothing is said about unseen items: no event after the cut is on such an item.'
  else:
    yield (
      False,
      'Intervals on unseen items are over users and items: a few items get most of the events, and '
      'over users alone differences would look settled that these items decide.',
    )
  for protocol, differences in values.items():
    where = protocol.removeprefix('unseen items ')
    items = f'On items never seen in training ({where})'
    claim = f'{items} the teacher is {findings.GAP} {ZERO_SHOT}'
    yield from findings.compared(claim, differences)
    name = ranking_comparison.ratio_name(STUDENT, TEACHER)
    kept = run_results.find(found, 'evaluate', name, 'recall@10', protocol)
    if kept:
      share = numbers.plain(kept)
      yield True, f'{items} the student keeps {share} of the recall@10 of the teacher.'


def _limits(found: Results) -> Iterator[str]:
  config, explored = found.manifest['config'], found.exploration['environments']
  if younger := found.dataset['younger_share']:
    yield (
      f'Of the training events {younger:.0%} are younger than the item to predict, on average over '
      'users: in use no model would have them. --config.data.split=global_time leaves them out.'
    )
  names = {environment['name'] for environment in explored}
  if CATALOGUE in names:
    yield (
      'In the whole catalogue an item that the user has no event with after the cut counts as 0: '
      'rewards are lower bounds and favour items that many people find by themselves.'
    )
  if RATED in names:
    yield (
      'Users chose the rated candidates themselves, which makes greedy strong there.'
      if found.has_ratings
      else 'Feedback is implicit: the rated candidates mix what the user met after the cut with '
      'sampled items that the user never touched, and these count as 0.'
    )
  yield from exploration_findings.named_after_the_fact(explored)
  yield (
    f'One data set, {found.dataset["name"]}, and one time cut: other data may order the methods '
    'differently.'
  )
  seeds = config['num_seeds']
  yield (
    'One training seed: intervals say how numbers change with other users, not with other seeds.'
    if seeds == 1
    else f'{seeds} training seeds: intervals are over users; the spread over seeds stands apart. '
    'Policies explore with the models of the first seed alone.'
  )


def _next_item(found: Results, subject: str, metric: str) -> Estimate | None:
  return run_results.find(found, 'evaluate', subject, metric, ranking_comparison.NEXT_ITEM)


def _time_share(found: Results) -> str:
  times = found.timings['evaluate']
  share = times[cost.timing_name(STUDENT)] / times[cost.timing_name(TEACHER)]
  return f'It takes {100 * share:.2g} % of the time to encode and score unseen text'
