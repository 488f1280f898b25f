"""What the numbers of exploration say in words: every sentence is chosen by an interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import findings, numbers, wording
from rec_jax.report.findings import Finding
from rec_jax.report.page import Headline
from rec_jax.runs import run_results

Json = Mapping[str, Any]


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
  above = [policy for policy in others if findings.sign(_difference(policy)) > 0]
  return max(above or others, key=lambda policy: policy['reward']['value']), baseline


def title(policy: Json) -> str:
  """The name of a policy; says so where it reads the features of the teacher."""
  is_plain = policy['features'] != 'teacher' or 'teacher' in policy['name']
  return policy['name'] if is_plain else f'{policy["name"]}, teacher features'


def headlines(environments: Sequence[Json]) -> Iterator[Headline]:
  """The best reward of each environment, beside its baseline."""
  for environment in environments:
    pair = best_policy(environment)
    if pair:
      best, baseline = pair
      reward = numbers.plain(run_results.cell(baseline['reward']))
      note = f'{title(best)}; {baseline["name"]} {reward}'
      name = f'Best reward a visit, {environment["name"]}'
      yield Headline(name, run_results.cell(best['reward']), note)


def balance(environment: Json) -> Iterator[Finding]:
  """Whether exploring pays in one environment, and what it shows."""
  where, pair = wording.capitalised(environment['name']), best_policy(environment)
  if pair is None:
    yield False, f'{where}: there is no pair of policies to compare.'
    return
  best, baseline = pair
  difference = findings.signed(_difference(best))
  if findings.sign(_difference(best)) <= 0:
    yield (
      True,
      f'{where}: no policy is above {baseline["name"]} in the interval paired by user (best: '
      f'{title(best)}, {difference}), so greedy suffices here.',
    )
    return
  reward, usual = (intervals.from_json(policy['reward']) for policy in pair)
  relation = 'are disjoint' if reward.low > usual.high else 'overlap'
  yield (
    True,
    f'{where}: {title(best)} earns {numbers.plain(reward)} a visit, {baseline["name"]} '
    f'{numbers.plain(usual)}; the two intervals {relation}, the difference paired by user is '
    f'{difference}.',
  )
  yield _exposure(where, best, baseline)


def differences(part: Json | None, where: str) -> Iterator[Finding]:
  """One sentence for each row that has a difference to the baseline of its protocol."""
  rows = part['rows'] if part else []
  is_compared = [bool(row['difference'] and row['difference']['value']) for row in rows]
  plain = [row['name'] for row, compared in zip(rows, is_compared, strict=True) if not compared]
  baseline = plain[0] if plain else 'the baseline'
  for row, compared in zip(rows, is_compared, strict=True):
    if compared:
      claim = f'{where}, {row["name"]} is {findings.GAP} {baseline}'
      yield from findings.compared(
        claim, {'reward a visit': intervals.from_json(row['difference'])}
      )


def named_after_the_fact(environments: Sequence[Json]) -> Iterator[str]:
  """That a best of many was picked, where there were many."""
  policies = max((len(environment['policies']) for environment in environments), default=0)
  if policies > 2:
    yield (
      f'The best of {policies} policies is named after the fact and no interval is corrected for '
      'the number of comparisons, so it looks a little better than it is.'
    )


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
    cold, usual_cold = (_percent(policy['cold_share']) for policy in (best, baseline))
    sentence += f'; cold items get {cold} % of its exposure against {usual_cold} %'
  return is_twice, f'{sentence}.'


def _percent(share: Json) -> str:
  """A share with its interval, in per cent."""
  found = intervals.from_json(share)
  return numbers.plain(Estimate(100 * found.value, 100 * found.low, 100 * found.high, found.n), 1)


def _difference(policy: Json) -> Estimate | None:
  return intervals.from_json(policy['difference']) if policy['difference'] else None
