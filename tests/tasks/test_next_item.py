"""What is predicted, and that cached text vectors and the encoder stay together."""

import dataclasses
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import encoding
from rec_jax.tasks import (
  catalogue_text,
  distillation,
  events,
  item_to_item,
  next_item,
  two_tower_model,
)
from rec_jax.tasks.config import FINETUNE_VARIANTS, DistilConfig
from rec_jax.training import loop
from tests.helpers import small
from tests.models import modules


@pytest.fixture(scope='module')
def setting():
  """The settings, the data, and the text that the adapted blocks read."""
  config, dataset, encoder = small.config(pathlib.Path()).finetune, small.dataset(), small.encoder()
  text = next_item.catalogue_text(encoder, dataset, config)
  return types.SimpleNamespace(config=config, dataset=dataset, text=text)


def make_task(setting, variant='teacher'):
  config, dataset = setting.config, setting.dataset
  spectrum = item_to_item.spectrum(dataset, config, 0)
  return next_item.task(variant, small.encoder(), setting.text, dataset, config, 4.0, 0, spectrum)


score = two_tower_model.compiled_score


def whole(encoder, setting):
  """The text vectors of the whole catalogue, from the tokens on."""
  dataset = setting.dataset
  return encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)


def test_only_some_items_of_the_batch_are_encoded_again(setting):
  encoder = nnx.view(small.encoder(), deterministic=True)
  fresh = whole(encoder, setting)
  stale = jnp.full(fresh.shape, 7.0)
  for items, in_batch in (([[1, 5, 0]], {0, 4}), ([list(range(1, 25))], set(range(24)))):
    count = setting.config.encoder_items
    chosen = catalogue_text.choose_items(jax.random.key(0), jnp.array(items), len(stale), count)
    again = catalogue_text.encode_again(encoder, setting.text, chosen, None)
    cache = np.asarray(stale.at[chosen].set(again))
    written = set(np.flatnonzero((cache != 7).any(1)).tolist())
    # 16 items: those of the batch first, then others at random.
    assert len(written) == setting.config.encoder_items
    assert written >= in_batch or written <= in_batch
    np.testing.assert_allclose(cache[list(written)], fresh[list(written)], atol=1e-5)


def test_text_vectors_are_those_of_all_blocks_whatever_is_adapted(setting):
  """A text that has passed fewer blocks than are at rest is still encoded by all of them."""
  frozen = dataclasses.replace(setting.config, encoder_method='frozen')
  whole_text = next_item.catalogue_text(small.encoder(), setting.dataset, frozen)
  assert (setting.text.depth, whole_text.depth) == (1, 2)
  encoder = nnx.view(small.encoder(), deterministic=True)
  for text in (setting.text, whole_text):
    found = catalogue_text.text_vectors(encoder, text)
    np.testing.assert_allclose(found, whole(encoder, setting), atol=1e-5)
  spectrum = item_to_item.spectrum(setting.dataset, setting.config, 0)
  with pytest.raises(ValueError, match='lora adapts blocks that the text has passed'):
    next_item.task(
      *('teacher', small.encoder(), whole_text, setting.dataset, setting.config, 4.0, 0, spectrum)
    )


def test_activations_that_are_too_large_are_not_kept(setting, monkeypatch):
  """Text vectors are the same, of all items and of those that a step encodes anew."""
  monkeypatch.setattr(catalogue_text, '_MOST_BYTES', 0)
  encoder, dataset = nnx.view(small.encoder(), deterministic=True), setting.dataset
  tuned = next_item.catalogue_text(encoder, dataset, setting.config)
  frozen = dataclasses.replace(setting.config, encoder_method='frozen')
  at_rest = next_item.catalogue_text(encoder, dataset, frozen)
  assert [text.kind for text in (setting.text, tuned, at_rest)] == [
    'activations',
    'tokens',
    'vectors',
  ]
  assert tuned.rows.shape == dataset.input_ids.shape and at_rest.rows.ndim == 2
  for text in (tuned, at_rest):
    found = catalogue_text.text_vectors(encoder, text)
    np.testing.assert_allclose(found, whole(encoder, setting), atol=1e-5)
  chosen = jnp.array([3, 0, 7])
  again = [
    catalogue_text.encode_again(encoder, text, chosen, None) for text in (tuned, setting.text)
  ]
  np.testing.assert_allclose(*again, atol=1e-5)


