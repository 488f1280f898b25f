"""How numbers are written."""

import math

import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    (1682, '1,682'),
    (-3, '\N{MINUS SIGN}3'),
    (0.2144, '0.214'),
    (23.456, '23.5'),
    (123456.7, '123,457'),
    (0.00042, '0.0004'),
    (0.0, '0.00'),
    (-1e-9, '0.0000'),
    (None, '\N{EN DASH}'),
    (math.nan, '\N{EN DASH}'),
    (math.inf, '\N{INFINITY}'),
  ],
)
def test_number(value, expected):
  assert numbers.number(value) == expected


def test_differences_carry_their_sign():
  assert numbers.number(0.013, 3, sign=True) == '+0.013'
  assert numbers.number(-0.013, 3, sign=True) == '\N{MINUS SIGN}0.013'
  assert numbers.number(0.0001, 3, sign=True) == '0.000'


@pytest.mark.parametrize(
  ('half_width', 'decimals'), [(0.018, 3), (0.036, 2), (0.0073, 3), (2.9, 1), (12.0, 0), (1e-9, 4)]
)
def test_interval_decides_the_decimals(half_width, decimals):
  estimate = Estimate(0.5, 0.5 - half_width, 0.5 + half_width, 10)
  assert numbers.estimate_decimals(estimate) == decimals


def test_estimates_as_text():
  assert numbers.plain(Estimate(0.2144, 0.1963, 0.2324, 672)) == '0.214 [0.196, 0.232]'
  assert numbers.plain(Estimate(0.25, math.nan, math.nan, 1)) == '0.250 [unknown]'
  assert numbers.plain(Estimate(3.0, 3.0, 3.0, 32)) == '3.00 [3.00, 3.00]'
  assert numbers.plain('text') == 'text'


def test_a_column_has_one_number_of_decimals():
  wide, narrow = Estimate(0.25, 0.232, 0.268, 5), Estimate(0.03, 0.0299, 0.0301, 5)
  assert numbers.column_decimals([wide, wide, narrow, 'note', None]) == 3
  assert numbers.column_decimals([3, 4, 'text']) is None


def test_n_is_shared_only_where_it_is_the_same():
  a, b = Estimate(0.0, 0.0, 0.0, 5), Estimate(0.0, 0.0, 0.0, 6)
  assert numbers.shared_n([a, a, 'text']) == 5
  assert numbers.shared_n([a, b]) is None
  assert numbers.shared_n([1, 2]) is None


@pytest.mark.parametrize(
  ('seconds', 'expected'),
  [
    ((12.0, 0.5), ('seconds', 1.0)),
    ((1.0, 0.001), ('seconds', 1.0)),
    ((0.52, 0.0008), ('milliseconds', 1e-3)),
    ((0.0008, 0.0002), ('microseconds', 1e-6)),
    ((2e-7, 0.0), ('microseconds', 1e-6)),
  ],
)
def test_the_longest_time_chooses_the_unit(seconds, expected):
  assert numbers.time_unit(seconds) == expected
