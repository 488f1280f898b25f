"""What a file is shows in its bytes: each format, kind of file and header gets its own advice."""

import gzip
import io
import os
import zipfile

import polars as pl
import pytest

from rec_jax.data import table_files
from rec_jax.types import InputError

_CSV = 'user_id,item_id\nann,7\nbob,8\n'


def scan_error(path):
  with pytest.raises(InputError) as caught:
    table_files.scan(str(path), 'config.data.interactions')
  message = str(caught.value)
  assert message.isprintable()  # One line, and nothing of the bytes of the file.
  return message.removeprefix(str(path))


def in_zip():
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w') as archive:
    archive.writestr('events.csv', _CSV)
  return stream.getvalue()


def in_parquet(**columns):
  stream = io.BytesIO()
  pl.DataFrame(columns or {'user_id': ['ann']}).write_parquet(stream)
  return stream.getvalue()


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('e.csv', _CSV.encode('utf-16'), ' is text in UTF-16; write it again in UTF-8'),
    ('e.csv', _CSV.encode('utf-32'), ' is text in UTF-32; write it again in UTF-8'),
    ('e.csv', _CSV.encode('utf-16-le'), ' is binary, or text in UTF-16; write it again as CSV in'),
    ('e.csv', 'Größe,item_id\n'.encode('latin-1'), ' is binary, or text in another encoding than'),
    ('e.csv', bytes(range(128, 256)) * 9, ' is binary, or text in another encoding than UTF-8'),
    ('e.csv', in_zip(), ' is a zip archive or an Excel workbook; unpack it, or save its sheet'),
    ('e.csv', in_parquet(), ' is a Parquet file; rename it to .parquet'),
    ('e.csv', b'SQLite format 3\0', ' is an SQLite database; export its table as CSV'),
    ('e.csv', _CSV.replace('\n', '\r').encode(), ' is text with the line ends of old Macs (CR'),
    ('e.xlsx', in_zip(), ': unknown extension ".xlsx"; give a .csv or .parquet file'),
    ('e.csv', b'', ' is empty; give a file with data'),
    ('e.csv', b'\n \r\n', ' is empty; give a file with data'),
    ('e.parquet', _CSV.encode(), ' is not a Parquet file; rename it to .csv if it is one'),
    ('e.parquet', in_zip(), ' is a zip archive or an Excel workbook'),
    ('e.parquet', in_parquet()[:60], ': cannot be read ('),
  ],
)
def test_a_file_of_another_format_is_named(tmp_path, name, content, message):
  (tmp_path / name).write_bytes(content)
  assert scan_error(tmp_path / name).startswith(message)


def test_a_directory_a_pipe_and_links_that_lead_nowhere(tmp_path):
  (tmp_path / 'd.csv').mkdir()
  (tmp_path / 'd').mkdir()
  os.mkfifo(tmp_path / 'p.csv')
  os.mkfifo(tmp_path / 'p')
  (tmp_path / 'circle.csv').symlink_to(tmp_path / 'circle.csv')
  (tmp_path / 'lost.csv').symlink_to(tmp_path / 'gone.csv')
  expected = {
    'd.csv': ' is a directory; give the file in it by --config.data.interactions',
    'd': ' is a directory; give the file in it by --config.data.interactions',
    'p': ' is a pipe or a device; write its content to a file and give that',
    'p.csv': ' is a pipe or a device; write its content to a file and give that',
    'lost.csv': ': a link to a file that is not there; check --config.data.interactions',
    'none.csv': ': no such file; check --config.data.interactions',
    'none.csv/e.csv': ': no such file; check --config.data.interactions',
  }
  for name, message in expected.items():
    assert scan_error(tmp_path / name) == message
  assert scan_error(tmp_path / 'circle.csv').startswith(' cannot be opened (Too many levels')
  assert scan_error(f'{"x" * 300}.csv').startswith(' cannot be opened (File name too long)')


def test_a_file_that_may_not_be_read_is_not_to_be_written_again(tmp_path, monkeypatch):
  (tmp_path / 'e.csv').write_text(_CSV)

  def refuse(*_):
    raise PermissionError(13, 'Permission denied')  # Which the superuser never meets.

  monkeypatch.setattr(table_files, 'open', refuse, raising=False)
  message = scan_error(tmp_path / 'e.csv')
  assert message.startswith(' cannot be opened (Permission denied)')
  assert 'write' not in message


@pytest.mark.parametrize('end', ['\n', '\r\n'])
@pytest.mark.parametrize('pack', [bytes, gzip.compress], ids=['plain', 'gzip'])
def test_a_sound_table_is_read(tmp_path, end, pack):
  path = tmp_path / 'e[1]*.csv'  # Nothing is expanded.
  path.write_bytes(pack(_CSV.replace('\n', end).encode()))
  table = table_files.scan(str(path), 'config.data.interactions')
  table_files.require(table, 'item_id', 'item_column')
  assert table_files.collect(table, ['item_id', 'user_id']).rows() == [('7', 'ann'), ('8', 'bob')]


def test_a_column_name_that_is_there_twice(tmp_path):
  path = tmp_path / 'e.csv'
  path.write_text('user_id,a,a,item_id,,\n1,2,3,4,,\n')
  table = table_files.scan(str(path), 'config.data.interactions')
  assert table.repeated == ['a']  # Columns without a name are nobody's.
  table_files.require(table, 'user_id', 'user_column')
  with pytest.raises(InputError, match='there are several columns "a"; rename or remove all but'):
    table_files.require(table, 'a', 'user_column')
