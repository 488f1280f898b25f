"""The figures of the page, from plain data to SVG."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

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
  label_logarithmic,
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


def curves(
  title: str,
  panels: Mapping[str, Mapping[str, Curve]],
  *,
  xlabel: str,
  caption: str = '',
  logarithmic: str = '',
) -> Figure:
  """Curves with bands: learning, reward and regret by round.

  They are labelled at their ends, or by a legend where their names are long and colours suffice.

  Args:
    title: what the figure shows.
    panels: quantity with its unit -> name of the series -> its curve. A name keeps its colour in
      all panels.
    xlabel: what the steps are.
    caption: how to read it.
    logarithmic: 'x', or 'xy' for both axes, where they span orders of magnitude.

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
  logarithmic: str,
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
  for name in logarithmic:
    axes.set(**{f'{name}scale': 'log'})
    axis, (low, high) = getattr(axes, f'{name}axis'), getattr(axes, f'get_{name}lim')()
    label_logarithmic(axis, (1,) if high > 100 * low else (1, 2, 5))
  if not logarithmic:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
  if label_ends:
    figure.draw_without_rendering()
    ends = np.array([(curve.x[-1], curve.value[-1]) for curve in series.values()], float)
    labels.label_ends(axes, ends, list(series), [looks[name][0] for name in series])
  return to_svg(figure)


def _kept(length: int) -> np.ndarray:
  """Indices of at most `MAX_POINTS` points, the first and the last among them."""
  return np.linspace(0, length - 1, min(MAX_POINTS, length)).round().astype(int)


def _forest_panel(quantity: str, rows: Mapping[str, Estimate], reference: float | None) -> str:
  # Long names would leave no room for the axis, and a long title is cut off.
  names, title = [textwrap.fill(name, 28) for name in rows], textwrap.fill(quantity, 42)
  num_lines = 1 + max(name.count('\n') for name in names)
  height = 0.8 + (0.1 + 0.2 * num_lines) * len(rows) + 0.15 * title.count('\n')
  figure, axes = panel(height, '', title)
  heights = np.arange(len(rows))[::-1]
  for y, estimate in zip(heights, rows.values(), strict=True):
    is_open = reference is not None and not (estimate.low > reference or estimate.high < reference)
    colour = MUTED if is_open else colours(1)[0]
    axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2)
    face = 'white' if is_open else colour
    axes.plot(estimate.value, y, 'o', color=colour, markerfacecolor=face, markersize=6.5)
  if reference is not None:
    axes.axvline(reference, color=INK, linewidth=1, zorder=1)
  axes.set_yticks(heights, names, color=INK)
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
