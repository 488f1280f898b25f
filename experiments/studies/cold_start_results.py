"""What the study of cold starts makes of its values: medians, differences of policies, figures."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import polars as pl

from rec_jax.evaluation import survival, two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, style
from rec_jax.report.figures import Curve
from rec_jax.report.grouped_points import Look, grouped_points
from rec_jax.runs.study_results import DIFFERENCE, Result
from rec_jax.stages.evaluate import by_events, by_history
from rec_jax.stages.explore import item_learning

# Of the rounds, at which what is known is told.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
ROUNDS = 'rounds until a new item is known, or all'
IMPRESSIONS = 'impressions of a new item until it is known, or all'
_MODELS = ('popularity', 'recent popularity', 'EASE', 'id', 'text', 'both')


def after(share: float) -> str:
  """The metric that says which new items are known after a share of the rounds.

  >>> after(0.05)
  'new items known after 5% of the rounds'
  """
  return f'new items known after {share:.0%} of the rounds'


AT_END = after(1)
OF_POLICIES = (*map(after, SHARES), ROUNDS, IMPRESSIONS)


def policy(explorer: str, belief: str) -> str:
  """The label of a variant."""
  return f'{explorer}, {belief}'


def _by_unit(values: pl.DataFrame) -> dict[str, Estimate]:
  """As by default, less the means that count each item alike: of policies they are the same."""
  if values['item'].null_count():
    return DIFFERENCE.estimate_compared(values)
  users, items = (values[name].to_numpy() for name in ('unit', 'item'))
  return two_way.user_macro(jax.random.key(0), {'': values['value'].to_numpy()}, users, items)


COMPARE = DIFFERENCE._replace(estimate=_by_unit, estimate_compared=_by_unit)


def further(frame: pl.DataFrame) -> list[Result]:
  """Medians of censored times, and what each explorer knows at the end minus the uniform one.

  Args:
    frame: values of all units.
  """
  found = []
  for belief in item_learning.BELIEFS:
    base = _at_end(frame, policy('uniform', belief))
    for explorer in item_learning.EXPLORERS:
      label = policy(explorer, belief)
      known = _at_end(frame, label)
      if not len(known):
        continue
      key, pairs = jax.random.key(0), (known['unit'].to_numpy(), known['item'].to_numpy())
      for metric in (ROUNDS, IMPRESSIONS):
        times = known.join(_of(frame, label, metric), on=['unit', 'item'], suffix=' time')
        median = survival.two_way_median(
          key,
          times['value time'].to_numpy(),
          times['value'].to_numpy() == 1,
          times['unit'].to_numpy(),
          times['item'].to_numpy(),
        )
        found.append(Result(label, metric.replace(', or all', ', median'), median))
      if explorer != 'uniform' and len(base) == len(known):
        more = (known['value'] - base['value']).to_numpy()
        estimate = two_way.user_macro(key, {'': more}, *pairs)['']
        found.append(Result(label, f'{AT_END}, minus uniform', estimate))
  return found


def draw(found: Sequence[Result]) -> dict[str, str]:
  """Name -> SVG: models by events and by history, and what each policy knows over the rounds."""
  values = {(result.variant, result.metric): result.value for result in found if result.value.n}
  looks = {name: Look(colour) for name, colour in zip(_MODELS, style.PALETTE, strict=False)}

  def models(metrics: Mapping[str, str]) -> dict[str, dict[str, Estimate]]:
    """Label along the axis -> model -> estimate of the metric that stands for the label."""
    return {
      label: {name: values[name, metric] for name in looks if (name, metric) in values}
      for label, metric in metrics.items()
    }

  svgs = {}
  for among, title in (('in all', 'in the whole catalogue'), ('alone', 'among their like')):
    of_groups = {label: f'{label} {among}, recall@10' for label in by_events.GROUPS}
    name = f'recall@10 of items {title}'
    svgs[name] = grouped_points(name, 'training events of the item', models(of_groups), looks)
  of_lengths = {
    str(number): f'{by_history.history(number)}, recall@10' for number in by_history.LENGTHS
  }
  of_lengths['whole'] = f'{by_history.WHOLE}, recall@10'
  name = 'recall@10 of the next item'
  svgs[name] = grouped_points(name, 'events read of the history', models(of_lengths), looks)
  for belief in item_learning.BELIEFS:
    curves = {}
    for explorer in item_learning.EXPLORERS:
      points = [values.get((policy(explorer, belief), after(share))) for share in SHARES]
      known = [point for point in points if point is not None]
      if len(known) == len(SHARES):
        columns = zip(*((each.value, each.low, each.high) for each in known), strict=True)
        curves[explorer] = Curve(100 * np.array(SHARES), *map(np.array, columns))
    if curves:
      name = f'new items known, belief {belief}'
      svgs[name] = figures.curves(name, {name: curves}, xlabel='rounds, %').panels[0]
  return svgs


def _at_end(frame: pl.DataFrame, label: str) -> pl.DataFrame:
  return _of(frame, label, AT_END)


def _of(frame: pl.DataFrame, label: str, metric: str) -> pl.DataFrame:
  """Columns unit, item, value of one metric of a variant, in the order of units and items."""
  chosen = frame.filter(pl.col('variant') == label, pl.col('metric') == metric)
  return chosen.drop_nulls('value').select('unit', 'item', 'value').sort('unit', 'item')
