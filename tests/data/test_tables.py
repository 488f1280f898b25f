"""A user's own tables: what is read, and the one line that each mistake gets."""

import dataclasses
import datetime
import re

import polars as pl
import pytest

from rec_jax.data.config import DataConfig
from rec_jax.data.tables import read_tables, take_first
from rec_jax.types import InputError

_EVENTS = """user_id,item_id,timestamp,rating
ann,7,100,5
bob,7,90,3.5
ann,008,110,1
"""
_ITEMS = """item_id,title,price,plot
7,Seven,9.5,Two detectives
008,Eight,3,
"""


def _config(tmp_path, events=_EVENTS, items=_ITEMS, **fields) -> DataConfig:
  paths = {}
  for name, content in (('interactions', events), ('items', items)):
    if isinstance(content, pl.DataFrame):
      paths[name] = str(tmp_path / f'{name}.parquet')
      content.write_parquet(paths[name])
    else:
      paths[name] = str(tmp_path / f'{name}.csv')
      (tmp_path / f'{name}.csv').write_text(content, encoding='utf-8')
  return DataConfig(source='tables', **(paths | fields))


def _frame(**columns) -> pl.DataFrame:
  return pl.DataFrame({'user_id': [1, 2], 'item_id': [7, 8], 'timestamp': [5, 6]} | columns)


def test_csv_keeps_ids_as_they_are_written_and_orders_events_by_time(tmp_path):
  tables = read_tables(_config(tmp_path))
  assert tables.interactions.select('user_id', 'item_id', 'timestamp', 'rating').rows() == [
    ('bob', '7', 90, 3.5),
    ('ann', '7', 100, 5.0),
    ('ann', '008', 110, 1.0),
  ]
  assert tables.interactions.schema['rating'] == pl.Float32
  assert tables.interactions.schema['timestamp'] == pl.Int64
  assert tables.interactions['row'].to_list() == [0, 1, 2]
  assert tables.items.rows() == [('7', 'Seven. Two detectives'), ('008', 'Eight')]
  assert tables.notes['text_columns'] == 'title, plot'  # price holds numbers only.


def test_repeats_are_left_out_or_kept(tmp_path):
  again = f'{_EVENTS}ann,7,120,2\n'
  first = read_tables(_config(tmp_path, events=again))
  assert first.notes['repeats_left_out'] == 1 and len(first.interactions) == 3
  kept = read_tables(_config(tmp_path, events=again, repeats=True))
  assert kept.notes['repeats_left_out'] == 0
  assert kept.interactions['item_id'].to_list() == ['7', '7', '008', '7']


def test_the_first_events_and_their_items(tmp_path):
  tables = read_tables(_config(tmp_path))
  first = take_first(tables, 0.7)
  assert first.interactions['user_id'].to_list() == ['bob', 'ann']
  assert first.items['item_id'].to_list() == ['7']
  assert take_first(tables, 1.0) is tables
  with pytest.raises(InputError, match=r'leaves none of 3 events'):
    take_first(tables, 0.1)


def test_parquet_reads_the_same_as_csv(tmp_path):
  csv = read_tables(_config(tmp_path))
  events = pl.read_csv(tmp_path / 'interactions.csv', schema_overrides={'item_id': pl.String})
  items = pl.read_csv(tmp_path / 'items.csv', schema_overrides={'item_id': pl.String})
  parquet = read_tables(_config(tmp_path, events, items))
  assert parquet.interactions.equals(csv.interactions)
  assert parquet.items.equals(csv.items)


def test_whole_numbers_and_floats_without_fraction_are_the_same_ids(tmp_path):
  # A column of integers with a gap turns into floats in many tools.
  items = pl.DataFrame({'item_id': [7.0, 8.0], 'title': ['Seven', 'Eight']})
  tables = read_tables(_config(tmp_path, _frame(), items))
  assert tables.interactions['item_id'].to_list() == ['7', '8']
  assert 'rating' not in tables.interactions.columns


@pytest.mark.parametrize('unit', [1, 10**3, 10**6, 10**9])
def test_the_magnitude_tells_the_unit_of_a_time(tmp_path, unit):
  seconds = [874_724_710, 1_700_000_000]
  events = _frame(timestamp=[second * unit for second in seconds])
  tables = read_tables(_config(tmp_path, events, _ITEMS.replace('008', '8')))
  assert tables.interactions['timestamp'].to_list() == seconds


