"""Of an event that cannot be applied it is known whether anybody was told."""

import os

import jax
import numpy as np
import pytest

from rec_jax.bandits.host import Service, journal, programs
from rec_jax.types import InputError
from tests.bandits import problems


def service(directory):
  # Any choice by chance will do, and this one compiles fast.
  made = Service('epsilon_greedy', arm_dim=3, epsilon=1.0)
  made.add_arms(['a', 'b', 'c'], np.eye(3, dtype=np.float32))
  made.save(directory)
  return made


def no_shape(*arguments):
  raise TypeError('of no shape')


def killed_before_it_is_taken_back(directory, monkeypatch):
  """A journal that ends with an event that failed; the state before it, and its decision."""
  made = service(directory)
  first = made.decide()
  state = jax.device_get(made._engine.state)
  monkeypatch.setattr(programs, 'update', no_shape)
  monkeypatch.setattr(journal.Journal, 'take_back', lambda self: None)
  with pytest.raises(TypeError, match='of no shape'):
    made.learn([first.decision], [1.0])
  made.close()
  monkeypatch.undo()
  return state, first.decision


def test_what_failed_and_was_not_taken_back_before_a_kill_is_left_out(
  tmp_path, monkeypatch, caplog
):
  state, number = killed_before_it_is_taken_back(tmp_path, monkeypatch)
  monkeypatch.setattr(programs, 'update', no_shape)
  again = Service.load(tmp_path)
  monkeypatch.undo()
  (note,) = caplog.messages
  assert 'event 3 of 3 of its journal (learn) is left out' in note
  assert '(TypeError: of no shape), and nobody was told of it' in note
  assert problems.same_bits(again._engine.state, state)
  assert again.num_pending == 1
  assert again.learn([number], [1.0]) == 1
  again.close()
  last = Service.load(tmp_path)
  assert problems.same_bits(last._engine.state, again._engine.state)
  assert last.num_pending == 0
  assert len(caplog.messages) == 1


def test_what_fails_once_only_is_learnt_when_it_is_loaded(tmp_path, monkeypatch, caplog):
  killed_before_it_is_taken_back(tmp_path, monkeypatch)
  again = Service.load(tmp_path)
  assert again.num_pending == 0
  assert not caplog.messages
  # Now it is told.
  again.close()
  monkeypatch.setattr(programs, 'update', no_shape)
  with pytest.raises(InputError, match='event 3 of 3'):
    Service.load(tmp_path)


@pytest.mark.parametrize('follows', ['nothing', 'an event', 'half an event', 'one taken back'])
def test_an_event_that_somebody_was_told_of_is_never_left_out(follows, tmp_path, monkeypatch):
  made = service(tmp_path)
  first = made.decide()
  made.learn([first.decision], [1.0])
  path, number = tmp_path / 'journal-0', 3
  told = path.stat().st_size
  if follows in ('an event', 'half an event'):
    made.decide()
    number += follows == 'an event'
  elif follows == 'one taken back':
    second = made.decide()
    monkeypatch.setattr(programs, 'update', no_shape)
    with pytest.raises(TypeError, match='of no shape'):
      made.learn([second.decision], [1.0])
    monkeypatch.undo()
    number += 1
  made.close()
  if follows == 'half an event':
    os.truncate(path, told + 9)
  before = path.read_bytes()
  monkeypatch.setattr(programs, 'update', no_shape)
  with pytest.raises(InputError, match=rf'event 3 of {number} .*\(TypeError: of no shape\); load'):
    Service.load(tmp_path)
  monkeypatch.undo()
  assert path.read_bytes() == before
  assert Service.load(tmp_path).num_pending == (number > 3)
