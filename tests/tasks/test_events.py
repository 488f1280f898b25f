"""Which events are predicted, and who validates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.tasks import events
from rec_jax.tasks.config import FEWEST_STEPS, MOST_STEPS, DistilConfig, FinetuneConfig
from tests.helpers import small


def test_events_are_predicted_before_padding():
  items = jnp.array([[3, 1, 0, 0], [2, 0, 0, 0], [5, 4, 6, 0]])
  real = set(np.flatnonzero(np.asarray(items).reshape(-1)).tolist())
  for seed in range(20):
    chosen = np.asarray(events.choose_positions(jax.random.key(seed), items, 4)).tolist()
    assert len(set(chosen)) == 4
    assert set(chosen) <= real
    chosen = np.asarray(events.choose_positions(jax.random.key(seed), items, 8)).tolist()
    assert len(set(chosen)) == 8
    assert set(chosen) > real
  assert len(events.choose_positions(jax.random.key(0), items, 99)) == items.size


def test_steps_follow_from_the_number_of_training_events(caplog):
  dataset = small.dataset()
  number = int(dataset.split.train_mask.sum())
  wanted = 2 * FEWEST_STEPS
  for num_predictions in (1, 40):
    passes = (wanted + 0.5) * num_predictions / number
    config = FinetuneConfig(num_predictions=num_predictions)
    assert events.num_steps(dataset, config, passes) == wanted
    own = DistilConfig(num_predictions=num_predictions)
    assert events.num_steps(dataset, FinetuneConfig(), passes, own) == wanted
  assert events.num_steps(dataset, FinetuneConfig(num_predictions=number), 1.0) == FEWEST_STEPS
  assert not caplog.messages
  passes = 10.0 * MOST_STEPS / number
  assert events.num_steps(dataset, FinetuneConfig(num_predictions=1), passes) == MOST_STEPS
  assert f'predicted {passes / 10:.2g} times rather than' in caplog.text


@pytest.mark.parametrize('history_length', [3, 50])
def test_short_histories_take_as_many_steps_as_predict_each_event_so_often(history_length):
  """Against the batches themselves."""
  config = FinetuneConfig(history_length=history_length, max_crop_rate=0.3, batch_size=8)
  dataset, passes = small.dataset(num_users=60, num_events=300), 500.0
  batches = itertools.islice(events.training_batches(dataset, config, 4.0, 8, 0), 300)
  predicted = np.mean([min((batch['items'] > 0).sum(), 400) for batch in batches])
  num_steps = events.num_steps(dataset, config, passes)
  made = num_steps * predicted / dataset.split.train_mask.sum()
  assert abs(made / passes - 1) < 0.1


def test_what_is_predicted_how_often_is_what_negatives_are_drawn_by():
  """Against the batches themselves, whose windows cut long histories short."""
  data, config = small.dataset(num_events=400), FinetuneConfig(history_length=5)
  found = events.catalogue(data, config)
  items = data.interactions.item[data.split.train_mask]
  np.testing.assert_array_equal(found.counts, np.bincount(items, minlength=24))
  np.testing.assert_array_equal(found.known, found.counts > 0)
  config.max_drop_rate = config.recent_window_rate = 0.0
  batches = itertools.islice(events.training_batches(data, config, 4.0, 20, 0), 400)
  seen = np.concatenate([batch['items'].reshape(-1) for batch in batches])
  share = np.bincount(seen[seen > 0] - 1, minlength=24) / (seen > 0).sum()
  # Windows lie anywhere, so that events at the ends of a history are in fewer of them.
  gap = np.abs(found.frequency - share).sum()
  assert gap < 0.15
  assert gap < np.abs(found.counts / found.counts.sum() - share).sum() + 0.01


def test_every_event_is_as_likely():
  items = jnp.array([[3, 1, 0, 0], [2, 0, 0, 0], [5, 4, 6, 0]])
  keys = jax.random.split(jax.random.key(0), 4000)
  chosen = np.asarray(jax.vmap(lambda key: events.choose_positions(key, items, 2))(keys))
  count = np.bincount(chosen.reshape(-1), minlength=items.size)[np.asarray(items).reshape(-1) > 0]
  # Each is in a third of the draws; four standard errors.
  np.testing.assert_allclose(count / 4000, 1 / 3, atol=4 * np.sqrt(2 / 9 / 4000))


def test_validation_is_on_a_sample_where_users_are_many():
  config, data = FinetuneConfig(history_length=10), small.dataset()
  everybody = events.validation_queries(data, config, 4.0, 0).user.tolist()
  config.num_validation_users = 7
  sample = events.validation_queries(data, config, 4.0, 0).user.tolist()
  assert len(everybody) > 7 == len(set(sample)) == len(sample)
  assert set(sample) < set(everybody)
