"""The page of a study: its table, a forest figure, and what the intervals settle."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, findings, numbers, page, wording
from rec_jax.report.findings import Finding
from rec_jax.report.page import Section, Summary, Table
from rec_jax.report.style import Figure
from rec_jax.runs import run_facts, study_results
from rec_jax.runs import workdir as runs
from rec_jax.runs.study_results import Comparison, Result

# More panels than a reader looks at are left to the table.
_MAX_PANELS = 12


def write(
  workdir: Path,
  title: str,
  protocol: str,
  found: Sequence[Result],
  baseline: str | None,
  compare: Comparison,
  drawn: Mapping[str, str],
) -> Path:
  """Writes `workdir/report/index.html` and returns its path.

  Args:
    workdir: of the study.
    title: its question.
    protocol: of all numbers.
    found: the results.
    baseline: that the others are compared with, or none.
    compare: how.
    drawn: name -> SVG of further figures.
  """
  manifest = runs.read_manifest(workdir)
  facts = [run_facts.of_run(manifest), *run_facts.details(manifest)]
  sentences = [*_compared(found, baseline, compare), *_expected(found)]
  summary = Summary(
    headlines=[],
    conclusions=[sentence for is_settled, sentence in sentences if is_settled],
    limits=[
      *(sentence for is_settled, sentence in sentences if not is_settled),
      'Each interval is 95 % by itself: of twenty comparisons of equals one is settled by chance.'
      if compare.neutral == 0
      else 'Of n repeats the range holds the true median with probability 1 - 2^(1 - n). Ratios '
      'are those of this machine.',
    ],
  )
  path = workdir / 'report' / 'index.html'
  page.write_page(path, title, facts, summary, [section(protocol, found, baseline, compare, drawn)])
  return path


def section(
  protocol: str,
  found: Sequence[Result],
  baseline: str | None,
  compare: Comparison,
  drawn: Mapping[str, str],
) -> Section:
  """The results of a study as a section of any page."""
  headings, rows = study_results.cells(found, baseline, compare)
  shown = [Figure(name, '', (svg,)) for name, svg in drawn.items()]
  return Section(
    'Results',
    wording.sentence(protocol),
    [Table('Every metric of every variant', headings, rows)],
    [*_forest(found, baseline, compare), *shown],
  )


def _forest(found: Sequence[Result], baseline: str | None, compare: Comparison) -> Iterator[Figure]:
  """Comparisons where there are any, else values; a panel a metric."""
  is_compared = any(result.compared for result in found)
  panels: dict[str, dict[str, Estimate]] = {}
  for result in found:
    shown = result.compared if is_compared else result.value
    if shown is not None and shown.n > 1:
      name = (
        f'{result.metric}, {compare.heading.format(baseline)}' if is_compared else result.metric
      )
      panels.setdefault(name, {})[result.variant] = shown
  if not panels:
    return
  kept = dict(list(panels.items())[:_MAX_PANELS])
  caption = 'Each estimate with its interval.'
  if is_compared:
    caption = (
      f'Paired comparisons with {baseline} and their intervals; hollow where the interval holds '
      f'{compare.neutral:g}, so that the sign is not settled.'
    )
  if len(kept) < len(panels):
    caption += f' The first {len(kept)} of {len(panels)} metrics.'
  reference = compare.neutral if is_compared else None
  yield figures.forest('At a glance', kept, reference=reference, caption=caption)


def _compared(
  found: Sequence[Result], baseline: str | None, compare: Comparison
) -> Iterator[Finding]:
  """What is settled, a sentence for differences of one sign, and one for the ratios."""
  if compare.neutral != 0:
    yield from _ratios(found, baseline)
    return
  groups: dict[tuple[str, int], dict[str, Estimate | None]] = {}
  for result in found:
    alike = groups.setdefault((result.variant, findings.sign(result.compared)), {})
    alike[result.metric] = result.compared
  for (variant, _), differences in groups.items():
    yield from findings.compared(f'{variant} is {findings.GAP} {baseline}', differences)


def _ratios(found: Sequence[Result], baseline: str | None) -> Iterator[Finding]:
  """From the lowest to the highest ratio to each variant, of those whose range is off 1."""
  settled: dict[str, list[float]] = {}
  for result in found:
    ratio = result.compared
    if ratio is not None and (ratio.low > 1 or ratio.high < 1):
      settled.setdefault(result.variant, []).append(ratio.value)
  for variant, ratios in settled.items():
    low, high = numbers.number(min(ratios)), numbers.number(max(ratios))
    many = f'{low} to {high} times in {len(ratios)} cases' if len(ratios) > 1 else f'{low} times'
    yield True, f'{baseline} over {variant}: {many}.'


def _expected(found: Sequence[Result]) -> Iterator[Finding]:
  """How many estimates are within their bounds, and which are not."""
  bounded = [result for result in found if result.expected]
  within = sum(result.is_expected for result in bounded)
  if bounded:
    yield True, f'{within} of {len(bounded)} estimates are within the bounds expected of them.'
  for result in bounded:
    if not result.is_expected:
      yield True, f'{result.variant}, {result.metric}: NOT within {result.expected}.'