def test_item_vectors_that_are_known_beforehand_change_no_bit(setting):
  model = nnx.view(make_task(setting).model, deterministic=True)
  model.towers.items.place_unseen()
  asked = events.validation_queries(setting.dataset, setting.config, 4.0, 0)
  expected = score(model, asked.history, asked.rewards, times=asked.times)
  np.testing.assert_array_equal(two_tower_model.answers(model)(asked), expected)


@pytest.fixture(scope='module')
def trained(setting, tmp_path_factory):
  """The teacher's states after each step, and its parts."""
  task = make_task(setting)
  seen = types.SimpleNamespace(states={})

  def recording(step, state, parts):
    state = task.after_step(step, state, parts)
    seen.parts = parts
    seen.states[step] = jax.tree.map(np.array, kept(state))
    return state

  directory = tmp_path_factory.mktemp('teacher')
  seen.states[0] = jax.tree.map(np.array, kept(loop.start(task, jax.random.key(0))[0]))
  loop.train(task._replace(after_step=recording), directory, jax.random.key(0), {})
  return seen


def kept(state):
  return {'params': state.params, 'average': state.average, 'cache': state.cache}


def weights(state, place, which='params'):
  return modules.flat(state[which][place])


def cached(state):
  (text,) = jax.tree.leaves(state['cache'])
  return text


def same(one, other):
  return all(np.array_equal(one[path], other[path]) for path in one)


def test_the_encoder_trains_in_its_steps_alone(trained, setting):
  states, config = trained.states, setting.config
  start, end = config.encoder_start, config.encoder_start + config.encoder_steps
  assert len(weights(states[0], 'encoder')) > 0
  for step in range(1, config.num_steps + 1):
    at_rest = same(*(weights(states[t], 'encoder') for t in (step - 1, step)))
    # Rates warm up from zero, for the encoder in the first of its own steps.
    assert at_rest == (not start + 1 < step <= end)
    assert same(*(weights(states[t], 'towers') for t in (step - 1, step))) == (step == 1)


def test_the_cache_changes_only_while_the_encoder_trains(trained, setting):
  states, config = trained.states, setting.config
  start, end = config.encoder_start, config.encoder_start + config.encoder_steps
  for step in range(1, config.num_steps + 1):
    changed = (cached(states[step]) != cached(states[step - 1])).any(1).sum()
    if start < step < end:
      assert 0 < changed <= config.encoder_items
    elif step != end:
      assert changed == 0


def test_when_the_encoder_is_done_its_average_and_the_cache_are_its_own(trained, setting):
  """An average that lagged behind would read other text vectors than the towers learnt."""
  config = setting.config
  for step in range(config.encoder_start + config.encoder_steps, config.num_steps + 1):
    state = trained.states[step]
    for path, value in weights(state, 'encoder').items():
      averaged = weights(state, 'encoder', 'average')[path]
      np.testing.assert_allclose(averaged, value, rtol=1e-5, atol=1e-7)
    model = trained.parts.merge(state['average'], state['cache'])
    np.testing.assert_allclose(cached(state), whole(model.encoder, setting), atol=1e-5)


@pytest.mark.parametrize('variant', FINETUNE_VARIANTS)
def test_a_variant_trains_and_reads_what_its_name_says(variant, setting):
  task = make_task(setting, variant)
  state, parts = loop.start(task, jax.random.key(0))
  names = {'/'.join(map(str, path)) for path in modules.flat(state.params)}
  assert any('items/id' in name for name in names) == (variant != 'text_only')
  assert any('items/project' in name for name in names) == (variant != 'id_only')
  assert any(name.startswith('encoder') for name in names) == (variant != 'id_only')
  model = nnx.view(parts.merge(state.params, state.cache), deterministic=True)
  next_item.complete(model, setting.text)
  before = np.asarray(model.towers.items())
  if variant != 'id_only':
    model.towers.items.text[...] = model.towers.items.text[...][::-1]
  known = ~setting.dataset.split.cold_items
  moved = (np.asarray(model.towers.items()) != before).any(1)
  assert moved[known].all() == (variant != 'id_only')


def test_text_alone_places_cold_items_where_it_places_the_others(setting):
  """Without ids an item's vector depends on its text and on nothing else."""
  model = make_task(setting, 'text_only').model
  items = model.towers.items
  np.testing.assert_allclose(items(), items.from_text(items.text[...]), rtol=1e-6)
  shuffled = np.random.default_rng(0).permutation(len(items.text[...]))
  before = np.asarray(items())
  items.text[...] = items.text[...][shuffled]
  np.testing.assert_allclose(items(), before[shuffled], rtol=1e-6)


