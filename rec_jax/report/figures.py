"""The figures of the page, from plain data to SVG."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import (
  FuncFormatter,
  LogLocator,
  MaxNLocator,
  NullLocator,
  PercentFormatter,
)

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import labels, numbers
from rec_jax.report.style import (
  INK,
  MUTED,
  PALETTE,
  Figure,
  LegendEntry,
  colours,
  dashes,
  panel,
  style,
  to_svg,
)

# More points than pixels cost bytes and show nothing.
MAX_POINTS = 300
# Longer names than that, in characters, would take the room of the curves that they label.
MAX_END_LABEL = 24


@dataclasses.dataclass(frozen=True)
class Curve:
  """A quantity over steps or rounds.

  Attributes:
    x: [T] steps.
    value: [T].
    low: [T] lower end of a band, or None; NaN where unknown.
    high: [T] upper end.
  """

  x: np.ndarray
  value: np.ndarray
  low: np.ndarray | None = None
  high: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Balance:
  """Where one policy stands between reward and exploration.

  Attributes:
    reward: mean reward.
    distinct_items: items shown at least once.
    cold_share: share of exposure on items without history, in [0, 1]; None where there are none.
  """

  reward: Estimate
  distinct_items: Estimate
  cold_share: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class Frontier:
  """One family of policies at several strengths of exploration.

  Attributes:
    name: the family.
    strengths: what each member is called, weakest exploration first.
    members: as many balances.
  """

  name: str
  strengths: Sequence[str]
  members: Sequence[Balance]


def curves(
  title: str,
  panels: Mapping[str, Mapping[str, Curve]],
  *,
  xlabel: str,
  caption: str = '',
  logarithmic: bool = False,
) -> Figure:
  """Curves with bands: learning, reward and regret by round.

  They are labelled at their ends, or by a legend where their names are long and colours suffice.

  Args:
    title: what the figure shows.
    panels: quantity with its unit -> name of the series -> its curve. A name keeps its colour in
      all panels.
    xlabel: what the steps are.
    caption: how to read it.
    logarithmic: both axes, for what grows over orders of magnitude.

  Returns:
    The figure, a panel for each quantity.
  """
  names = list(dict.fromkeys(name for panel_ in panels.values() for name in panel_))
  looks = dict(zip(names, zip(colours(len(names)), dashes(len(names)), strict=True), strict=True))
  has_legend = max(map(len, names)) > MAX_END_LABEL and len(names) <= len(PALETTE)
  with style():
    svgs = [
      _curves_panel(
        quantity, xlabel, series, looks, label_ends=not has_legend, logarithmic=logarithmic
      )
      for quantity, series in panels.items()
    ]
  legend = tuple(LegendEntry(name, looks[name][0], True) for name in names) if has_legend else ()
  return Figure(title, caption, tuple(svgs), legend)


def learning_curves(title: str, panels: Mapping[str, Mapping[str, Curve]]) -> list[Figure]:
  """A figure of the panels that hold anything, or none."""
  filled = {label: series for label, series in panels.items() if series}
  if not filled:
    return []
  caption = 'One curve a model; with several training seeds their mean, and their range as a band.'
  return [curves(title, filled, xlabel='training step', caption=caption)]


def reward_against_exploration(
  title: str,
  policies: Mapping[str, Mapping[str, Balance]],
  frontiers: Sequence[Frontier] = (),
  *,
  reward_label: str = 'mean reward',
  caption: str = '',
) -> Figure:
  """Reward against distinct items and, where there are any, against exposure of cold items.

  Args:
    title: what the figure shows.
    policies: group -> policy -> its balance; a group has one colour.
    frontiers: families drawn as lines, with their weakest and strongest member marked.
    reward_label: what the reward is.
    caption: how to read it.

  Returns:
    The figure, of one or two panels.
  """
  look = colours(len(policies) + len(frontiers))
  horizontal = {'distinct_items': 'distinct items shown'}
  if all(balance.cold_share for members in policies.values() for balance in members.values()):
    horizontal['cold_share'] = 'share of exposure on cold items'
  with style():
    svgs = [
      _balance_panel(field, xlabel, reward_label, policies, frontiers, look)
      for field, xlabel in horizontal.items()
    ]
  entries = [*policies, *(frontier.name for frontier in frontiers)]
  legend = tuple(
    LegendEntry(name, colour, i >= len(policies))
    for i, (name, colour) in enumerate(zip(entries, look, strict=True))
  )
  return Figure(title, caption, tuple(svgs), legend)


def forest(
  title: str,
  panels: Mapping[str, Mapping[str, Estimate]],
  *,
  reference: float | None = None,
  caption: str = '',
) -> Figure:
  """Estimates with their intervals, one a row: paired differences where `reference` is 0.

  Args:
    title: what the figure shows.
    panels: quantity with its unit -> name of the row -> estimate.
    reference: a vertical line; rows whose interval holds it are drawn hollow.
    caption: how to read it.

  Returns:
    The figure, a panel for each quantity.
  """
  with style():
    svgs = [_forest_panel(quantity, rows, reference) for quantity, rows in panels.items()]
  return Figure(title, caption, tuple(svgs))


def _curves_panel(
  quantity: str,
  xlabel: str,
  series: Mapping[str, Curve],
  looks: Mapping[str, tuple],
  *,
  label_ends: bool,
  logarithmic: bool,
) -> str:
  figure, axes = panel(3.5, xlabel, quantity)
  for name, curve in series.items():
    colour, dash = looks[name]
    kept = _kept(len(curve.x))
    axes.plot(curve.x[kept], curve.value[kept], color=colour, linestyle=dash)
    if curve.low is not None and curve.high is not None:
      low, high = curve.low[kept], curve.high[kept]
      axes.fill_between(curve.x[kept], low, high, color=colour, alpha=0.1, linewidth=0)
  axes.margins(x=0)
  if logarithmic:
    axes.set(xscale='log', yscale='log')
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
      _label_logarithmic(axis, (1,) if high > 100 * low else (1, 2, 5))
  else:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
  if label_ends:
    figure.draw_without_rendering()
    ends = np.array([(curve.x[-1], curve.value[-1]) for curve in series.values()], float)
    labels.label_ends(axes, ends, list(series), [looks[name][0] for name in series])
  return to_svg(figure)


def _kept(length: int) -> np.ndarray:
  """Indices of at most `MAX_POINTS` points, the first and the last among them."""
  return np.linspace(0, length - 1, min(MAX_POINTS, length)).round().astype(int)


def _balance_panel(
  field: str,
  xlabel: str,
  reward_label: str,
  policies: Mapping[str, Mapping[str, Balance]],
  frontiers: Sequence[Frontier],
  look: Sequence[str],
) -> str:
  figure, axes = panel(4.8, xlabel, reward_label)
  _scale(axes, field)
  points, texts, text_colours, lines = [], [], [], []
  for frontier, colour in zip(frontiers, look[len(policies) :], strict=True):
    line = np.array([_position(member, field) for member in frontier.members])
    axes.plot(*line.T, color=colour, marker='o', markersize=3.5, linewidth=1.4, zorder=3)
    lines.append(line)
    points += [line[0], line[-1]]
    texts += [frontier.strengths[0], frontier.strengths[-1]]
    text_colours += [colour, colour]
  for members, colour in zip(policies.values(), look, strict=False):
    for name, balance in members.items():
      lines += _cross(axes, balance, field, colour)
      points.append(_position(balance, field))
      texts.append(name)
      text_colours.append(colour)
  axes.margins(0.12, 0.1)
  figure.draw_without_rendering()
  labels.label_points(axes, np.array(points), texts, text_colours, lines)
  return to_svg(figure)


def _scale(axes: Axes, field: str) -> None:
  """Items over orders of magnitude on a logarithmic scale."""
  if field == 'cold_share':
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
  else:
    axes.set_xscale('log')
    _label_logarithmic(axes.xaxis, (1, 2, 5))


def _label_logarithmic(axis: Axis, subs: tuple[int, ...]) -> None:
  """Plain numbers at each decade times each of `subs`."""
  axis.set_major_locator(LogLocator(subs=subs))
  axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,g}'))
  axis.set_minor_locator(NullLocator())


def _position(balance: Balance, field: str) -> tuple[float, float]:
  return getattr(balance, field).value, balance.reward.value


def _cross(axes: Axes, balance: Balance, field: str, colour: str) -> list[np.ndarray]:
  """Draws a policy with both intervals; returns those that are known as lines."""
  across, reward = getattr(balance, field), balance.reward
  arms = [
    np.array([(across.low, reward.value), (across.high, reward.value)]),
    np.array([(across.value, reward.low), (across.value, reward.high)]),
  ]
  known = [arm for arm in arms if np.isfinite(arm).all()]
  for arm in known:
    axes.plot(*arm.T, color=colour, linewidth=1, alpha=0.6)
  axes.plot(across.value, reward.value, 'o', color=colour, markersize=6.5, zorder=5)
  return known


def _forest_panel(quantity: str, rows: Mapping[str, Estimate], reference: float | None) -> str:
  figure, axes = panel(0.8 + 0.3 * len(rows), '', quantity)
  heights = np.arange(len(rows))[::-1]
  for y, estimate in zip(heights, rows.values(), strict=True):
    is_open = reference is not None and not (estimate.low > reference or estimate.high < reference)
    colour = MUTED if is_open else colours(1)[0]
    axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2)
    face = 'white' if is_open else colour
    axes.plot(estimate.value, y, 'o', color=colour, markerfacecolor=face, markersize=6.5)
  if reference is not None:
    axes.axvline(reference, color=INK, linewidth=1, zorder=1)
  axes.set_yticks(heights, list(rows), color=INK)
  axes.set_ylim(-0.6, len(rows) - 0.4)
  axes.grid(axis='y', visible=False)
  axes.xaxis.set_major_locator(MaxNLocator(4))
  axes.spines['left'].set_visible(False)
  _write_right(axes, heights, list(rows.values()), sign=reference == 0)
  return to_svg(figure)


def _write_right(
  axes: Axes, heights: np.ndarray, estimates: Sequence[Estimate], *, sign: bool
) -> None:
  decimals = numbers.column_decimals(estimates)
  right = axes.secondary_yaxis('right')
  right.set_yticks(heights, [numbers.plain(e, decimals, sign=sign) for e in estimates])
  right.tick_params(labelsize=8.5, labelcolor=MUTED)
  right.spines['right'].set_visible(False)
