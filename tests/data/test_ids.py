"""Ids that a tool has changed on the way to a file: undone with a count, or refused."""

import re

import polars as pl
import pytest

from rec_jax.data import ids
from rec_jax.types import InputError


def read(*cells, dtype=None):
  return ids.read(pl.Series('user_id', cells, dtype, strict=False), 'e.csv').to_list()


@pytest.mark.parametrize(
  ('cells', 'expected'),
  [
    (('ann', '007', '-3'), ['ann', '007', '-3']),
    ((7, -8), ['7', '-8']),
    ((7.0, 2.0**53 - 1), ['7', '9007199254740991']),
    (('1.0', '1.5', '2.0'), ['1.0', '1.5', '2.0']),  # Versions, not whole numbers.
    (('18014398509481985', '18014398509481984'), ['18014398509481985', '18014398509481984']),
    (('nan1', 'nana', '1e5'), ['nan1', 'nana', '1e5']),
    (('b' * 1000, 'x', '2.00', '1', '01'), ['b' * 1000, 'x', '2.00', '1', '01']),
  ],
)
def test_ids_that_are_sound_are_read_as_they_are(caplog, cells, expected):
  assert read(*cells) == expected
  assert not caplog.messages


@pytest.mark.parametrize(
  ('cells', 'expected', 'warning'),
  [
    (
      ('a ', 'a', '\tb'),
      ['a', 'a', 'b'],
      '2 of 3 ids have spaces around them .*row 1: "a " as "a"',
    ),
    (('a\u00a0', 'a\u200b', '\ufeffa'), ['a', 'a', 'a'], '3 of 3 ids'),
    (('cafe\u0301', 'caf\u00e9'), ['caf\u00e9'] * 2, '1 of 2 ids have .*accents set apart'),
    (('1', '1.0', '02.00'), ['1', '1', '02'], '2 of 3 ids have decimals.*row 2: "1.0" as "1"'),
  ],
)
def test_what_can_be_undone_is_undone_and_counted(caplog, cells, expected, warning):
  assert read(*cells) == expected
  (message,) = caplog.messages
  assert message.startswith('e.csv: column "user_id": ')
  assert re.search(warning, message)


@pytest.mark.parametrize(
  ('cells', 'dtype', 'message'),
  [
    ((1.0, 2.0**53), None, 'row 2: "9007199254740992.0" is not an id: Float64 tells no whole'),
    ((1.0, -(2.0**60)), None, 'row 2: .* is not an id: Float64 tells no whole'),
    ((1.0, 2.0**24), pl.Float32, 'row 2: .* is not an id: Float32 tells no whole'),
    ((1.0, float('inf')), None, 'row 2: "inf" is not an id'),
    ((1.0, float('nan')), None, 'row 2: "nan" is an empty id'),
    ((1.5, 1.0), None, 'row 1: "1.5" is not an id; use strings or whole numbers'),
    (('ann', 'NaN'), None, 'row 2: "NaN" stands for a missing id; fill it or remove the row'),
    (('ann', ' None '), None, 'row 2: " None " stands for a missing id'),
    (('NULL', 'ann'), None, 'row 1: "NULL" stands for a missing id'),
    (('<NA>', 'ann'), None, 'row 1: "<NA>" stands for a missing id'),
    (('7', '1.23457E+11'), None, r'row 2: "1.23457E\+11" is a rounded number, not an id'),
    (('7', '1.80E16'), None, r'row 2: "1.80E16" is a rounded number, not an id'),
    (('7', '1e+16'), None, r'row 2: "1e\+16" is a rounded number, not an id'),
    (('7', '9007199254740992.0'), None, 'row 2: .* is a rounded number, not an id'),
    (('x', '1', '1.0'), None, 'row 3: "1.0" is there as "1" as well; write each id in one way'),
    (('x', '1.0', '1.00'), None, 'row 2: "1.0" is there as "1.00" as well; write each id in one'),
    (('u1', 'u1\0'), None, 'row 2: .* holds a NUL character; remove it'),
    (('a', 'b' * 1001), None, 'row 2: "bbb.* is longer than 1,000 characters; give shorter ids'),
    (('a', '\u200b'), None, 'row 2: .* is an empty id'),
    ((None, 'a'), None, 'row 1: nothing is an empty id'),
    ((True, False), None, 'holds Boolean, not ids'),
  ],
)
def test_what_is_lost_is_refused(cells, dtype, message):
  with pytest.raises(InputError, match=f'^e.csv: column "user_id".*{message}') as caught:
    read(*cells, dtype=dtype)
  assert str(caught.value).isprintable()


@pytest.mark.parametrize('cell', ['\\N', 'NaT', 'inf', '-inf', '-nan', '#REF!', '#DIV/0!'])
def test_what_tools_write_for_no_value_is_no_id(cell):
  with pytest.raises(InputError, match=f'row 2: "{re.escape(cell)}" stands for a missing id'):
    read('ann', cell)


def test_a_bad_id_beside_a_good_one_in_a_column_of_categories():
  series = pl.Series('user_id', ['a ', 'nan'], pl.Categorical)
  with pytest.raises(InputError, match='row 2: "nan" stands for a missing id'):
    ids.read(series, 'e.parquet')
