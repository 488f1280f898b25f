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
