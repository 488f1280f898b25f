"""A process may end at any moment: what was acknowledged is there, once."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from flax import serialization

from rec_jax.bandits.host import Service, journal
from rec_jax.types import InputError
from tests.bandits import problems

ROOT = pathlib.Path(__file__).parents[3]
FEATURES = np.eye(8, 3, dtype=np.float32)
# Decides and learns for ever, and says what it was told of.
ENDLESS = """
import os, sys
import numpy as np
from rec_jax.bandits.host import Service

directory, told = sys.argv[1:]
service = Service.load(directory)
descriptor = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
say = lambda *words: os.write(descriptor, (' '.join(map(str, words)) + '\\n').encode())
say('started')
waiting = []
for step in range(10**9):
  choice = service.decide(f'user {step % 5}')
  say('decided', choice.decision, choice.arms[0])
  waiting.append(choice.decision)
  if len(waiting) == 3:
    now, waiting = waiting[::-2], waiting[1:2]
    service.learn(now, np.ones(len(now)))
    say('learnt', *now)
  if step % 40 == 39:
    service.save(directory)
    say('saved')
"""


def service(**settings):
  # Any choice by chance will do, and this one compiles fast.
  made = Service('epsilon_greedy', arm_dim=3, epsilon=1.0, **settings)
  made.add_arms([f'arm {i}' for i in range(5)], FEATURES[:5])
  return made


def num_learnt(made):
  belief = made._engine.state.belief
  return int(np.asarray(belief.successes).sum() + np.asarray(belief.failures).sum())


def filled(directory):
  """A service with a life behind it, and [(length of the journal, outcomes learnt, pending)]."""
  made = service(seed=3)
  made.save(directory)
  path = directory / 'journal-0'
  marks = [(0, 0, 0)]

  def mark():
    marks.append((path.stat().st_size, num_learnt(made), made.num_pending))

  waiting = []
  for step in range(30):
    waiting.append(made.decide(f'user {step % 4}').decision)
    mark()
    if step % 3 == 2:
      made.learn(waiting[:2], [1.0, 0.0])
      waiting = waiting[2:]
      mark()
    if step == 10:
      made.add_arms(['new 1', 'new 2', 'new 3', 'new 4'], FEATURES[:4])
      mark()
    if step == 20:
      made.remove_arms(['arm 0'])
      made.reset_users(['user 1'])
      mark()
  return made, marks


def test_a_snapshot_and_its_journal_give_the_same_service(tmp_path):
  made, _ = filled(tmp_path)
  made.close()
  again = Service.load(tmp_path)
  assert problems.same_bits(made._engine.state, again._engine.state)
  again.save(tmp_path)
  again.close()
  assert sorted(os.listdir(tmp_path)) == ['journal-1', 'snapshot-1']
  third = Service.load(tmp_path)
  # To go on, each has a folder of its own.
  for name, one in (('made', made), ('again', again)):
    one.save(tmp_path / name)
  for _ in range(5):
    choices = [one.decide('user 2', with_propensity=True) for one in (made, again, third)]
    assert len({choice.arms for choice in choices}) == 1
    assert len({choice.propensity.tobytes() for choice in choices}) == 1
    for one, choice in zip((made, again, third), choices, strict=True):
      one.learn([choice.decision], [1.0])
  assert problems.same_bits(made._engine.state, third._engine.state)
  # Its arms and users come and go as before.
  late = third.decide('user 2').decision
  third.remove_arms(['arm 1'])
  third.reset_users(['user 2'])
  assert third.learn([late], [1.0]) == 0


def test_a_journal_cut_anywhere_holds_what_was_written_whole(tmp_path):
  made, marks = filled(tmp_path / 'whole')
  made.close()
  size = marks[-1][0]
  rng = np.random.default_rng(0)
  for length in [0, size, *rng.integers(size, size=50).tolist()]:
    cut = tmp_path / 'cut'
    shutil.rmtree(cut, ignore_errors=True)
    shutil.copytree(tmp_path / 'whole', cut)
    os.truncate(cut / 'journal-0', length)
    again = Service.load(cut)
    # As it was at the last mark that is whole, or between that and the next.
    whole = [mark for mark in marks if mark[0] <= length]
    following = [*marks, marks[-1]][len(whole)]
    assert num_learnt(again) in (whole[-1][1], following[1])
    assert again.num_pending >= min(whole[-1][2], following[2])
    # And it goes on: what follows is not behind half an event.
    number = again.decide('user 0').decision
    again.close()
    again = Service.load(cut)
    assert again.learn([number], [1.0]) == 1
    again.close()


def kill_and_check(directory, num_kills, seed):
  """Kills the endless script at random moments and looks at what is left each time."""
  made = service()
  made.save(directory)
  made.close()
  told, copy = directory.parent / 'told', directory.parent / 'copy'
  shutil.copytree(directory, copy)
  rng = np.random.default_rng(seed)
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  for number in range(1, num_kills + 1):
    told.touch()
    before = told.read_text().count('decided')
    process = subprocess.Popen(
      [sys.executable, '-c', ENDLESS, str(directory), str(told)], env=environment
    )
    while told.read_text().count('decided') < before + 5:
      assert process.poll() is None
      time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = [line.split() for line in told.read_text().splitlines()]
    learnt = [int(number) for line in lines if line[0] == 'learnt' for number in line[1:]]
    decided = {int(line[1]) for line in lines if line[0] == 'decided'}
    again = Service.load(directory)
    assert len(set(learnt)) == len(learnt)
    # At most the two outcomes that were being learnt when a process ended are more.
    assert len(learnt) <= num_learnt(again) <= len(learnt) + 2 * number
    waiting = {number for number, _ in again._engine.pending.items()}
    assert not waiting & set(learnt)
    assert decided - set(learnt) <= waiting | decided_last(decided, again, learnt)
    again.close()
    if number == 1:
      check_same_choices(copy, lines)


def check_same_choices(directory, lines):
  """What another process chose, from the same snapshot and in the same order."""
  here, step = Service.load(directory), 0
  for what, *words in lines[1:40]:
    if what == 'decided':
      choice, step = here.decide(f'user {step % 5}'), step + 1
      assert [str(choice.decision), *choice.arms[0].split()] == words
    elif what == 'learnt':
      here.learn([int(number) for number in words], np.ones(len(words)))
  assert step >= 5


def decided_last(decided, again, learnt):
  """Numbers whose outcomes were learnt though nobody was told."""
  waiting = {number for number, _ in again._engine.pending.items()}
  untold = decided - waiting - set(learnt)
  assert len(untold) == num_learnt(again) - len(learnt)
  return untold


@pytest.mark.parametrize(
  'num_kills', [pytest.param(1, id='once'), pytest.param(50, marks=pytest.mark.soak, id='often')]
)
def test_what_is_acknowledged_outlives_a_kill(tmp_path, num_kills):
  kill_and_check(tmp_path / 'service', num_kills, seed=num_kills)


def test_a_snapshot_that_cannot_be_read_is_named(tmp_path):
  with pytest.raises(InputError, match='no snapshot of a service; make one by Service.save'):
    Service.load(tmp_path)
  with pytest.raises(InputError, match='no snapshot of a service'):
    Service.load(tmp_path / 'nowhere')
  made = service()
  made.save(tmp_path)
  path = tmp_path / 'snapshot-0'
  made.close()
  whole = path.read_bytes()
  content = serialization.msgpack_restore(whole[:-4])
  path.write_bytes(whole[:-4])
  with pytest.raises(InputError, match='its checksum differs'):
    Service.load(tmp_path)
  # Of the numbers in a state nobody could tell.
  path.write_bytes(bytes([*whole[:-40], whole[-40] ^ 1, *whole[-39:]]))
  with pytest.raises(InputError, match='not a readable snapshot'):
    Service.load(tmp_path)
  path.write_bytes(serialization.msgpack_serialize({**content, 'version': journal.VERSION + 1}))
  with pytest.raises(InputError, match='a snapshot of version 4, and this is version 3'):
    Service.load(tmp_path)
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(InputError, match='not a readable snapshot'):
    Service.load(tmp_path)


def test_a_snapshot_of_another_state_is_refused(tmp_path):
  made = service()
  made.save(tmp_path)
  made.close()
  path = tmp_path / 'snapshot-0'
  content = serialization.msgpack_restore(path.read_bytes()[:-4])
  name = '.belief.successes'
  leaf = content['state'].pop(name)
  for others in ({}, {'.belief.wins': leaf}, {name: leaf[:4]}, {name: leaf.astype(np.int32)}):
    other = {**content, 'state': {**content['state'], **others}}
    journal.save(tmp_path, other, None).close()
    with pytest.raises(InputError, match=r'another state of the policy \(\.belief'):
      Service.load(tmp_path)


def test_a_directory_without_its_first_snapshot_is_as_none(tmp_path):
  assert not Service.is_saved(tmp_path / 'nowhere')
  # What a process leaves that is killed amid its first save.
  for name in ('journal-0', '.snapshot-0.999'):
    (tmp_path / name).write_bytes(b'half')
  assert not Service.is_saved(tmp_path)
  made = service()
  made.save(tmp_path)
  assert Service.is_saved(tmp_path)
  made.close()
  assert Service.load(tmp_path).arms == made.arms


def test_damage_amid_the_journal_is_not_taken_for_its_end(tmp_path):
  made = service()
  made.save(tmp_path)
  for _ in range(3):
    made.decide()
  made.close()
  path = tmp_path / 'journal-0'
  whole = path.read_bytes()
  # A length, also one that reaches beyond the end, a checksum, an event.
  for place in (0, 3, 5, 10, 20):
    damaged = bytearray(whole)
    damaged[place] ^= 64
    path.write_bytes(damaged)
    with pytest.raises(InputError, match='journal-0: an event at byte 0 is damaged; use a backup'):
      Service.load(tmp_path)
    assert path.read_bytes() == damaged
  # What a machine that stopped may leave is no damage.
  path.write_bytes(whole + bytes(100))
  assert Service.load(tmp_path).num_pending == 3
  assert path.read_bytes() == whole


def test_arrays_and_names_among_the_hyperparameters_are_kept(tmp_path):
  made = Service('corral', arm_dim=3, policies=('lin_ucb', 'uniform'), learning_rate=0.2)
  made.add_arms(['a', 'b'], FEATURES[:2])
  made.save(tmp_path)
  made.close()
  again = Service.load(tmp_path)
  assert again._engine.hyperparameters == made._engine.hyperparameters
  made = Service('lin_ucb', arm_dim=3, alpha=np.float32(0.5))
  made.save(tmp_path / 'other')
  made.close()
  assert Service.load(tmp_path / 'other')._engine.hyperparameters['alpha'] == np.float32(0.5)
