"""A tuned encoder in training and on disk: what stays frozen keeps its bits, and is not saved."""

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.config import TUNING_METHODS
from rec_jax.models.peft import methods
from rec_jax.tasks import next_item, saved_models
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import loop, optimizers, step_cost
from rec_jax.training.task import Schedule, Task
from rec_jax.types import InputError
from tests.helpers import small
from tests.models import modules
from tests.models.peft import tuned
from tests.models.peft.tuned import DEPTH, IDS, MASK

METHODS = pytest.mark.parametrize('method', TUNING_METHODS)


@METHODS
def test_of_the_encoder_of_a_model_trains_what_trains_of_an_encoder_alone(method):
  config = FinetuneConfig(dim=8, encoder_method=method, encoder_blocks=1, encoder_rank=3)

  def alone():
    encoder = small.encoder()
    methods.adapt(encoder, method, 1, 3, nnx.Rngs(0))
    return encoder

  model = nnx.eval_shape(lambda: next_item.new_model('teacher', small.encoder(), config, 9, 0))
  found = paths(model, next_item._trainable(model, config))
  depth = methods.depth(nnx.eval_shape(small.encoder), method, 1)
  expected = paths(nnx.eval_shape(alone), methods.trainable(method, depth))
  assert {path[1:] for path in found if path[0] == 'encoder'} == expected
  assert bool(expected) == (method != 'frozen')
  towers = paths(model.towers, nnx.Param)
  assert {path[1:] for path in found if path[0] == 'towers'} == towers


def paths(module, filter_):
  return {path for path, _ in nnx.to_flat_state(nnx.state(module, filter_))}


def losses(model, key, batch, data, phase):
  """Of texts whose vectors should point one way, each under noise."""
  rows = batch % len(IDS)
  hidden = model(jnp.asarray(IDS)[rows], jnp.asarray(MASK)[rows])
  noise = 0.1 * jax.random.normal(key, hidden.shape)
  return ((hidden + noise - data) ** 2).mean((1, 2)), jnp.ones(len(rows)), {}


def make_task(method):
  source = grain.MapDataset.range(40).seed(1).shuffle().repeat().batch(4)
  return Task(
    name='tuning',
    model=tuned.adapted(method, 'decoder'),
    trainable=methods.trainable(method, DEPTH),
    losses=losses,
    batches=source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)),
    optimizer=optimizers.make(0.05, 6, weight_decay=0.01),
    schedule=Schedule(6, validate_every=2),
    validate=lambda model: {'score': 0.0},
    ema_decay=0.8,
    data=jnp.float32(0.5),
  )


def test_resumed_tuning_is_uninterrupted_and_leaves_frozen_bits(tmp_path, monkeypatch):
  method, steps = 'dora', {}
  task = make_task(method)
  make = loop.make_step
  monkeypatch.setattr(loop, 'make_step', lambda *given: steps.setdefault(0, make(*given)))
  whole, parts = loop.train(task, tmp_path / 'whole', jax.random.key(0), {})
  calls = []

  def stops(model):
    calls.append(0)
    if len(calls) == 2:
      raise KeyboardInterrupt
    return {'score': 0.0}

  with pytest.raises(KeyboardInterrupt):
    loop.train(task._replace(validate=stops), tmp_path / 'again', jax.random.key(0), {})
  again, _ = loop.train(make_task(method), tmp_path / 'again', jax.random.key(0), {})
  model = parts.merge(again.params, again.cache)
  before = modules.flat(task.model)
  trains = paths(model, task.trainable)
  resumed = modules.flat(model)
  for path, value in modules.flat(parts.merge(whole.params, whole.cache)).items():
    np.testing.assert_array_equal(resumed[path], value)
    assert np.array_equal(value, before[path]) == (path not in trains), path


def save(directory, method, model, base):
  frozen = nnx.Not(methods.trainable(method, DEPTH))
  saved_models.save(directory, model, 3, {'rank': 3}, frozen, base)
  return lambda base: saved_models.load(
    directory, lambda: tuned.adapted(method, 'decoder'), frozen, base
  )


@pytest.mark.parametrize('method', ['dora', 'full'])
def test_what_was_tuned_is_saved_alone_and_joins_its_encoder(method, tmp_path):
  base, model = tuned.base('decoder'), tuned.trained(method, 'decoder')
  load = save(tmp_path / 'model', method, model, base)
  found, expected = modules.flat(load(base)), modules.flat(model)
  assert set(found) == set(expected)
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value)
  # The arrays of the base are shared, so that another domain costs what was tuned of it.
  shared = load(base).token.embedding.get_raw_value()
  assert shared is base.token.embedding.get_raw_value()


def test_another_encoder_is_refused(tmp_path):
  base, model = tuned.base('decoder'), tuned.trained('lora', 'decoder')
  load = save(tmp_path / 'model', 'lora', model, base)
  other = tuned.base('decoder')
  kernel = other.transformer.blocks[0].mlp_in.kernel
  kernel[...] = kernel[...].at[0, 0].add(1e-6)
  with pytest.raises(
    InputError, match=r'model was tuned on another encoder \(sha256 \w{12}, '
  ) as e:
    load(other)
  assert '\n' not in str(e.value)
  saved_models.save(tmp_path / 'bare', model, 0, {})
  with pytest.raises(InputError, match='another encoder'):
    saved_models.load(tmp_path / 'bare', lambda: model, nnx.Nothing(), base)


def test_a_saved_adapter_is_small_beside_its_encoder(tmp_path):
  encoder = small.encoder(vocab_size=100_000)
  model = nnx.clone(encoder)
  methods.adapt(model, 'lora', 2, 2, nnx.Rngs(0))
  frozen = nnx.Not(methods.trainable('lora', 0))
  saved_models.save(tmp_path, model, 0, {}, frozen, encoder)
  written = sum(path.stat().st_size for path in tmp_path.rglob('*') if path.is_file())
  whole = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(encoder)))
  assert written < 0.05 * whole


def test_the_memory_of_a_step_holds_weights_moments_and_data():
  task = make_task('lora')
  found = step_cost.measure(task, None)
  held = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(task.model)))
  trained = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(task.model, task.trainable)))
  # Weights, their average, the best, and two moments; gradients and activations come on top.
  assert held + 4 * trained < found.peak_bytes < 50 * held
  assert 0 < found.seconds < 10
