"""The table for the terminal."""

import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import terminal


def test_table_by_hand():
  table = terminal.table(
    ['policy', 'reward', 'items'],
    [
      ['uniform', Estimate(0.03, 0.012, 0.048, 160), 1679],
      ['popularity, greedy', Estimate(0.256, 0.232, 0.28, 160), None],
    ],
  )
  assert table.split('\n') == [
    'policy                    reward (n=160)  items',
    '------------------  --------------------  -----',
    'uniform             0.030 [0.012, 0.048]  1,679',
    'popularity, greedy  0.256 [0.232, 0.280]      \N{EN DASH}',
  ]


def test_a_row_of_another_length_is_an_error():
  with pytest.raises(ValueError, match='1 cells for 2 columns'):
    terminal.table(['a', 'b'], [['x']])
