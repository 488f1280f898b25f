"""From values a unit to estimates, paired comparisons, metric rows and a table."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl

from rec_jax.evaluation import intervals, two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.types import InputError

# The stage that rows of studies name.
STAGE = 'study'
# Below it Student's interval: the bootstrap of few units is too narrow.
MIN_UNITS_OF_BOOTSTRAP = 50
# Of a metric of no unit.
NOTHING = Estimate(np.nan, np.nan, np.nan, 0)


class Expected(NamedTuple):
  """Bounds of an estimate.

  Attributes:
    low: least value.
    high: largest value.
    published: the number that is reproduced within these bounds, if any.
  """

  low: float
  high: float
  published: float | None = None

  @classmethod
  def near(cls, published: float, tolerance: float) -> 'Expected':
    """A published number with the largest difference that counts as reproduced."""
    return cls(published - tolerance, published + tolerance, published)

  def __str__(self) -> str:
    if self.published is not None:
      return f'{self.published:.7g} ± {self.high - self.published:.1g}'
    return f'{self.low:g} to {self.high:g}'


class Result(NamedTuple):
  """One metric of one variant.

  Attributes:
    variant: its label.
    metric: its name.
    value: with its interval.
    compared: with the baseline, where both have the metric.
    expected: bounds of the value, if any.
    spread: standard deviation over seeds of the value, n being the seeds, where seeds share units
      and are several.
  """

  variant: str
  metric: str
  value: Estimate
  compared: Estimate | None = None
  expected: Expected | None = None
  spread: Estimate | None = None

  @property
  def is_expected(self) -> bool:
    """Whether nothing is expected, or it has come about."""
    return self.expected is None or self.expected.low <= self.value.value <= self.expected.high


# One metric of one variant, averaged over seeds: columns unit, item, value and the list of seeds,
# in the order of units.
_Pooled = pl.DataFrame


class Comparison(NamedTuple):
  """How values become numbers.

  Attributes:
    estimate: values of units (and items) -> estimates by the suffix of the metric's name.
    estimate_compared: the same of what `against` gives.
    against: (values, values of the baseline), paired -> what is compared.
    heading: of the column of comparisons, `{}` being the baseline.
    neutral: the comparison of equals.
    protocol: what the intervals are.
  """

  estimate: Callable[[_Pooled], dict[str, Estimate]]
  estimate_compared: Callable[[_Pooled], dict[str, Estimate]]
  against: Callable[[np.ndarray, np.ndarray], np.ndarray]
  heading: str
  neutral: float
  protocol: str


def _mean_or_share(values: _Pooled) -> dict[str, Estimate]:
  """`_mean`, or the share of the units that have a value of 1 where all others have 0."""
  column = values['value'].to_numpy()
  if np.isin(column, (0, 1)).all() and values['item'].null_count():
    return {'': intervals.share_interval(column)}
  return _mean(values)


def _mean(values: _Pooled) -> dict[str, Estimate]:
  """Means over units; two-way, and by item as well, where the items are a sample."""
  column, key = values['value'].to_numpy(), jax.random.key(0)
  if values['item'].null_count() == 0:
    users, items = (values[name].to_numpy() for name in ('unit', 'item'))
    kinds = {'': two_way.user_macro, two_way.BY_ITEM: two_way.item_macro}
    return {suffix: of(key, {'': column}, users, items)[''] for suffix, of in kinds.items()}
  if len(column) < MIN_UNITS_OF_BOOTSTRAP:
    return {'': intervals.t_interval(column)}
  return {'': intervals.user_mean(key, column)}


def _median(values: _Pooled) -> dict[str, Estimate]:
  column = values['value'].to_list()
  low, high = (min(column), max(column)) if len(column) > 1 else (np.nan, np.nan)
  return {'': Estimate(statistics.median(column), low, high, len(column))}


DIFFERENCE = Comparison(
  _mean_or_share,
  _mean,
  np.subtract,
  'minus {}',
  0.0,
  'values are averaged over seeds within each unit; 95 % intervals over units (bootstrap, '
  f"Student's t for fewer than {MIN_UNITS_OF_BOOTSTRAP}, Wilson's for shares of units, two-way "
  'where items are a sample as well); differences paired by unit',
)
# For times, which other work on the machine stretches. The range of n independent values holds
# their true median with probability 1 - 2^(1 - n).
MEDIAN_RATIO = Comparison(
  _median,
  _median,
  lambda values, baseline: baseline / values,
  '{} over this',
  1.0,
  'medians of repeats with their range; ratios of the two sides of a repeat, likewise',
)


def results(
  frame: pl.DataFrame,
  baseline: str | None,
  expected: Mapping[tuple[str, str], Expected],
  compare: Comparison,
) -> list[Result]:
  """The estimates of every metric of every variant.

  Args:
    frame: columns variant, seed, metric, unit, item, value; a null value where there is no unit.
    baseline: a variant, or none.
    expected: (variant, metric) -> bounds.
    compare: how values become numbers.

  Raises:
    ValueError: a variant has other units than the baseline.
    InputError: bounds are of a result that a run of these settings did not give.
  """
  pooled, spreads = _pooled(frame), _spreads(frame)
  found = []
  for (variant, metric), values in pooled.items():
    if values['value'].null_count():
      found.append(Result(variant, metric, NOTHING, expected=expected.get((variant, metric))))
      continue
    base = None if baseline in (None, variant) else pooled.get((baseline, metric))
    compared: Mapping[str, Estimate] = {}
    if base is not None:
      compared = compare.estimate_compared(_paired(variant, metric, values, base, compare))
    for suffix, estimate in compare.estimate(values).items():
      name = f'{metric}{suffix}'
      bounds = expected.get((variant, name))
      spread = spreads.get((variant, metric), {}).get(suffix)
      found.append(Result(variant, name, estimate, compared.get(suffix), bounds, spread))
  if missing := set(expected) - {(result.variant, result.metric) for result in found}:
    variant, metric = min(missing)
    raise InputError(
      f'"{metric}" of "{variant}" has bounds and was not measured; '
      'with more units, or the settings of the study, it may be'
    )
  return found


def rows(
  found: Sequence[Result], baseline: str | None, compare: Comparison, protocol: str
) -> list[dict[str, Any]]:
  """The rows of metrics.json: values, comparisons, and spreads over seeds.

  What is no number, as of no unit or a median that is not reached, stands in the table alone.
  """
  heading = compare.heading.format(baseline)
  named = [(of.variant, of.metric, of.value) for of in found]
  named += [
    (f'{of.variant}, {heading}', of.metric, of.compared) for of in found if of.compared is not None
  ]
  named += [
    (f'{of.variant}, spread over seeds', of.metric, of.spread)
    for of in found
    if of.spread is not None
  ]
  known = (each for each in named if np.isfinite(each[2].value))
  return [runs.estimate_row(STAGE, *each, protocol) for each in known]


def table(found: Sequence[Result], baseline: str | None, compare: Comparison) -> str:
  """For the terminal: a row for each metric and variant."""
  return terminal.table(*cells(found, baseline, compare))


def cells(
  found: Sequence[Result], baseline: str | None, compare: Comparison
) -> tuple[list[str], list[list[Cell]]]:
  """Headings and rows, metric by metric; columns that no row fills are left out."""
  metrics = list(dict.fromkeys(result.metric for result in found))
  ordered = sorted(found, key=lambda result: metrics.index(result.metric))
  headings = ['metric', 'variant', 'value', 'n']
  body: list[list[Cell]] = [[of.metric, of.variant, _value(of), of.value.n] for of in ordered]
  if any(of.compared for of in found):
    headings.append(compare.heading.format(baseline))
    signed = compare.neutral == 0
    for line, of in zip(body, ordered, strict=True):
      line.append(numbers.plain(of.compared, sign=signed) if of.compared else numbers.MISSING)
  if any(of.spread is not None for of in found):
    headings.append('spread over seeds')
    for line, of in zip(body, ordered, strict=True):
      line.append(numbers.number(of.spread.value if of.spread else None))
  if any(of.expected for of in found):
    headings += ['expected', 'within']
    for line, of in zip(body, ordered, strict=True):
      line += [str(of.expected), 'yes' if of.is_expected else 'NO'] if of.expected else ['', '']
  return headings, body


def _value(result: Result) -> str:
  """The estimate; beside a published number with as many digits as that."""
  if result.expected is None or result.expected.published is None:
    return numbers.plain(result.value)
  return f'{result.value.value:.7g} {numbers.interval(result.value)}'


def _pooled(frame: pl.DataFrame) -> dict[tuple[str, str], _Pooled]:
  """(variant, metric) -> the mean over seeds and repeats of each unit, or unit and item."""
  means = frame.group_by('variant', 'metric', 'unit', 'item', maintain_order=True).agg(
    pl.col('value').mean(), pl.col('seed').unique().sort().alias('seeds')
  )
  split = means.partition_by('variant', 'metric', as_dict=True, maintain_order=True)
  found = {}
  for (variant, metric), part in split.items():
    # Under some seeds there may be units, under others none: those that there are count.
    known = part.drop_nulls('value')
    columns = (known if len(known) else part).select('unit', 'item', 'seeds', 'value')
    found[variant, metric] = columns.sort('unit', 'item')
  return found


def _spreads(frame: pl.DataFrame) -> dict[tuple[str, str], dict[str, Estimate]]:
  """(variant, metric) -> suffix -> standard deviation over seeds, where seeds share units."""
  frame = frame.drop_nulls('value')
  found: dict[tuple[str, str], dict[str, Estimate]] = {}
  names = 'variant', 'metric'
  for key, part in frame.partition_by(*names, as_dict=True, maintain_order=True).items():
    num_seeds = part['seed'].n_unique()
    if num_seeds == 1 or part.group_by('unit').agg(pl.col('seed').n_unique()).max()['seed'][0] == 1:
      continue
    units = {'': 'unit'} | ({two_way.BY_ITEM: 'item'} if part['item'].null_count() == 0 else {})
    found[key[0], key[1]] = {suffix: _seed_spread(part, unit) for suffix, unit in units.items()}
  return found


def _seed_spread(values: pl.DataFrame, unit: str) -> Estimate:
  """Standard deviation over seeds of the mean over units of the mean within each."""
  of_units = values.group_by('seed', unit).agg(pl.col('value').mean())
  of_seeds = of_units.group_by('seed').agg(pl.col('value').mean())['value']
  value = float(np.std(of_seeds.to_numpy(), ddof=1))
  return Estimate(value, float('nan'), float('nan'), len(of_seeds))


def _paired(
  variant: str, metric: str, values: _Pooled, base: _Pooled, compare: Comparison
) -> _Pooled:
  keys = ['unit', 'item', 'seeds']
  if not values.select(keys).equals(base.select(keys)):
    raise ValueError(
      f'{variant} was measured on {len(values)} units in {metric}, its baseline on {len(base)} or '
      'others, or under other seeds: they cannot be paired'
    )
  compared = compare.against(values['value'].to_numpy(), base['value'].to_numpy())
  return values.with_columns(value=pl.Series(compared))
