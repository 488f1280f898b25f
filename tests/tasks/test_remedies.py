"""Remedies around a toy model in closed form, and that the two towers are given them."""

import dataclasses
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from rec_jax.data.tokenizer import Tokens
from rec_jax.losses.retrieval import full_softmax
from rec_jax.models import encoding
from rec_jax.tasks import (
  catalogue_text,
  events,
  item_to_item,
  next_item,
  objectives,
  remedies,
  two_tower_optimizer,
)
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.negatives import Catalogue, Vectors
from tests.helpers import small

N, D, P = 6, 3, 4
KEY = jax.random.key(0)
TABLE = jax.random.normal(jax.random.key(1), (N, D))
USERS = jax.random.normal(jax.random.key(2), (P, D))
TARGET, KNOWN = jnp.array([0, 1, 2, 0]), jnp.array([True, True, True, True, False, True])
WEIGHTS = jnp.array([1.0, 1.0, 0.0, 1.0])


def forward(key, shift):
  """Noise for dropout."""
  return Vectors(USERS + 0.1 * jax.random.normal(key, USERS.shape), TABLE + shift)


def value(objective='softmax', **fields):
  config = FinetuneConfig(**fields)
  return remedies.losses(KEY, forward, chosen(objective), WEIGHTS, (N, D), config)


def chosen(objective, negatives='uniform'):
  config = FinetuneConfig(objective=objective, negatives=negatives, num_negatives=5)
  share = KNOWN / KNOWN.sum()
  catalogue = Catalogue(KNOWN, KNOWN.astype(jnp.int32), share)
  return objectives.make(config, jax.random.key(3), TARGET, WEIGHTS > 0, catalogue)


def plain(key, shift=0.0):
  return full_softmax(*forward(key, shift)[:2], TARGET, KNOWN)


def test_without_a_remedy_it_is_the_loss_of_one_pass():
  np.testing.assert_allclose(value(), plain(KEY), rtol=1e-6)


def test_r_drop_is_the_mean_of_two_passes_and_half_of_their_divergence():
  _, first, second = jax.random.split(KEY, 3)
  logits = [
    np.asarray(users @ items.T, np.float64)[:, KNOWN]
    for users, items, _ in (forward(each, 0.0) for each in (first, second))
  ]
  p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in logits)
  divergence = ((p - q) * np.log(p / q)).sum(1) / 2
  for weight in (1.0, 4.0):
    expected = (plain(first) + plain(second)) / 2 + weight / 2 * divergence
    np.testing.assert_allclose(value(consistency_weight=weight), expected, rtol=1e-5)


def test_fgm_is_the_mean_of_the_loss_here_and_at_the_worst_shift():
  _, first, _ = jax.random.split(KEY, 3)

  def total(shift):
    return (plain(first, shift) * WEIGHTS).sum()

  gradient = jax.grad(total)(jnp.zeros((N, D)))
  length = jnp.linalg.norm(gradient, axis=1, keepdims=True)
  worst = 0.2 * gradient / jnp.where(length > 0, length, 1)
  expected = (plain(first) + plain(first, worst)) / 2
  np.testing.assert_allclose(value(adversary='fgm', adversary_radius=0.2), expected, rtol=1e-5)
  assert (expected * WEIGHTS).sum() > (plain(first) * WEIGHTS).sum()


@pytest.mark.parametrize('adversary', ['pgd', 'freelb'])
def test_a_larger_radius_is_a_higher_loss(adversary):
  near, far = (
    (value(adversary=adversary, adversary_radius=radius) * WEIGHTS).sum() for radius in (0.01, 0.5)
  )
  assert far > near + 0.1


@pytest.mark.parametrize('objective', objectives.OBJECTIVES[1:])
def test_r_drop_compares_what_the_objective_predicts(objective):
  made = chosen(objective)
  _, first, second = jax.random.split(KEY, 3)
  one, other = forward(first, 0.0), forward(second, 0.0)
  assert np.allclose(made.divergence(one, one), 0) and (made.divergence(one, other) > 0).all()
  expected = (made.losses(one) + made.losses(other)) / 2 + made.divergence(one, other)
  np.testing.assert_allclose(value(objective, consistency_weight=2.0), expected, rtol=1e-5)


def test_adversaries_raise_the_loss_of_any_objective():
  near, far = (
    (value('binary_cross_entropy', adversary='fgm', adversary_radius=radius) * WEIGHTS).sum()
    for radius in (0.01, 0.5)
  )
  assert far > near + 0.02


