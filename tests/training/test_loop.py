"""The loop: resumed runs equal uninterrupted ones, and runs stop when they should."""

import contextlib
import json

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax import checkpoint
from rec_jax.models.two_tower import Buffer
from rec_jax.training import loop, optimizers
from rec_jax.training.task import Schedule, Task
from rec_jax.types import InputError

NUM_STEPS, EVERY = 10, 4
SCHEDULE = Schedule(NUM_STEPS, validate_every=EVERY, log_every=3)
# Steps at which a run of this schedule validates.
VALIDATIONS = [4, 8, 10]


class InterruptedRunError(Exception):
  """Stands for whatever ends a process."""


class Toy(nnx.Module):
  """Four weights that follow a target, and a cache that every step moves."""

  def __init__(self):
    self.x = nnx.Param(jnp.zeros(4))
    self.cache = Buffer(jnp.float32(0))
    self.scale = Buffer(jnp.float32(1))


def losses(model, key, batch, data, phase):
  """Depends on all that a checkpoint must bring back: weights, cache, key and batch."""
  noise = 0.1 * jax.random.normal(key, (4,))
  target = data + batch.astype(jnp.float32) + noise + model.cache[...] * model.scale[...]
  values = (model.x[...] - target) ** 2
  model.cache[...] = 0.9 * model.cache[...] + 0.1 * jnp.tanh(values.mean())
  return values, jnp.ones(4), {'cache': model.cache[...]}


def batches():
  source = grain.MapDataset.range(40).seed(1).shuffle().repeat().batch(4)
  # Grain itself would read five hundred batches ahead.
  return source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))


def distance(model):
  return {'score': -float(jnp.mean(model.x[...] ** 2)), 'x': float(model.x[0])}


def make_task(**changes):
  return Task(
    name='toy',
    model=Toy(),
    trainable=nnx.Param,
    losses=losses,
    batches=batches(),
    optimizer=optimizers.make(0.3, NUM_STEPS, weight_decay=0.01),
    schedule=SCHEDULE,
    validate=distance,
    ema_decay=0.8,
    data=jnp.float32(0.5),
    cached=nnx.PathContains('cache'),
  )._replace(**changes)


def train(directory, **changes):
  return loop.train(make_task(**changes), directory, jax.random.key(3), {'seed': 3})[0]


def fail_at(count):
  """A validation that raises in its `count`-th call."""
  calls = []

  def validate(model):
    calls.append(None)
    if len(calls) == count:
      raise InterruptedRunError
    return distance(model)

  return validate


_STEPS = {}


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch):
  """One program for all runs whose tasks differ in nothing that a step reads but the losses."""
  make = loop.make_step

  def step_of(task, graphdef, phase):
    return _STEPS.setdefault((task.losses, phase), make(task, graphdef, phase))

  monkeypatch.setattr(loop, 'make_step', step_of)


@pytest.fixture
def unsaved(monkeypatch):
  """Runs without checkpoints, whose writing takes most of the time of a short run."""
  nothing = checkpoint.Checkpointer(lambda *_: None, lambda *_: None)
  monkeypatch.setattr(checkpoint, 'open', lambda *_: contextlib.nullcontext(nothing))


def assert_same(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
      a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  """The directory and final state of a run that nothing disturbed."""
  directory = tmp_path_factory.mktemp('uninterrupted')
  return directory, train(directory)


@pytest.mark.parametrize('interruptions', [[1], [3], [2, 1]])
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path, uninterrupted, interruptions):
  for count in interruptions:
    with pytest.raises(InterruptedRunError):
      train(tmp_path, validate=fail_at(count))
  state = train(tmp_path)
  directory, expected = uninterrupted
  assert_same(state, expected)
  written = (tmp_path / 'scalars.jsonl').read_text()
  assert written == (directory / 'scalars.jsonl').read_text()


def test_a_finished_run_is_not_run_again(uninterrupted):
  directory, expected = uninterrupted
  before = (directory / 'scalars.jsonl').read_text()

  def never(*_):
    raise AssertionError('a step or a validation of a finished run')

  assert_same(train(directory, validate=never, losses=never), expected)
  assert (directory / 'scalars.jsonl').read_text() == before


def test_what_is_logged_and_when(uninterrupted):
  directory, state = uninterrupted
  steps = {}
  for line in (directory / 'scalars.jsonl').read_text().splitlines():
    row = json.loads(line)
    steps.setdefault(row['name'], []).append(row['step'])
  logged = [3, 6, 9]
  assert steps == {
    'score': VALIDATIONS,
    'x': VALIDATIONS,
    'loss': logged,
    'gradient_norm': logged,
    'cache': logged,
  }
  assert int(state.step) == NUM_STEPS


