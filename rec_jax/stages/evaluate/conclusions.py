"""What the numbers of a run say in words: every sentence is chosen by an interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers
from rec_jax.report.page import Headline, Summary
from rec_jax.runs import run_results
from rec_jax.runs.run_results import Results
from rec_jax.stages.evaluate import cost, ranking_comparison
from rec_jax.stages.evaluate.recommenders import (
  EASE,
  ID_ONLY,
  POPULARITY,
  STUDENT,
  TEACHER,
  ZERO_SHOT,
)
from rec_jax.stages.explore import off_policy_section
from rec_jax.stages.explore.problems import CATALOGUE, RATED

Json = Mapping[str, Any]
# Where a sentence says 'clearly above', 'clearly below' or neither.
_GAP = '{}'
# (whether the intervals settle it, a sentence)
Finding = tuple[bool, str]


def summarise(found: Results) -> Summary:
  """Main numbers, what they settle, and what they do not."""
  explored = found.exploration
  findings = [*_ranking(found), *_unseen(found)]
  for environment in explored['environments']:
    findings += _balance(environment)
  findings += _differences(explored['cold_start'], 'With nothing learnt before the cut')
  findings += _differences(explored['payoff'], 'In the second half of the stream')
  if explored['off_policy']['rows']:
    findings.append((True, off_policy_section.conclusion(explored['off_policy'])))
  return Summary(
    headlines=headlines(found),
    conclusions=[sentence for is_settled, sentence in findings if is_settled],
    limits=[*(sentence for is_settled, sentence in findings if not is_settled), *_limits(found)],
  )


def of_vectors(environment: Json, is_drawn: bool) -> Summary:
  """The same for exploration on the user's own vectors alone.

  Args:
    environment: the only one.
    is_drawn: whether rewards were drawn from the vectors.
  """
  findings = list(_balance(environment))
  limits = [sentence for is_settled, sentence in findings if not is_settled]
  limits += [*_named_after([environment])]
  if is_drawn:
    limits.append(
      'Rewards are drawn from the vectors, which are right by construction: policies that trust '
      'them look better than on real feedback.'
    )
  return Summary(
    headlines=[*_policy_headlines([environment])],
    conclusions=[sentence for is_settled, sentence in findings if is_settled],
    limits=limits,
  )


def headlines(found: Results) -> list[Headline]:
  """The main numbers, each with what to compare it with."""
  return [*_model_headlines(found), *_policy_headlines(found.exploration['environments'])]


def best_policy(environment: Json) -> tuple[Json, Json] | None:
  """(best policy, baseline) of an environment; None where there is nothing to compare.

  The best is the one of highest reward among those above the baseline by the interval paired by
  user, or among all if there is none.
  """
  policies, name = environment['policies'], environment['baseline']
  baseline = next((policy for policy in policies if policy['name'] == name), None)
  others = [policy for policy in policies if policy is not baseline]
  if baseline is None or not others:
    return None
  above = [policy for policy in others if _sign(_difference(policy)) > 0]
  return max(above or others, key=lambda policy: policy['reward']['value']), baseline


def title(policy: Json) -> str:
  """The name of a policy; says so where it reads the features of the teacher."""
  is_plain = policy['features'] != 'teacher' or 'teacher' in policy['name']
  return policy['name'] if is_plain else f'{policy["name"]}, teacher features'


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


def _policy_headlines(environments: Sequence[Json]) -> Iterator[Headline]:
  for environment in environments:
    pair = best_policy(environment)
    if pair:
      best, baseline = pair
      reward = numbers.plain(run_results.cell(baseline['reward']))
      note = f'{title(best)}; {baseline["name"]} {reward}'
      name = f'Best reward a visit, {environment["name"]}'
      yield Headline(name, run_results.cell(best['reward']), note)


def _ranking(found: Results) -> Iterator[Finding]:
  for baseline in (POPULARITY, EASE, ID_ONLY):
    pair = ranking_comparison.difference_name(TEACHER, baseline)
    values = {'recall@10': _next_item(found, pair, 'recall@10')}
    values['NDCG@10'] = _next_item(found, pair, 'ndcg@10')
    yield from _compared(f'In ranking the next item the teacher is {_GAP} {baseline}', values)
  kept = _next_item(found, ranking_comparison.ratio_name(STUDENT, TEACHER), 'ndcg@10')
  if kept:
    share = numbers.plain(kept)
    yield True, f'The student keeps {share} of the NDCG@10 of the teacher. {_time_share(found)}.'


def _unseen(found: Results) -> Iterator[Finding]:
  pair = ranking_comparison.difference_name(TEACHER, ZERO_SHOT)
  values = {
    protocol: run_results.find(found, 'evaluate', pair, 'recall@10', protocol)
    for protocol in (ranking_comparison.UNSEEN_IN_ALL, ranking_comparison.UNSEEN_ALONE)
  }
  if not any(values.values()):
    yield False, 'Nothing is said about unseen items: no event after the cut is on such an item.'
  else:
    yield (
      False,
      'Intervals on unseen items are over users: they do not cover what other new items would '
      'give, and a few items get most of the events.',
    )
  for protocol, value in values.items():
    where = protocol.removeprefix('unseen items ')
    items = f'On items never seen in training ({where})'
    claim = f'{items} the teacher is {_GAP} {ZERO_SHOT}'
    yield from _compared(claim, {'recall@10': value})
    name = ranking_comparison.ratio_name(STUDENT, TEACHER)
    kept = run_results.find(found, 'evaluate', name, 'recall@10', protocol)
    if kept:
      share = numbers.plain(kept)
      yield True, f'{items} the student keeps {share} of the recall@10 of the teacher.'


def _balance(environment: Json) -> Iterator[Finding]:
  """Whether exploring pays in one environment, and what it shows."""
  where, pair = run_results.capitalised(environment['name']), best_policy(environment)
  if pair is None:
    yield False, f'{where}: there is no pair of policies to compare.'
    return
  best, baseline = pair
  difference = _signed(_difference(best))
  if _sign(_difference(best)) <= 0:
    yield (
      True,
      f'{where}: no policy is above {baseline["name"]} in the interval paired by user (best: '
      f'{title(best)}, {difference}), so greedy suffices here.',
    )
    return
  reward, usual = (run_results.estimate(policy['reward']) for policy in pair)
  relation = 'are disjoint' if reward.low > usual.high else 'overlap'
  yield (
    True,
    f'{where}: {title(best)} earns {numbers.plain(reward)} a visit, {baseline["name"]} '
    f'{numbers.plain(usual)}; the two intervals {relation}, the difference paired by user is '
    f'{difference}.',
  )
  yield _exposure(where, best, baseline)


def _exposure(where: str, best: Json, baseline: Json) -> Finding:
  """Whether the best policy shows twice as many items often enough to learn about them."""
  shown, usual = (policy['items_10_exposures']['value'] for policy in (best, baseline))
  is_twice = shown >= 2 * usual
  sentence = (
    f'{where}: {title(best)} shows {numbers.number(shown, 0)} items at least ten times, '
    f'{"at least" if is_twice else "less than"} twice the {numbers.number(usual, 0)} of '
    f'{baseline["name"]}'
  )
  if 'cold_share' in best:
    cold, usual_cold = (100 * policy['cold_share']['value'] for policy in (best, baseline))
    sentence += f'; cold items get {cold:.1f} % of its exposure against {usual_cold:.1f} %'
  return is_twice, f'{sentence}.'


def _differences(part: Json | None, where: str) -> Iterator[Finding]:
  """One sentence for each row that has a difference to the baseline of its protocol."""
  rows = part['rows'] if part else []
  is_compared = [bool(row['difference'] and row['difference']['value']) for row in rows]
  plain = [row['name'] for row, compared in zip(rows, is_compared, strict=True) if not compared]
  baseline = plain[0] if plain else 'the baseline'
  for row, compared in zip(rows, is_compared, strict=True):
    if compared:
      claim = f'{where}, {row["name"]} is {_GAP} {baseline}'
      yield from _compared(claim, {'reward a visit': run_results.estimate(row['difference'])})


def _compared(claim: str, differences: Mapping[str, Estimate | None]) -> Iterator[Finding]:
  """Whether differences paired by user are all above zero, all below, or neither.

  Args:
    claim: a sentence with a gap for which of the three it is.
    differences: metric -> difference, None where it could not be computed.
  """
  known = {name: value for name, value in differences.items() if value}
  if not known:
    return
  signs = {_sign(value) for value in known.values()}
  words = {frozenset({1}): 'clearly above', frozenset({-1}): 'clearly below'}
  word = words.get(frozenset(signs), 'not clearly above')
  listed = ', '.join(f'{name} {_signed(value)}' for name, value in known.items())
  yield signs in ({1}, {-1}), f'{claim.replace(_GAP, word)}: {listed}, paired by user.'


def _limits(found: Results) -> Iterator[str]:
  config, explored = found.manifest['config'], found.exploration['environments']
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
  yield from _named_after(explored)
  yield (
    f'One data set, {found.dataset["name"]}, and one time cut: other data may order the methods '
    'differently.'
  )
  seeds = config['num_seeds']
  yield (
    'One training seed: intervals say how numbers change with other users, not with other seeds.'
    if seeds == 1
    else f'{seeds} training seeds: intervals are over users; the spread over seeds stands apart.'
  )


def _named_after(environments: Sequence[Json]) -> Iterator[str]:
  policies = max((len(environment['policies']) for environment in environments), default=0)
  if policies > 2:
    yield (
      f'The best of {policies} policies is named after the fact and no interval is corrected for '
      'the number of comparisons, so it looks a little better than it is.'
    )


def _next_item(found: Results, subject: str, metric: str) -> Estimate | None:
  return run_results.find(found, 'evaluate', subject, metric, ranking_comparison.NEXT_ITEM)


def _time_share(found: Results) -> str:
  times = found.timings['evaluate']
  share = times[cost.timing_name(STUDENT)] / times[cost.timing_name(TEACHER)]
  return f'It takes {100 * share:.2g} % of the time to encode and score unseen text'


def _difference(policy: Json) -> Estimate | None:
  return run_results.estimate(policy['difference']) if policy['difference'] else None


def _sign(difference: Estimate | None) -> int:
  """1 or -1 where the interval lies on one side of zero, else 0, as where it is unknown."""
  if difference is None:
    return 0
  return int(difference.low > 0) - int(difference.high < 0)


def _signed(value: Estimate | None) -> str:
  return numbers.MISSING if value is None else numbers.plain(value, sign=True)
