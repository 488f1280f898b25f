"""Estimates of several models side by side, group after group along an axis."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import style

# Of the room of a group.
_FILLED = 0.84
_LEGEND_COLUMNS = 2


class Look(NamedTuple):
  """How a model is drawn.

  Attributes:
    colour: of its dot and its interval.
    is_open: a ring in place of a dot.
  """

  colour: str
  is_open: bool = False


def grouped_points(
  quantity: str,
  xlabel: str,
  groups: Mapping[str, Mapping[str, Estimate]],
  looks: Mapping[str, Look],
) -> str:
  """The SVG of a panel with a legend below it.

  Args:
    quantity: what is estimated, at least 0.
    xlabel: what the groups are.
    groups: label along the axis -> model -> estimate; a model may be missing.
    looks: model -> its look, in the order in which they stand beside each other.
  """
  lines = -(-len(looks) // _LEGEND_COLUMNS)
  with style.style():
    figure, axes = style.panel(3.2 + 0.2 * lines, xlabel, quantity)
    offsets = _FILLED * ((np.arange(len(looks)) + 0.5) / len(looks) - 0.5)
    for place, models in enumerate(groups.values()):
      for (name, look), offset in zip(looks.items(), offsets, strict=True):
        if name in models:
          x, estimate = place + offset, models[name]
          axes.plot([x, x], [estimate.low, estimate.high], color=look.colour, linewidth=1.2)
          axes.plot(x, estimate.value, **_marker(look))
    for boundary in range(1, len(groups)):
      axes.axvline(boundary - 0.5, color=style.RULE, linewidth=0.8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylim(bottom=0)
    axes.grid(axis='x', visible=False)
    handles = [Line2D([], [], label=name, **_marker(look)) for name, look in looks.items()]
    figure.legend(
      handles=handles,
      loc='outside lower center',
      ncols=_LEGEND_COLUMNS,
      fontsize=8.5,
      frameon=False,
    )
    return style.to_svg(figure)


def _marker(look: Look) -> dict[str, Any]:
  face = 'white' if look.is_open else look.colour
  return {
    'color': look.colour,
    'marker': 'o',
    'markerfacecolor': face,
    'markersize': 5.5,
    'linestyle': 'none',
  }