def test_steps_and_host_work_are_counted(tmp_path, unsaved):
  asked, done, traced = [], [], []

  def phase(step):
    asked.append(step)
    return step < 3

  def after_step(step, state, parts):
    done.append((step, int(state.step)))
    return state

  def of_phase(model, key, batch, data, phase):
    traced.append(phase)
    return losses(model, key, batch, data, phase)

  train(tmp_path, phase=phase, after_step=after_step, losses=of_phase)
  assert asked == list(range(NUM_STEPS))
  assert done == [(step, step) for step in range(1, NUM_STEPS + 1)]
  # Each phase is compiled once, however many steps it has.
  assert traced == [True, False]


def test_the_loss_is_the_mean_by_weight_and_only_what_trains_changes(tmp_path, unsaved):
  def weighted(model, key, batch, data, phase):
    values, _, metrics = losses(model, key, batch, data, phase)
    return values, jnp.array([1.0, 0, 0, 3.0]), metrics | {'first': values[0], 'last': values[3]}

  schedule = Schedule(1, validate_every=1, log_every=1)
  state = train(tmp_path, losses=weighted, schedule=schedule)
  rows = map(json.loads, (tmp_path / 'scalars.jsonl').read_text().splitlines())
  logged = {row['name']: row['value'] for row in rows}
  assert logged['loss'] == pytest.approx((logged['first'] + 3 * logged['last']) / 4, rel=1e-6)
  assert [path[0].key for path, _ in jax.tree.leaves_with_path(state.params)] == ['x']
  assert [path[0].key for path, _ in jax.tree.leaves_with_path(state.cache)] == ['cache']
  assert float(jax.tree.leaves(state.cache)[0]) > 0


@pytest.mark.parametrize(
  ('values', 'patience', 'last', 'best'),
  [
    ([1, 3, 2, 2.5, 9, 9], 2, 8, 4),
    ([1, 3, 2, 2.5, 9, 9], 3, 12, 10),
    ([1, 3, 2, 2.5, 9, 9], 0, 12, 10),
    ([5, 4, 3, 2, 1, 0], 1, 4, 2),
    ([1, 2, 3, 4, 5, 6], 1, 12, 12),
    ([float('nan')] * 6, 2, 4, 0),
  ],
)
def test_a_run_stops_when_patience_ends(tmp_path, unsaved, values, patience, last, best):
  remaining = iter(values)
  state = train(
    tmp_path,
    validate=lambda _: {'score': (value := next(remaining)), 'other': -value},
    schedule=Schedule(12, validate_every=2, patience=patience),
  )
  assert (int(state.step), int(state.best_step)) == (last, best)


def test_a_run_that_stopped_early_does_not_go_on(tmp_path):
  schedule = Schedule(12, validate_every=2, patience=1)
  values = iter([2.0, 1.0])
  first = train(tmp_path, validate=lambda _: {'score': next(values)}, schedule=schedule)
  assert int(first.step) == 4
  assert_same(train(tmp_path, validate=lambda _: {'score': next(values)}, schedule=schedule), first)


def test_patience_outlasts_a_restart(tmp_path):
  schedule = Schedule(12, validate_every=2, patience=3)
  values = iter([5.0, 1.0, InterruptedRunError(), 1.0, 1.0, 9.0])

  def validate(_):
    value = next(values)
    if isinstance(value, InterruptedRunError):
      raise value
    return {'score': value}

  with pytest.raises(InterruptedRunError):
    train(tmp_path, validate=validate, schedule=schedule)
  state = train(tmp_path, validate=validate, schedule=schedule)
  assert (int(state.step), int(state.best_step)) == (8, 2)


def spoiling(loss_fails, at):
  """Changes of the task: loss or, with the loss finite, gradient are NaN at step `at` (from 1)."""

  def spoiled(model, key, batch, data, phase):
    values, weights, metrics = losses(model, key, batch, data, phase)
    # The root of zero has no gradient: a slope of inf times 0 is NaN.
    nan = jnp.nan if loss_fails else jnp.sqrt(0.0 * model.x[0])
    return values + nan if phase else values, weights, metrics

  return {'losses': spoiled, 'phase': lambda step: step + 1 == at}


@pytest.mark.parametrize(('loss_fails', 'at'), [(True, 3), (False, 8)])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, loss_fails, at):
  with pytest.raises(InputError) as caught:
    train(tmp_path, **spoiling(loss_fails, at))
  message = str(caught.value)
  assert f'at step {at};' in message
  assert f'{tmp_path}/checkpoints' in message
  assert 'nan' in message
  assert '\n' not in message
  if at > EVERY:
    example, _ = loop.start(make_task(), jax.random.key(3))
    saved = checkpoint.load_state(tmp_path / 'checkpoints', example)
    assert int(saved.step) == max(step for step in VALIDATIONS if step < at)
    assert np.isfinite(saved.params['x'][...]).all()
