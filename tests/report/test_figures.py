"""Figures: well formed, repeatable, and drawn as said."""

import dataclasses
import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import exploration_figure, figures
from rec_jax.report.exploration_figure import Balance, Frontier
from rec_jax.report.figures import Curve
from rec_jax.report.style import MUTED, PALETTE


def balance(reward, items, cold):
  return Balance(
    Estimate(reward, reward - 0.02, reward + 0.02, 160),
    Estimate(items, items - 3, items + 3, 32),
    Estimate(cold, float('nan'), float('nan'), 1),
  )


def some_curves():
  x = np.arange(1, 1001)
  return {
    'regret': {
      f'policy {i}': Curve(x, i * np.sqrt(x), i * np.sqrt(x) - 1, i * np.sqrt(x) + 1)
      for i in range(9)
    },
    'reward': {'policy 8': Curve(x[:1], np.ones(1))},
  }


def some_balances():
  policies = {
    'no model': {'uniform': balance(0.03, 1679.0, 0.065), 'popularity': balance(0.256, 103.0, 0.0)},
    'posterior': {'linear Thompson': balance(0.31, 372.0, 0.02)},
  }
  members = [balance(0.3 - 0.01 * i, 150.0 + 90 * i, 0.01 * i) for i in range(8)]
  return policies, [Frontier('LinUCB', [str(i) for i in range(8)], members)]


def some_differences():
  return {
    'recall@10': {
      'teacher': Estimate(0.02, 0.01, 0.03, 9),
      'student': Estimate(0.01, -0.01, 0.03, 9),
    }
  }


MAKERS = {
  'curves': lambda: figures.curves('t', some_curves(), xlabel='round', caption='c'),
  'balance': lambda: exploration_figure.reward_against_exploration(
    't', *some_balances(), caption='c'
  ),
  'forest': lambda: figures.forest('t', some_differences(), reference=0.0, caption='c'),
}


@pytest.mark.parametrize('make', MAKERS.values(), ids=MAKERS)
def test_panels_are_well_formed_and_the_same_each_time(make):
  before = dict(matplotlib.rcParams)
  figure = make()
  assert dict(matplotlib.rcParams) == before
  for svg in figure.panels:
    assert ET.fromstring(svg).tag.endswith('svg')
    assert 'http' not in svg.replace('http://www.w3.org/', '')
  assert dataclasses.asdict(make()) == dataclasses.asdict(figure)


def test_each_quantity_has_a_panel_and_a_name_keeps_its_colour():
  figure = MAKERS['curves']()
  assert len(figure.panels) == 2
  ninth = PALETTE[8 % len(PALETTE)].lower()
  assert ninth in figure.panels[0]
  assert ninth in figure.panels[1]
  assert PALETTE[0].lower() not in figure.panels[1]


def test_a_long_curve_keeps_its_ends():
  kept = figures._kept(100_000)
  assert len(kept) == figures.MAX_POINTS
  assert (kept[0], kept[-1]) == (0, 99_999)
  np.testing.assert_array_equal(figures._kept(4), [0, 1, 2, 3])


def test_legend_of_the_balance_names_groups_and_frontiers():
  figure = MAKERS['balance']()
  assert [(entry.label, entry.is_line) for entry in figure.legend] == [
    ('no model', False),
    ('posterior', False),
    ('LinUCB', True),
  ]
  assert len({entry.colour for entry in figure.legend}) == 3
  assert len(figure.panels) == 2


def test_items_within_one_order_of_magnitude_have_several_ticks():
  policies = {'all': {f'policy {n:.0f}': balance(0.2, n, 0.0) for n in (780.0, 1020.0, 1380.0)}}
  svg = exploration_figure.reward_against_exploration('t', policies, [], caption='c').panels[0]
  ticks = set(re.findall(r'>([\d,.]+)</text>', svg)) | set(re.findall(r'<!-- ([\d,.]+) -->', svg))
  assert len([tick for tick in ticks if 700 < float(tick.replace(',', '')) < 1500]) >= 3


def test_only_differences_clear_of_zero_are_filled():
  clear, unclear = Estimate(0.02, 0.01, 0.03, 9), Estimate(0.01, -0.01, 0.03, 9)
  colour = PALETTE[0].lower()
  filled = figures.forest('t', {'q': {'a': clear}}, reference=0.0).panels[0]
  hollow = figures.forest('t', {'q': {'a': unclear}}, reference=0.0).panels[0]
  plain = figures.forest('t', {'q': {'a': unclear}}).panels[0]
  assert f'stroke: {colour}' in filled
  assert f'stroke: {colour}' not in hollow
  assert f'stroke: {MUTED}' in hollow
  assert f'stroke: {colour}' in plain


def test_cost_over_orders_of_magnitude_has_a_tick_a_decade():
  x = np.array([10.0, 100.0, 1_000.0])
  cost = {'time': {'measured': Curve(x, x**2), 'floor': Curve(x, x)}}
  (svg,) = figures.curves('cost', cost, xlabel='arms', logarithmic='xy').panels
  texts = set(re.findall(r'>([\d,.]+)</text>', svg)) | set(re.findall(r'<!-- ([\d,.]+) -->', svg))
  assert {'10', '100', '1,000'} <= texts
  assert '500' not in texts


def test_long_names_leave_room_for_the_axis():
  rows = {
    f'vowpalwabbit 9.11.9, contexts {how} beforehand': Estimate(61.1, 60.6, 62.1, 5)
    for how in ('parsed', 'written')
  }
  quantity = '32 seeds, contexts drawn beforehand, shared, propensities off, masks on, over this'
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    (drawn,) = figures.forest('t', {quantity: rows}, reference=1.0).panels
  # The first line that is drawn from left to right is the axis, of at least a quarter of the width.
  width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
  patch = re.search(r'id="patch_2">\s*<path d="M ([\d.]+) [\d.]+ \s*L ([\d.]+)', drawn)
  assert float(patch[2]) - float(patch[1]) > width / 4