@pytest.mark.parametrize(
  ('written', 'expected'),
  [
    ('1997-09-20 03:05:10', 874_724_710),
    ('1997-09-20T03:05:10Z', 874_724_710),
    ('1997/09/20 03:05:10.25', 874_724_710),
    ('1997-09-20T05:05:10+02:00', 874_724_710),
    ('1997-09-20 05:05:10+02', 874_724_710),
    ('1997-09-20 03:05:10.25+00', 874_724_710),
    ('1997-09-20 03:05:10 UTC', 874_724_710),
    ('19970920', 874_713_600),
    ('19970920030510', 874_724_710),
    ('1997-09-20 03:05', 874_724_700),
    ('1997-09-20', 874_713_600),
    ('874724710.0', 874_724_710),
    ('-5', -5),
  ],
)
def test_times_as_text(tmp_path, written, expected):
  events = f'user_id,item_id,timestamp\n1,7,{written}\n2,7,{written}\n'
  tables = read_tables(_config(tmp_path, events))
  assert tables.interactions['timestamp'].to_list() == [expected, expected]


@pytest.mark.parametrize(
  ('written', 'expected'),
  [
    ((19970920, 99991231), (874_713_600, 253_402_214_400)),
    ((20000000, 20000001), (20_000_000, 20_000_001)),
    ((19970920030510.0, 20010909014640), (874_724_710, 1_000_000_000)),
    ((20000000000000, 20000000000001), (20_000_000_000, 20_000_000_000)),
  ],
)
def test_dates_as_numbers_beside_one_far_away_and_a_counter_there(tmp_path, written, expected):
  tables = read_tables(_config(tmp_path, _frame(timestamp=written), _ITEMS.replace('008', '8')))
  assert tables.interactions['timestamp'].to_list() == list(expected)


def test_parquet_datetimes_with_a_zone_and_dates(tmp_path):
  zoned = pl.Series([datetime.datetime(1997, 9, 20, 3, 5, 10)] * 2).dt.replace_time_zone('UTC')
  zoned = zoned.dt.convert_time_zone('Asia/Tokyo').cast(pl.Datetime('ms', 'Asia/Tokyo'))
  items = _ITEMS.replace('008', '8')
  tables = read_tables(_config(tmp_path, _frame(timestamp=zoned), items))
  assert tables.interactions['timestamp'].to_list() == [874_724_710] * 2
  dates = _frame(timestamp=[datetime.date(1970, 1, 2)] * 2)
  assert read_tables(_config(tmp_path, dates, items)).interactions['timestamp'][0] == 86_400


def test_order_within_one_second_is_kept(tmp_path):
  events = 'user_id,item_id,timestamp\n1,7,1700000000900\n2,7,1700000000100\n1,008,1700000000500\n'
  tables = read_tables(_config(tmp_path, events))
  assert tables.interactions['timestamp'].to_list() == [1_700_000_000] * 3
  ordered = tables.interactions.sort('timestamp', 'row')
  assert ordered['user_id'].to_list() == ['2', '1', '1']
  assert ordered['item_id'].to_list() == ['7', '008', '7']


def test_what_is_left_out_is_counted(tmp_path):
  events = """user_id,item_id,timestamp,quantity
1,7,100,2
1,7,90,1
2,7,95,0
2,008,99,-1
2,008,120,1
"""
  tables = read_tables(_config(tmp_path, events))
  assert tables.interactions.select('user_id', 'timestamp').rows() == [('1', 90), ('2', 120)]
  assert tables.notes['events_without_quantity_left_out'] == 2
  assert tables.notes['repeats_left_out'] == 1
  assert tables.notes['duplicates_left_out'] == 0


def test_ids_are_the_same_in_both_tables_whatever_stands_around_them(tmp_path, caplog):
  items = _ITEMS.replace('7,', '7 ,')
  assert read_tables(_config(tmp_path, items=items)).items['item_id'].to_list() == ['7', '008']
  message, of_times = caplog.messages
  assert 'good for order alone' in of_times
  assert message.startswith(f'{tmp_path}/items.csv: column "item_id": 1 of 2 ids have spaces')


@pytest.mark.parametrize(
  ('times', 'message'),
  [
    ((0, 1_700_000_000, 1_700_000_001), '1 of 3 times lie more than 30 years .*row 1: "0"'),
    ((1_700_000_000, 1_700_000_000_001, 1_700_000_000_002), '1 of 3 times .*row 1: "1700000000"'),
    (
      (0, 1, 2),
      'read as 1970-01-01 00:00:00 to 1970-01-01 00:00:02: .* good for order alone; give',
    ),
    ((41574.5, 2003, 11574), 'times are read as 1970-01-01 00:33:23 to 1970-01-01 11:32:54'),
    ((2**32, 2**32 + 1, 2**32), 'times are read as 2106-02-07 06:28:16 to 2106-02-07 06:28:17'),
    ((1_700_000_000,) * 3, 'all 3 events have the same time: the order of the rows decides'),
  ],
)
def test_odd_times_are_counted(tmp_path, caplog, times, message):
  rows = [f'{user},7,{time}' for user, time in enumerate(times)]
  read_tables(_config(tmp_path, '\n'.join(['user_id,item_id,timestamp', *rows])))
  (warning,) = caplog.messages
  assert re.search(f'column "timestamp": .*{message}', warning)


