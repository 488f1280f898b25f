"""Scalars and progress of a run."""

import io
import json

import pytest

from rec_jax.training import tracking


def read(directory):
  return [json.loads(line) for line in (directory / 'scalars.jsonl').read_text().splitlines()]


def write(directory, start, end):
  with tracking.writer(directory, start) as write_scalars:
    for step in range(start + 1, end + 1):
      write_scalars(step, {'loss': 1 / step, 'accuracy': step / 10})


def test_scalars_go_to_json_lines_and_tensorboard(tmp_path):
  write(tmp_path, 0, 2)
  assert read(tmp_path) == [
    {'step': 1, 'name': 'loss', 'value': 1.0},
    {'step': 1, 'name': 'accuracy', 'value': 0.1},
    {'step': 2, 'name': 'loss', 'value': 0.5},
    {'step': 2, 'name': 'accuracy', 'value': 0.2},
  ]
  (events,) = tmp_path.glob('events.out.tfevents.*')
  assert events.read_bytes().count(b'accuracy') == 2


@pytest.mark.parametrize('tail', ['', '{"step": 8, "na'])
def test_after_a_restart_the_file_is_that_of_an_uninterrupted_run(tmp_path, tail):
  write(tmp_path / 'whole', 0, 10)
  write(tmp_path / 'killed', 0, 7)
  with (tmp_path / 'killed/scalars.jsonl').open('a') as lines:
    lines.write(tail)
  write(tmp_path / 'killed', 5, 10)
  whole, killed = (tmp_path / name / 'scalars.jsonl' for name in ('whole', 'killed'))
  assert killed.read_text() == whole.read_text()


def test_lines_are_written_at_once(tmp_path):
  with tracking.writer(tmp_path, 0) as write_scalars:
    write_scalars(1, {'loss': 2.0})
    assert len(read(tmp_path)) == 1


def test_what_json_cannot_say_is_null(tmp_path):
  with tracking.writer(tmp_path, 0) as write_scalars:
    write_scalars(1, {'loss': float('nan'), 'norm': float('inf')})
  assert [row['value'] for row in read(tmp_path)] == [None, None]


class Terminal(io.StringIO):
  def isatty(self):
    return True


def run_progress(monkeypatch, stream):
  monkeypatch.setattr('sys.stderr', stream)
  with tracking.progress('finetune', total=4, initial=1) as advance:
    for step in range(2):
      advance(note=f'loss {step}')
  return stream.getvalue()


def test_a_file_gets_one_line(monkeypatch):
  text = run_progress(monkeypatch, io.StringIO())
  assert text == 'finetune: 3/4 in 0 s\n'


def test_a_terminal_gets_a_bar(monkeypatch):
  text = run_progress(monkeypatch, Terminal())
  assert 'finetune: ' in text
  assert '3/4' in text
  assert 'loss 1' in text
  assert text.count('\n') == 1


def test_a_step_that_fails_does_not_claim_to_be_done(monkeypatch):
  stream = io.StringIO()
  monkeypatch.setattr('sys.stderr', stream)
  with pytest.raises(ZeroDivisionError), tracking.progress('finetune', total=4):
    raise ZeroDivisionError
  assert stream.getvalue() == ''
