"""Labels next to what they name, moved apart where they would overlap."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from rec_jax.report.style import RULE, darker

FONT_SIZE = 8.5
ANGLES = np.deg2rad(np.arange(0, 360, 15))
DISTANCES = (9.0, 16.0, 26.0, 40.0, 58.0, 80.0)
SWEEPS = 6
MARGIN = 12 * np.array([-1, -1, 1, 1])


def label_points(
  axes: Axes,
  points: np.ndarray,
  texts: Sequence[str],
  text_colours: Sequence[str],
  lines: Sequence[np.ndarray],
) -> None:
  """Writes a text near each point, where it covers no other text, point or line.

  Positions are searched greedily among fixed directions and distances, and improved in a few
  sweeps; a thin line joins a label to its point if they are apart.

  Args:
    axes: with its final limits and layout.
    points: [P, 2] in data coordinates.
    texts: P labels.
    text_colours: P colours, made darker so that small text is legible.
    lines: [V, 2] each, in data coordinates, what labels should not cover either.
  """
  anchors = axes.transData.transform(points)
  blocked = [_dotted(axes.transData.transform(line)) for line in lines]
  notes = [
    _annotate(axes, point, text, darker(colour))
    for point, text, colour in zip(points, texts, text_colours, strict=True)
  ]
  sizes = np.array([_size(note) for note in notes])
  frame = np.array(axes.get_window_extent().extents)
  offsets = _search(anchors, sizes, np.concatenate([*blocked, np.empty((0, 2))]), frame)
  points_per_pixel = 72 / axes.figure.dpi
  for note, offset in zip(notes, offsets, strict=True):
    note.set_position(tuple(offset * points_per_pixel))


def label_ends(
  axes: Axes, ends: np.ndarray, texts: Sequence[str], line_colours: Sequence[str]
) -> None:
  """Writes texts to the right of the curves' last points, apart from each other vertically.

  Args:
    axes: with its final limits.
    ends: [C, 2] last point of each curve, in data coordinates.
    texts: C labels.
    line_colours: C colours of the curves, for the line that joins label and end, and the text.
  """
  heights = axes.transAxes.inverted().transform(axes.transData.transform(ends))[:, 1]
  axes_height = axes.get_window_extent().height * 72 / axes.figure.dpi
  placed = spread(heights, FONT_SIZE * 1.35 / axes_height)
  for text, end, y, colour in zip(texts, ends, placed, line_colours, strict=True):
    axes.annotate(
      text,
      xy=(float(end[0]), float(end[1])),
      xytext=(1.035, y),
      textcoords='axes fraction',
      fontsize=FONT_SIZE,
      color=darker(colour),
      va='center',
      arrowprops={
        'arrowstyle': '-',
        'color': colour,
        'linewidth': 1.0,
        'shrinkA': 1,
        'shrinkB': 0,
        'relpos': (0, 0.5),
      },
    )


def spread(positions: np.ndarray, gap: float) -> np.ndarray:
  """Positions at least `gap` apart, moved as little as that needs in the sum of squares.

  Groups that touch are merged and centred on the mean of what their members want, which is the
  pool-adjacent-violators algorithm for isotonic regression.

  Args:
    positions: [P] where the labels would like to be.
    gap: least distance.

  Returns:
    [P], in the same order as `positions`.
  """
  order = np.argsort(positions, kind='stable')
  groups: list[list[float]] = []
  for position in positions[order]:
    groups.append([position])
    while len(groups) > 1 and _top(groups[-2], gap) + gap > _bottom(groups[-1], gap):
      last = groups.pop()
      groups[-1] += last
  result = np.empty(len(positions))
  result[order] = np.concatenate([_bottom(g, gap) + gap * np.arange(len(g)) for g in groups])
  return result


def _bottom(group: list[float], gap: float) -> float:
  return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _top(group: list[float], gap: float) -> float:
  return float(np.mean(group)) + gap * (len(group) - 1) / 2


def _annotate(axes: Axes, point: np.ndarray, text: str, colour: str) -> Annotation:
  return axes.annotate(
    text,
    xy=(float(point[0]), float(point[1])),
    xytext=(0, 0),
    textcoords='offset points',
    fontsize=FONT_SIZE,
    color=colour,
    ha='center',
    va='center',
    zorder=4,
    # Keeps the text legible where it has to cross a line.
    bbox={'boxstyle': 'square,pad=0.1', 'facecolor': 'white', 'edgecolor': 'none', 'alpha': 0.7},
    arrowprops={'arrowstyle': '-', 'color': RULE, 'linewidth': 0.8, 'shrinkA': 0, 'shrinkB': 3},
    in_layout=False,
  )


def _size(note: Annotation) -> np.ndarray:
  box = Text.get_window_extent(note)  # Of the text alone; the note's own holds the line as well.
  return np.array([box.width, box.height])


def _search(
  anchors: np.ndarray, sizes: np.ndarray, blocked: np.ndarray, frame: np.ndarray
) -> np.ndarray:
  """[P, 2] offsets in pixels of the labels' centres from their points."""
  candidates = [_candidates(size) for size in sizes]
  chosen = np.array([offsets[0] for offsets, _ in candidates])
  for _ in range(SWEEPS):
    for i, (offsets, distance) in enumerate(candidates):
      boxes = _boxes(anchors[i] + offsets, sizes[i])
      others = np.delete(_boxes(anchors + chosen, sizes), i, axis=0)
      other_leaders = np.delete(_leaders(anchors, chosen), i, axis=0).reshape(-1, 2)
      crossings = _covered(others, _leaders(anchors[i], offsets)).sum((1, 2))
      cost = 4 * _overlap(boxes, others) + 1e4 * _outside(boxes, frame) + 2 * distance
      # With a margin: a label that nearly touches another point seems to name it.
      cost += 150 * _covered(boxes + MARGIN, np.delete(anchors, i, axis=0)).sum(1)
      cost += 30 * _covered(boxes, blocked).sum(1)
      cost += 50 * (_covered(boxes, other_leaders).sum(1) + crossings)
      chosen[i] = offsets[np.argmin(cost)]
  return chosen


