"""Disks that fail, folders that are shared, ids and arrays that are not what they seem."""

import enum
import errno
import os

import numpy as np
import pytest

from rec_jax import files
from rec_jax.bandits.host import Service, journal, pending, programs
from rec_jax.types import InputError
from tests.bandits import problems

FEATURES = np.eye(8, 3, dtype=np.float32)


def service(directory=None):
  # Any choice by chance will do, and this one compiles fast.
  made = Service('epsilon_greedy', arm_dim=3, epsilon=1.0)
  made.add_arms([f'arm {i}' for i in range(5)], FEATURES[:5])
  if directory:
    made.save(directory)
  return made


def same_after_load(made, directory):
  """Whether what is on the disk is what the service knows."""
  made.close()
  again = Service.load(directory)
  assert again._engine.count == made._engine.count
  assert again.num_pending == made.num_pending
  assert again._engine.users.of == made._engine.users.of
  return problems.same_bits(again._engine.state, made._engine.state)


def no_space(*arguments, **named):
  raise OSError(errno.ENOSPC, 'No space left on device')


def test_an_event_that_finds_no_space_is_not_in_the_way_of_the_next(tmp_path, monkeypatch):
  made = service(tmp_path)
  first = made.decide()
  write = os.write
  calls = []

  def half(descriptor, content):
    calls.append(0)
    return write(descriptor, content[:9]) if len(calls) == 1 else no_space()

  monkeypatch.setattr(journal.os, 'write', half)
  with pytest.raises(OSError, match='No space'):
    made.learn([first.decision], [1.0])
  monkeypatch.undo()
  assert made.num_pending == 1
  assert made.learn([first.decision], [1.0]) == 1
  with pytest.raises(InputError, match='it was learnt'):
    made.learn([first.decision], [1.0])
  assert same_after_load(made, tmp_path)


def test_after_a_sync_that_failed_nothing_is_acknowledged_until_a_snapshot(tmp_path, monkeypatch):
  made = service(tmp_path)
  first = made.decide()
  monkeypatch.setattr(journal.os, 'fsync', no_space)
  with pytest.raises(OSError, match='No space'):
    made.learn([first.decision], [1.0])
  monkeypatch.undo()
  with pytest.raises(InputError, match='an event was not written .* load the service again'):
    made.decide()
  made.save(tmp_path)
  assert made.learn([first.decision], [1.0]) == 1
  assert same_after_load(made, tmp_path)


@pytest.mark.parametrize('fault', ['open', 'write_atomic', 'fsync', 'unlink'])
def test_a_snapshot_that_fails_loses_nothing_that_comes_after(fault, tmp_path, monkeypatch):
  made = service(tmp_path)
  real, failing = os.open, []

  def open_once(path, *arguments):
    # The first that is opened for writing: a journal.
    return no_space() if 'journal' in str(path) else real(path, *arguments)

  if fault == 'write_atomic':
    monkeypatch.setattr(files, 'write_atomic', no_space)
  elif fault == 'unlink':
    unlink = journal.pathlib.Path.unlink

    def unlink_hidden(path, **named):
      return unlink(path, **named) if path.name[0] == '.' else no_space()

    monkeypatch.setattr(journal.pathlib.Path, 'unlink', unlink_hidden)
  elif fault == 'fsync':
    sync = os.fsync

    def fsync(descriptor):
      # That of the snapshot succeeds, that of the directory fails.
      failing.append(descriptor)
      return no_space() if len(failing) == 2 else sync(descriptor)

    monkeypatch.setattr(journal.os, 'fsync', fsync)
  else:
    monkeypatch.setattr(journal.os, 'open', open_once)
  with pytest.raises(OSError, match='No space'):
    made.save(tmp_path)
    no_space()  # What cannot be removed does no harm.
  monkeypatch.undo()
  assert made.learn([made.decide().decision], [1.0]) == 1
  assert same_after_load(made, tmp_path)


def test_a_snapshot_that_can_neither_be_used_nor_removed_ends_the_journal(tmp_path, monkeypatch):
  made = service(tmp_path)
  # Its rename succeeds, and what follows fails.
  monkeypatch.setattr(journal.pathlib.Path, 'unlink', no_space)
  with pytest.raises(OSError, match='No space'):
    made.save(tmp_path)
  monkeypatch.undo()
  with pytest.raises(InputError, match='load the service again'):
    made.decide()
  assert same_after_load(made, tmp_path)


def test_a_snapshot_is_on_the_disk_before_the_one_before_goes(tmp_path, monkeypatch):
  made = service(tmp_path)
  (tmp_path / '.snapshot-1.999').write_text('of a process that was killed')
  inode = tmp_path.stat().st_ino
  seen = []
  sync = os.fsync

  def fsync(descriptor):
    seen.append((os.fstat(descriptor).st_ino == inode, sorted(os.listdir(tmp_path))))
    sync(descriptor)

  monkeypatch.setattr(journal.os, 'fsync', fsync)
  made.save(tmp_path)
  is_directory, there = seen[-1]
  assert is_directory
  assert {'journal-0', 'journal-1', 'snapshot-0', 'snapshot-1'} <= set(there)
  assert sorted(os.listdir(tmp_path)) == ['journal-1', 'snapshot-1']
  made.learn([made.decide().decision], [1.0])
  assert len(seen) == 3  # The outcome as well.