def test_what_new_items_start_with_is_in_the_logits_and_goes_on_to_the_student(setting):
  data = setting.dataset
  data.split.trained_items[:2] = False
  try:
    model = nnx.view(make_task(setting).model, deterministic=True)
    asked = jnp.array([[3, 5]]), jnp.ones((1, 2), jnp.int32)
    without = score(model, *asked)
    model.towers.items.new.bias[...] = jnp.full(data.items.num_items, 1.5)
    more = np.zeros(data.items.num_items)
    more[:2] = 1.5
    np.testing.assert_allclose(score(model, *asked) - without, more[None], atol=1e-5)
    student = distillation._untrained(
      model, data, DistilConfig(dim=4, token_dim=8, text_dim=8, num_heads=1), setting.config, 0
    )
    of_student = nnx.jit(distillation.score)
    scores = of_student(student, *asked)
    student.new.bias[...] = jnp.zeros(data.items.num_items)
    np.testing.assert_allclose(scores - of_student(student, *asked), more[None], atol=1e-5)
  finally:
    data.split.trained_items[:2] = True


def test_padding_stays_finite_and_a_memory_holds_the_items_of_the_step(setting):
  """The first item has no training event, and a step predicts more than there is."""
  fields = {'objective': 'sampled_softmax', 'negatives': 'memory', 'memory_size': 500}
  config = dataclasses.replace(setting.config, num_predictions=10**4, **fields)
  data = setting.dataset
  data.split.trained_items[0] = False
  try:
    changed = types.SimpleNamespace(config=config, dataset=data, text=setting.text)
    task = make_task(changed, 'id_only')
    batch = next(iter(task.batches))
    batch['items'] = np.where(batch['items'] == 1, 2, batch['items'])
    state, parts = loop.start(task, jax.random.key(0))
    assert not parts.merge(state.params, state.cache).recent[...].any()
    step = loop.make_step(task, parts.graphdef, 'towers')
    state, metrics = step(state, batch, (parts.frozen, task.data))
  finally:
    data.split.trained_items[0] = True
  assert np.isfinite(metrics['loss']) and np.isfinite(metrics['gradient_norm'])
  recent = np.asarray(parts.merge(state.params, state.cache).recent[...])
  expected = np.sort(batch['items'][batch['items'] > 0])
  np.testing.assert_array_equal(np.sort(recent[recent > 0]), expected)


@pytest.mark.parametrize(
  'negatives',
  ['mixed', *(pytest.param(name, marks=pytest.mark.soak) for name in ('uniform', 'hard'))],
)
def test_a_step_computes_what_it_reads_of_a_large_catalogue_and_no_more(negatives, monkeypatch):
  """Loss and gradients are those of the whole catalogue."""
  config = dataclasses.replace(
    small.config(pathlib.Path()).finetune,
    **{'objective': 'sampled_softmax', 'negatives': negatives, 'num_negatives': 3},
    **{'dropout_rate': 0.0, 'id_dropout_rate': 0.0, 'hard_factor': 2},
  )
  dataset, encoder = small.dataset(num_items=600), small.encoder()
  text = next_item.catalogue_text(encoder, dataset, config)
  setting = types.SimpleNamespace(config=config, dataset=dataset, text=text)
  task = make_task(setting)
  batch, data = next(iter(task.batches)), (text, events.catalogue(dataset, config))
  rows_that_are_read, numbers = next_item._rows_that_are_read, []

  def rows(*given):
    found = rows_that_are_read(*given) if numbers else (None, None)
    numbers.append(600 if found[0] is None else len(found[0]))
    return found

  monkeypatch.setattr(next_item, '_rows_that_are_read', rows)

  @nnx.jit(static_argnames='again')
  @nnx.value_and_grad
  def step(model, batch, again):
    values, weights, _ = task.losses(model, jax.random.key(3), batch, data, 'towers')
    return (values * weights).sum()

  (whole_loss, whole_gradient), (loss, gradient) = (
    step(task.model, batch, again=again) for again in (False, True)
  )
  assert numbers == [600, 8 * 11 + 40 + {'uniform': 3 * 40, 'mixed': 40 + 3, 'hard': 6}[negatives]]
  assert loss == pytest.approx(float(whole_loss), rel=1e-5)
  for one, other in zip(*map(jax.tree.leaves, (gradient, whole_gradient)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
