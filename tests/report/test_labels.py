"""Labels that do not cover each other."""

import hypothesis
import numpy as np
import scipy.optimize
from hypothesis import strategies as st
from matplotlib.text import Text

from rec_jax.report import labels
from rec_jax.report.style import panel, style


@hypothesis.settings(derandomize=True, max_examples=100, deadline=None)
@hypothesis.given(st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=12))
def test_spread_is_the_least_squares_answer(positions):
  positions, gap = np.array(positions), 1.5
  order = np.argsort(positions, kind='stable')
  step = gap * np.arange(len(positions))
  expected = scipy.optimize.isotonic_regression(positions[order] - step).x + step
  np.testing.assert_allclose(labels.spread(positions, gap)[order], expected, atol=1e-9)


def placed_boxes(points, texts, lines=()):
  with style():
    figure, axes = panel(4.4, 'x', 'y')
    axes.plot(*points.T, 'o')
    axes.margins(0.15)
    figure.draw_without_rendering()
    labels.label_points(axes, points, texts, ['#0072B2'] * len(texts), lines)
    figure.draw_without_rendering()
    boxes = np.array([Text.get_window_extent(note).extents for note in axes.texts])
    return boxes, axes.get_window_extent().extents


def test_labels_of_a_crowd_cover_no_other_label_and_stay_inside():
  points = np.random.default_rng(0).normal(size=(12, 2))
  boxes, frame = placed_boxes(points, [f'a policy, number {i}' for i in range(12)])
  for i, box in enumerate(boxes):
    assert (box[:2] >= frame[:2] - 1).all()
    assert (box[2:] <= frame[2:] + 1).all()
    for other in boxes[:i]:
      overlap = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
      assert overlap.min() <= 0


def test_a_label_avoids_a_line():
  points = np.array([[0.0, 0.0], [1.0, 1.0]])
  line = np.array([[0.0, 0.0], [1.0, 0.0]])
  boxes, _ = placed_boxes(points, ['first', 'second'], [line])
  free, _ = placed_boxes(points, ['first', 'second'])
  height = (free[0, 1] + free[0, 3]) / 2
  assert free[0, 1] < height < free[0, 3]
  assert not boxes[0, 1] < height < boxes[0, 3]