def test_a_text_and_its_variants_are_as_likely():
  text = jnp.arange(3000.0)[:, None]
  shifts = jnp.stack([jnp.full((3000, 1), 0.25), jnp.full((3000, 1), 0.5)])
  moved = remedies.varied_text(KEY, text, shifts) - text
  found, counts = np.unique(moved, return_counts=True)
  np.testing.assert_array_equal(found, [0, 0.25, 0.5])
  assert stats.chisquare(counts).pvalue > 1e-3
  assert stats.chisquare(counts, [1500, 750, 750]).pvalue < 1e-9


@pytest.fixture(scope='module')
def setting():
  config = dataclasses.replace(
    small.config(pathlib.Path()).finetune, dropout_rate=0.0, id_dropout_rate=0.0
  )
  dataset, encoder = small.dataset(), small.encoder()
  text = next_item.catalogue_text(encoder, dataset, config)
  spectrum = item_to_item.spectrum(dataset, config, 0)
  return types.SimpleNamespace(
    config=config, dataset=dataset, encoder=encoder, text=text, spectrum=spectrum
  )


def task_of(setting, text=None, **fields):
  config = dataclasses.replace(setting.config, **fields)
  arguments = setting.dataset, config, 4.0, 0, setting.spectrum
  return next_item.task('teacher', small.encoder(), text or setting.text, *arguments)


def test_the_two_towers_are_trained_with_what_is_asked(setting):
  task = task_of(setting)
  batch = next(iter(task.batches))

  @nnx.jit(static_argnames='adversary')
  def loss(model, batch, text, adversary='none'):
    config = dataclasses.replace(setting.config, adversary=adversary)
    data = text, events.catalogue(setting.dataset, config)
    values, weights, _ = next_item._losses(model, KEY, batch, data, 'towers', config=config)
    return (values * weights).sum() / weights.sum()

  without = loss(task.model, batch, setting.text)
  hidden = batch | {'history': np.zeros_like(batch['history'])}
  assert abs(loss(task.model, hidden, setting.text) - without) > 1e-3
  assert loss(task.model, batch, setting.text, 'fgm') > without + 1e-4
  varied = setting.text.replace(shifts=jnp.ones((1, *setting.text.rows.shape[::2])))
  assert abs(loss(task.model, batch, varied) - without) > 1e-4


def test_variants_are_encoded_once_beside_the_texts(setting):
  other = Tokens(setting.dataset.input_ids[::-1], setting.dataset.attention_mask[::-1], 0)
  text = catalogue_text.with_variants(setting.text, setting.encoder, [other])
  vectors = encoding.text_vectors(
    setting.encoder, setting.dataset.input_ids, setting.dataset.attention_mask
  )
  np.testing.assert_allclose(text.shifts, [vectors[::-1] - vectors], atol=1e-5)
  assert catalogue_text.with_variants(setting.text, setting.encoder, []) is setting.text


def test_the_blocks_of_the_encoder_learn_at_rates_that_fall_downwards():
  """Adam's first steps are the rate times a sign, so the sizes of updates are the rates."""
  config = FinetuneConfig(encoder_layer_decay=0.25, encoder_learning_rate=0.1, learning_rate=0.2)
  one = jnp.ones((2, 2))
  blocks = {i: {'kernel': one} for i in range(2)}
  params = {'towers': {'kernel': one}, 'encoder': {'transformer': {'blocks': blocks}}}
  optimizer = two_tower_optimizer.make(config, range(1, 3), 4, num_layers=2)
  update, state, sizes = jax.jit(optimizer.update), optimizer.init(params), []
  for _ in range(4):
    updates, state = update(params, state, jax.tree.map(jnp.zeros_like, params))
    lower, upper = (updates['encoder']['transformer']['blocks'][i]['kernel'] for i in range(2))
    sizes.append([float(jnp.abs(x).max()) for x in (updates['towers']['kernel'], upper, lower)])
  # The encoder has its own warm-up of one step, and rests before and after.
  np.testing.assert_allclose(sizes[2], [0.2 * 0.775, 0.1, 0.025], rtol=1e-4)
  assert not np.any([sizes[0][1:], sizes[1][1:], sizes[3][1:]])


def test_the_rate_of_the_encoder_follows_from_the_method_unless_it_is_set():
  rates = {
    (method, rate): two_tower_optimizer.encoder_rate(
      FinetuneConfig(encoder_method=method, encoder_learning_rate=rate)
    )
    for method in ('lora', 'full')
    for rate in (0.0, 0.02)
  }
  assert rates == {
    ('lora', 0.0): 1e-3,
    ('full', 0.0): 1e-4,
    ('lora', 0.02): 0.02,
    ('full', 0.02): 0.02,
  }