def test_a_directory_is_of_one_service_at_a_time(tmp_path):
  made = service(tmp_path)
  with pytest.raises(InputError, match='another service has it open'):
    Service.load(tmp_path)
  with pytest.raises(InputError, match='another service has it open'):
    service(tmp_path)
  made.decide()
  made.save(tmp_path)
  with pytest.raises(InputError, match='another service has it open'):
    Service.load(tmp_path)
  made.close()
  with pytest.raises(InputError, match='the service is closed'):
    made.decide()
  again = Service.load(tmp_path)
  again.save(tmp_path / 'elsewhere')
  assert Service.load(tmp_path).num_pending == 1  # It was let go.


def test_a_fork_does_not_write_between_its_parents_events(tmp_path, monkeypatch):
  made = service(tmp_path)
  monkeypatch.setattr(journal.os, 'getpid', lambda: -1)
  with pytest.raises(InputError, match='open in the process that forked this one'):
    made.decide()
  monkeypatch.undo()
  assert made.decide().decision == 0


def test_what_was_interrupted_is_not_gone_on_with(tmp_path, monkeypatch):
  made = service(tmp_path)
  first = made.decide()

  def interrupted(*arguments):
    raise KeyboardInterrupt

  monkeypatch.setattr(programs, 'update', interrupted)
  with pytest.raises(KeyboardInterrupt):
    made.learn([first.decision], [1.0])
  monkeypatch.undo()
  for call in (made.decide, lambda: made.save(tmp_path)):
    with pytest.raises(InputError, match=r'was interrupted \(KeyboardInterrupt\)'):
      call()
  made.close()
  again = Service.load(tmp_path)
  assert again.num_pending == 0
  assert float(again._engine.state.belief.successes.sum()) == 1


def test_an_interruption_after_the_event_is_written_is_one(tmp_path, monkeypatch):
  made = service(tmp_path)
  write = journal.Journal.write

  def interrupted(*arguments, **named):
    write(*arguments, **named)
    raise KeyboardInterrupt

  monkeypatch.setattr(journal.Journal, 'write', interrupted)
  with pytest.raises(KeyboardInterrupt):
    made.remove_arms(['arm 0'])
  monkeypatch.undo()
  with pytest.raises(InputError, match='is not whole; load it'):
    made.decide()
  made.close()
  assert len(Service.load(tmp_path).arms) == 4


def test_an_event_that_cannot_be_applied_is_taken_back(tmp_path, monkeypatch):
  made = service(tmp_path)
  first = made.decide()
  length = (tmp_path / 'journal-0').stat().st_size

  def wrong(*arguments):
    raise TypeError('of no shape')

  monkeypatch.setattr(programs, 'update', wrong)
  with pytest.raises(TypeError, match='of no shape'):
    made.learn([first.decision], [1.0])
  assert (tmp_path / 'journal-0').stat().st_size == length
  made.close()
  # What stands before it is there, though it would fail again.
  again = Service.load(tmp_path)
  monkeypatch.undo()
  assert again.learn([first.decision], [1.0]) == 1
  assert same_after_load(again, tmp_path)


class Film(enum.StrEnum):
  DUNE = 'dune'


def test_ids_of_numpy_and_enumerations_are_their_values(tmp_path):
  made = service(tmp_path)
  made.add_arms(np.array(['x', 'y']), FEATURES[:2])
  made.add_arms(np.arange(2), FEATURES[:2])
  made.add_arms([Film.DUNE], FEATURES[:1])
  assert made.arms[5:] == ('x', 'y', 0, 1, 'dune')
  assert {type(each) for each in made.arms} == {str, int}
  choice = made.decide(np.int64(1), arms=np.array(['x']))
  assert type(choice.arms[0]) is str
  made.decide('1')
  for other in (True, 1.0, np.True_, None, b'1', (1,)):
    with pytest.raises(InputError, match='ids are str, or int'):
      made.decide(other)
    with pytest.raises(InputError, match='ids are str, or int'):
      made.decide(arms=[other])
  assert list(made._engine.users.of) == [1, '1']
  assert made.learn(np.array([choice.decision]), [1.0]) == 1
  assert same_after_load(made, tmp_path)


def test_what_waits_does_not_change_with_the_callers_array():
  made = Service('lin_ucb', arm_dim=3, query_dim=2)
  made.add_arms(['a'], FEATURES[:1])
  query = np.ones(2, np.float32)
  made.decide('ann', query)
  query[:] = 7
  ((_, waiting),) = made._engine.pending.items()
  np.testing.assert_array_equal(waiting.query, 1)


def test_what_has_grown_since_is_filled_by_zeros_at_its_end():
  np.testing.assert_array_equal(pending.fitted(np.ones((2, 1)), (3, 2)), [[1, 0], [1, 0], [0, 0]])


def test_counts_beyond_32_bits_go_on():
  made = service()
  made._engine.count = 2**32
  assert made.learn([made.decide().decision], [1.0]) == 1