def test_events_that_mostly_repeat_are_counted(tmp_path, caplog):
  times = range(1_700_000_002, 1_700_000_005)
  events = ['user_id,item_id,timestamp', 'ann,7,1700000001', *(f'bob,7,{time}' for time in times)]
  read_tables(_config(tmp_path, '\n'.join(events)))
  assert not caplog.messages  # Half of them.
  read_tables(_config(tmp_path, '\n'.join([*events, 'bob,7,1700000005'])))
  (warning,) = caplog.messages
  assert '3 of 5 events are left out: they repeat an item of the same user (2 users, ' in warning


def test_duplicates_are_dropped_on_demand(tmp_path):
  config = _config(tmp_path, _EVENTS + 'ann,7,100,2\n', drop_duplicates=True)
  tables = read_tables(config)
  assert tables.notes['duplicates_left_out'] == 1
  kept = tables.interactions.filter(pl.col('user_id') == 'ann', pl.col('item_id') == '7')
  assert kept['rating'].to_list() == [5.0]


def test_lists_of_strings_are_text(tmp_path):
  items = pl.DataFrame({'item_id': [7, 8], 'title': ['Seven', None], 'tags': [['a', 'b'], ['c']]})
  tables = read_tables(_config(tmp_path, _frame(), items))
  assert tables.items['text'].to_list() == ['Seven. a, b', 'c']


def test_a_text_column_named_twice_is_used_once(tmp_path):
  tables = read_tables(_config(tmp_path, text_columns='title,title'))
  assert tables.items['text'].to_list() == ['Seven', 'Eight']


def test_chosen_text_columns_and_other_names(tmp_path):
  config = _config(
    tmp_path,
    'who,what,when,stars\n1,7,5,2\n2,008,6,3\n',
    _ITEMS.replace('item_id', 'what'),
    user_column='who',
    item_column='what',
    time_column='when',
    rating_column='stars',
    text_columns='price, title',
  )
  tables = read_tables(config)
  assert tables.items['text'].to_list() == ['9.5. Seven', '3. Eight']
  assert tables.interactions['rating'].to_list() == [2.0, 3.0]


_HEADER = 'user_id,item_id,timestamp\n'


@pytest.mark.parametrize(
  ('events', 'message'),
  [
    (
      'user_id,item_id,when\n1,7,5\n',
      'no column "timestamp" among user_id, item_id, when; .*--con',
    ),
    (_HEADER + '1,7,5\n ,7,6\n', 'column "user_id", row 2: " " is an empty id'),
    (_HEADER + '1,7,5\n2,,6\n', 'column "item_id", row 2: nothing is an empty id'),
    (_HEADER + '1,7,5\n2,7,soon\n', 'column "timestamp", row 2: "soon" is not a time; give sec'),
    (_HEADER + '1,7,1997-01-02\n2,7,02/01/1997\n', 'row 2: "02/01/1997" is not a time'),
    (_HEADER + '1,7,1997-02-30\n2,7,1997-01-02\n', 'row 1: "1997-02-30" is not a time'),
    (_HEADER + '1,7,19970920\n2,7,19970921\n3,7,0\n', 'row 3: "0" is not a time'),
    (_HEADER + '1,7,5\n2,7,\n', 'column "timestamp", row 2: nothing is not a time'),
    (_HEADER + '1,7,5\n2,7,inf\n', 'row 2: "inf" is not a time'),
    (_HEADER + '1,7,5\n2,7,1e300\n', 'row 2: "1e300" is not a time'),
    (_HEADER + '1,7,5\n2,7,-80000000000\n', 'row 2: "-80000000000" is not a time'),
    (_EVENTS + 'ann,7,100,2\n', r'row 4 repeats row 1: same .*"ann".*drop_duplicates=True'),
    (_EVENTS + 'cat,9,100,2\n', r'row 4: item "9" is not in .*items.csv \(1 such items\)'),
    (_EVENTS + 'cat,7,100,nan\n', 'column "rating", row 4: "nan" is not a finite number'),
    (_EVENTS + 'cat,7,100,\n', 'column "rating", row 4: nothing is not a finite number'),
    (_EVENTS + 'cat,7,100,good\n', 'column "rating", row 4: "good" is not a finite number'),
    (_HEADER + '1,7,5\n1,008,6\n', 'every event is of the one user "1"'),
    (_HEADER, 'the table has no rows'),
    ('user_id,item_id,timestamp,user_id\n1,7,5,2\n', 'there are several columns "user_id"'),
    (_HEADER.replace(',', ';') + '1;7;5\n', 'columns are not separated by commas'),
    ('', 'is empty'),
    (_HEADER + '1,7,5\n2,7,6,extra\n', 'cannot be read'),
    (
      'user_id,item_id,timestamp,quantity\n1,7,5,0\n',
      'column "quantity" is 0 or less in every row',
    ),
  ],
)
def test_wrong_events_are_one_line_that_names_the_file(tmp_path, events, message):
  config = _config(tmp_path, events)
  _assert_input_error(config, re.escape(config.interactions) + '.*' + message)


