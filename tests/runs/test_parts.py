"""Parts: kept as they come, whatever becomes of the others."""

import threading

import pytest

from rec_jax.runs.parts import Parts


def test_a_group_resumes_after_the_parts_that_it_has(tmp_path):
  done, seen = [], []
  parts = Parts(tmp_path / 'parts', lambda units, name: seen.append(name))

  def work(label):
    done.append(label)
    return [label]

  def fails():
    raise ValueError('no luck')

  works = {label: lambda label=label: work(label) for label in 'abc'}
  with pytest.raises(ValueError, match='no luck'):
    parts.group('all', {'a': works['a'], 'b': fails, 'c': works['c']})
  assert 'a' in done
  # In the order of the labels, whichever is done first.
  assert list(parts.group('all', works).items()) == [(label, [label]) for label in 'abc']
  assert sorted(done) == ['a', 'b', 'c']
  assert seen[-3:] == ['all a', 'all b', 'all c']
  assert parts.once('all a', fails) == ['a']


def test_two_parts_are_computed_at_once(tmp_path):
  both = threading.Barrier(2, timeout=60)
  parts = Parts(tmp_path, lambda units, name: None)
  assert parts.group('all', {'a': both.wait, 'b': both.wait}).keys() == {'a', 'b'}


def test_an_interrupt_does_not_wait_for_the_parts_under_way(tmp_path):
  ended, let_go = threading.Event(), threading.Event()

  def interrupted(units, name):
    raise KeyboardInterrupt

  def waits():
    let_go.wait(60)
    ended.set()

  with pytest.raises(KeyboardInterrupt):
    Parts(tmp_path, interrupted).group('all', {'a': lambda: 1, 'b': waits})
  assert not ended.is_set()
  let_go.set()
