"""What is predicted, and that cached text vectors and the encoder stay together."""

import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import encoding
from rec_jax.stages.finetune import stage as finetune
from rec_jax.training import loop
from tests.helpers import small
from tests.models import modules


def test_events_are_predicted_before_padding():
  items = jnp.array([[3, 1, 0, 0], [2, 0, 0, 0], [5, 4, 6, 0]])
  events = set(np.flatnonzero(np.asarray(items).reshape(-1)).tolist())
  for seed in range(20):
    chosen = np.asarray(finetune.choose_positions(jax.random.key(seed), items, 4)).tolist()
    assert len(set(chosen)) == 4
    assert set(chosen) <= events
    chosen = np.asarray(finetune.choose_positions(jax.random.key(seed), items, 8)).tolist()
    assert len(set(chosen)) == 8
    assert set(chosen) > events
  assert len(finetune.choose_positions(jax.random.key(0), items, 99)) == items.size


def test_every_event_is_as_likely():
  items = jnp.array([[3, 1, 0, 0], [2, 0, 0, 0], [5, 4, 6, 0]])
  keys = jax.random.split(jax.random.key(0), 4000)
  chosen = np.asarray(jax.vmap(lambda key: finetune.choose_positions(key, items, 2))(keys))
  count = np.bincount(chosen.reshape(-1), minlength=items.size)[np.asarray(items).reshape(-1) > 0]
  # Each is in a third of the draws; four standard errors.
  np.testing.assert_allclose(count / 4000, 1 / 3, atol=4 * np.sqrt(2 / 9 / 4000))


def test_only_some_items_of_the_batch_are_encoded_again():
  settings = small.config(pathlib.Path()).finetune
  dataset = small.dataset()
  encoder = nnx.view(small.encoder(), deterministic=True)
  lower = encoding.lower_activations(
    encoder, dataset.input_ids, dataset.attention_mask, finetune._depth(encoder, settings)
  )
  depth = finetune._depth(encoder, settings)
  fresh = encoding.upper_text_vectors(encoder, lower, dataset.attention_mask, depth)
  whole = encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)
  np.testing.assert_allclose(fresh, whole, atol=1e-5)
  frozen = finetune._Frozen(None, jnp.asarray(lower), jnp.asarray(dataset.attention_mask))
  stale = jnp.full(fresh.shape, 7.0)
  for items, in_batch in (([[1, 5, 0]], {0, 4}), ([list(range(1, 25))], set(range(24)))):
    cache = np.asarray(
      finetune._encode_again(
        encoder, stale, jnp.array(items), jax.random.key(0), frozen, settings, None
      )
    )
    written = set(np.flatnonzero((cache != 7).any(1)).tolist())
    # 16 items: those of the batch first, then others at random.
    assert len(written) == settings.encoder_items
    assert written >= in_batch or written <= in_batch
    np.testing.assert_allclose(cache[list(written)], fresh[list(written)], atol=1e-5)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The teacher's states after each step, its parts and its lower activations."""
  config, dataset, encoder = small.config(pathlib.Path()), small.dataset(), small.encoder()
  depth = finetune._depth(encoder, config.finetune)
  lower = encoding.lower_activations(encoder, dataset.input_ids, dataset.attention_mask, depth)
  seen = types.SimpleNamespace(config=config, dataset=dataset, lower=lower, states={})
  real_loss, real_train = finetune._loss_fn, loop.train

  def loss_fn(parts, *rest):
    seen.parts = parts
    return real_loss(parts, *rest)

  def train(*args):
    *given, after_step = args
    seen.states[0] = jax.tree.map(np.array, flat(given[2]))

    def recording(step, state):
      state = after_step(step, state)
      seen.states[step] = jax.tree.map(np.array, flat(state))
      return state

    return real_train(*given, recording)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(finetune, '_loss_fn', loss_fn)
    patch.setattr(finetune.loop, 'train', train)
    directory = tmp_path_factory.mktemp('teacher')
    finetune._train('teacher', 0, config, dataset, encoder, lower, directory)
  return seen


def flat(state):
  parts = ('params', 'average', 'carry')
  return {name: jax.tree.map(jnp.asarray, getattr(state, name)) for name in parts}


def encoder_of(state, which='params'):
  return modules.flat(state[which]['encoder'])


def same(one, other):
  return all(np.array_equal(one[path], other[path]) for path in one)


def test_the_encoder_trains_in_its_steps_alone(trained):
  states, settings = trained.states, trained.config.finetune
  start, end = settings.encoder_start, settings.encoder_start + settings.encoder_steps
  assert len(encoder_of(states[0])) > 0
  for step in range(1, settings.num_steps + 1):
    at_rest = same(encoder_of(states[step]), encoder_of(states[step - 1]))
    # Rates warm up from zero, for the encoder in the first of its own steps.
    assert at_rest == (not start + 1 < step <= end)
    towers = [modules.flat(states[t]['params']['towers']) for t in (step - 1, step)]
    assert same(*towers) == (step == 1)


def test_the_cache_changes_only_while_the_encoder_trains(trained):
  states, settings = trained.states, trained.config.finetune
  start, end = settings.encoder_start, settings.encoder_start + settings.encoder_steps
  for step in range(1, settings.num_steps + 1):
    changed = (states[step]['carry'] != states[step - 1]['carry']).any(1).sum()
    if start < step < end:
      assert 0 < changed <= settings.encoder_items
    elif step != end:
      assert changed == 0


def test_when_the_encoder_is_done_its_average_and_the_cache_are_its_own(trained):
  """An average that lagged behind would read other text vectors than the towers learnt."""
  settings = trained.config.finetune
  end = settings.encoder_start + settings.encoder_steps
  for step in range(end, settings.num_steps + 1):
    state = trained.states[step]
    for path, value in encoder_of(state).items():
      np.testing.assert_allclose(encoder_of(state, 'average')[path], value, rtol=1e-5, atol=1e-7)
    model = trained.parts.merge(state['average'], jnp.asarray(state['carry']))
    dataset = trained.dataset
    scratch = encoding.text_vectors(model.encoder, dataset.input_ids, dataset.attention_mask)
    np.testing.assert_allclose(state['carry'], scratch, atol=1e-5)


def test_validation_is_on_a_sample_where_users_are_many(tmp_path):
  config, data = small.config(tmp_path), small.dataset()
  everybody = finetune.validation_queries(config, data).user.tolist()
  config.finetune.num_validation_users = 7
  sample = finetune.validation_queries(config, data).user.tolist()
  assert len(everybody) > 7 == len(set(sample)) == len(sample)
  assert set(sample) < set(everybody)
