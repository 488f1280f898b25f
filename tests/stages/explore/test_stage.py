"""What must be there before the stage is begun."""

import types

import numpy as np
import pytest

from rec_jax.runs.config import Config
from rec_jax.stages.explore import stage
from rec_jax.types import InputError, Interactions


def _check(monkeypatch, item):
  """The first six of the events of one user are before the cut."""
  count = len(item)
  events = Interactions(
    user=np.zeros(count, np.int32),
    item=np.array(item, np.int32),
    timestamp=np.arange(count),
    rating=None,
    user_ids=np.array(['u']),
  )
  data = types.SimpleNamespace(interactions=events, split=types.SimpleNamespace(num_before=6))
  monkeypatch.setattr(stage.artefacts, 'load_dataset', lambda workdir: data)
  with pytest.raises(InputError) as error:
    stage.check_visitors(Config(), 'workdir')
  return str(error.value)


def test_too_few_events_of_each_user_are_told(monkeypatch):
  message = _check(monkeypatch, [0, 1, 2, 3, 4, 5, 6, 7])
  assert 'events after the cut (the most is 2): set --config.explore.min_events_' in message


def test_nothing_new_after_the_cut_is_told(monkeypatch):
  message = _check(monkeypatch, [0, 1, 2, 3, 4, 5, 0, 1])
  assert message.startswith('nothing to explore after the cut: every event there is of an item')
  assert '\n' not in message