def test_line_breaks_within_cells_and_names_keep_the_message_one_line(tmp_path):
  _assert_input_error(_config(tmp_path, '"user\nid",item_id\n1,7\n'), 'among user / id, item_id')
  events = 'user_id,item_id,timestamp\n1,7,5\n2,7,"a\nb"\n'
  _assert_input_error(_config(tmp_path, events), 'row 2: "a / b" is not a time')


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
  assert len(read_tables(_config(tmp_path, '\ufeff' + _EVENTS)).interactions) == 3


@pytest.mark.parametrize(
  ('items', 'message'),
  [
    ('id,title\n7,Seven\n', 'no column "item_id" among id, title'),
    (_ITEMS + ',Nine,1,\n', 'column "item_id", row 3: nothing is an empty id'),
    (_ITEMS + '7,Nine,1,\n', 'row 3: item "7" is there already'),
    (_ITEMS + '9,,1, \n', 'columns title, plot, row 3: item "9" has no text'),
    ('item_id,title,title\n7,a,b\n008,c,d\n', 'there are several columns "title"'),
    ('item_id,price\n7,1\n008,2\n', 'no text column among item_id, price'),
    ('item_id,title\n', 'the table has no rows'),
  ],
)
def test_wrong_items_are_one_line_that_names_the_file(tmp_path, items, message):
  config = _config(tmp_path, items=items)
  _assert_input_error(config, re.escape(config.items) + '.*' + message)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'interactions': ''}, 'set --config.data.interactions=FILE'),
    ({'items': 'nowhere.csv'}, 'nowhere.csv: no such file'),
    ({'items': 'items.xlsx'}, 'items.xlsx: no such file; check --config.data.items'),
    ({'rating_column': 'stars'}, 'no column "stars" among .*--config.data.rating_column'),
    ({'text_columns': 'title,plots'}, 'no column "plots" among .*--config.data.text_columns'),
  ],
)
def test_wrong_fields_name_what_to_set(tmp_path, fields, message):
  _assert_input_error(dataclasses.replace(_config(tmp_path), **fields), message)


@pytest.mark.parametrize(
  ('columns', 'message'),
  [
    ({'user_id': [1.5, 2.0]}, 'column "user_id", row 1: "1.5" is not an id'),
    ({'user_id': [[1], [2]]}, r'column "user_id" holds List\(Int64\), not ids'),
    ({'timestamp': [True, False]}, 'column "timestamp" holds Boolean, not times'),
    ({'timestamp': [None, None]}, 'column "timestamp", row 1: nothing is not a time'),
    ({'rating': [1.0, float('inf')]}, 'column "rating", row 2: "inf" is not a finite number'),
    ({'rating': [1.0, 1e300]}, 'column "rating", row 2: "1e.?300" is not a finite number'),
  ],
)
def test_wrong_types_of_parquet(tmp_path, columns, message):
  _assert_input_error(_config(tmp_path, _frame(**columns), _ITEMS.replace('008', '8')), message)


@pytest.mark.parametrize('cells', [[b'\xff', b'a'], [{'a': 1}, {'a': 2}], [[1], [2]]])
def test_text_of_a_wrong_type_is_one_line(tmp_path, cells):
  items = pl.DataFrame({'item_id': [7, 8], 'plot': cells})
  config = _config(tmp_path, _frame(), items, text_columns='plot')
  _assert_input_error(config, 'items.parquet: column "plot" holds .*, not text')


def test_text_that_is_not_utf_8_says_so(tmp_path):
  config = _config(tmp_path)
  with open(config.items, 'ab') as file:
    file.write(b'9,Am\xe9lie,1,\n')
  _assert_input_error(config, 'items.csv: cannot be read .*CSV in UTF-8')


def test_a_damaged_parquet_file(tmp_path):
  config = _config(tmp_path, _frame())
  with open(config.interactions, 'r+b') as file:
    file.truncate(100)
  _assert_input_error(config, 'interactions.parquet: cannot be read')


def _assert_input_error(config: DataConfig, message: str) -> None:
  with pytest.raises(InputError, match=message) as caught:
    read_tables(config)
  assert '\n' not in str(caught.value)