def _dotted(line: np.ndarray, spacing: float = 4.0) -> np.ndarray:
  """[P, 2] points at even distances along a line [V, 2] in pixels."""
  length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
  at = np.linspace(0, length[-1], int(length[-1] / spacing) + 2)
  return np.stack([np.interp(at, length, axis) for axis in line.T], axis=1)


def _leaders(anchors: np.ndarray, offsets: np.ndarray) -> np.ndarray:
  """[P, 6, 2] points along the lines that join the labels to their points."""
  return (anchors + np.linspace(0.3, 0.8, 6)[:, None, None] * offsets).swapaxes(0, 1)


def _candidates(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Offsets [C, 2] of a label's centre that put its edge at each of the distances [C]."""
  direction = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
  offsets = [
    distance * direction + np.sign(np.round(direction, 6)) * size / 2 for distance in DISTANCES
  ]
  return np.concatenate(offsets), np.repeat(DISTANCES, len(ANGLES))


def _boxes(centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
  return np.concatenate([centres - sizes / 2 - 1, centres + sizes / 2 + 1], axis=-1)


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
  low = np.maximum(boxes[:, None, :2], others[None, :, :2])
  high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
  return np.prod(np.maximum(high - low, 0), axis=-1).sum(1)


def _covered(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
  """[..., P, O] whether each box [P, 4] holds each point [..., O, 2]."""
  points = points[..., None, :, :]
  inside = (points >= boxes[:, None, :2]) & (points <= boxes[:, None, 2:])
  return inside[..., 0] & inside[..., 1]


def _outside(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
  """[P] whether each box reaches beyond the frame [4]."""
  beyond = np.maximum(frame[:2] - boxes[:, :2], boxes[:, 2:] - frame[2:])
  return np.maximum(beyond[:, 0], beyond[:, 1]) > 0
