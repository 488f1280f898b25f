"""The figure of reward against exploration, from plain data to SVG."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import labels
from rec_jax.report.style import (
  Figure,
  LegendEntry,
  colours,
  label_logarithmic,
  panel,
  style,
  to_svg,
)


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


def _balance_panel(
  field: str,
  xlabel: str,
  reward_label: str,
  policies: Mapping[str, Mapping[str, Balance]],
  frontiers: Sequence[Frontier],
  look: Sequence[str],
) -> str:
  figure, axes = panel(4.8, xlabel, reward_label)
  _scale(
    axes,
    field,
    [_position(each, field)[0] for group in policies.values() for each in group.values()],
  )
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


def _scale(axes: Axes, field: str, values: Sequence[float]) -> None:
  """Items over orders of magnitude on a logarithmic scale, which has few numbers within one."""
  if field == 'cold_share':
    axes.xaxis.set_major_formatter(PercentFormatter(1))
  elif max(values) > 4 * min(values):
    axes.set_xscale('log')
    label_logarithmic(axes.xaxis, (1, 2, 5))


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
