"""User towers find the order that is planted where they can read it, and the mean cannot."""

import dataclasses

import pytest

from rec_jax.tasks.negatives import NEGATIVES
from tests.helpers import small
from tests.planted import checks, training, world

STEPS = dataclasses.replace(training.FINETUNE, num_steps=250, validate_every=125)


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """(the truth, the data set, an encoder, queries before the cut)."""
  # No topics: what comes next hangs on the last item alone.
  truth = world.make(0, world.Taste(topic=0.0, quality=0.8, chapter=4.0))
  data = world.dataset(truth, tmp_path_factory.mktemp('planted'))
  return truth, data, small.encoder(), training.queries(data, data.split.test_event)


def follows(planted, directory, **fields):
  truth, data, encoder, asked = planted
  config = dataclasses.replace(STEPS, **fields)
  model = training.two_tower(data, encoder, 'id_only', directory, config)
  top = checks.next_item(training.by_model(model), asked, data)['top']
  checks.follows_the_order(truth, asked, top)


SLOW = ['transformer', 'hstu']


@pytest.mark.soak
@pytest.mark.parametrize(
  'name', ['gru', 'mean', *(pytest.param(name, marks=pytest.mark.soak) for name in SLOW)]
)
def test_a_tower_reads_the_order_of_events_if_it_can(planted, tmp_path, name):
  if name == 'mean':
    with pytest.raises(AssertionError):
      follows(planted, tmp_path, user_tower=name)
  else:
    follows(planted, tmp_path, user_tower=name)


@pytest.mark.soak
# Hard negatives leave most items without a gradient, and take more steps.
@pytest.mark.parametrize('name', [name for name in NEGATIVES if name != 'hard'])
def test_negatives_of_any_law_teach_it(planted, tmp_path, name):
  fields = {'negatives': name, 'num_negatives': 20, 'hard_factor': 3, 'memory_size': 200}
  follows(planted, tmp_path, objective='sampled_softmax', **fields)


@pytest.mark.soak
def test_gbce_with_a_learnt_temperature_teaches_it(planted, tmp_path):
  fields = {'num_negatives': 20, 'temperature': 0.0, 'num_steps': 400, 'validate_every': 200}
  follows(planted, tmp_path, objective='gbce', **fields)
