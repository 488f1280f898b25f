"""The loop: resumed runs equal uninterrupted ones, and runs stop when they should."""

import contextlib
import json

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import checkpoint
from rec_jax.training import loop, optimizers
from rec_jax.training import state as train_state
from rec_jax.types import InputError

NUM_STEPS, EVERY = 10, 4
SCHEDULE = loop.Schedule(NUM_STEPS, validate_every=EVERY, log_every=3)
# Steps at which a run of this schedule validates.
VALIDATIONS = [4, 8, 10]


class InterruptedRunError(Exception):
  """Stands for whatever ends a process."""


def loss_fn(params, carry, key, batch, constants):
  """Depends on everything that a checkpoint must bring back: weights, carry, key and batch."""
  target = constants + batch.astype(jnp.float32) + 0.1 * jax.random.normal(key, (4,)) + carry
  loss = jnp.mean((params['x'] - target) ** 2)
  return loss, (0.9 * carry + 0.1 * jnp.tanh(loss), {'carry': carry})


OPTIMIZER = optimizers.adamw(0.3, NUM_STEPS, weight_decay=0.01)
STEP = train_state.make_step(loss_fn, OPTIMIZER, ema_decay=0.8)


def new_state():
  params = {'x': jnp.zeros(4)}
  return train_state.init(jax.random.key(3), params, OPTIMIZER, jnp.float32(0))


def batches():
  source = grain.MapDataset.range(40).seed(1).shuffle().repeat().batch(4)
  return source.to_iter_dataset()


def distance(state):
  return {'score': -float(jnp.mean(state.average['x'] ** 2)), 'x': float(state.average['x'][0])}


def train(directory, validate=distance, schedule=SCHEDULE, step_at=lambda _: STEP, **options):
  return loop.train(
    'toy',
    directory,
    new_state(),
    step_at,
    batches(),
    jnp.float32(0.5),
    schedule,
    {'seed': 3},
    validate,
    **options,
  )


def fail_at(count):
  """A validation that raises in its `count`-th call."""
  calls = []

  def validate(state):
    calls.append(int(state.step))
    if len(calls) == count:
      raise InterruptedRunError
    return distance(state)

  return validate


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
      train(tmp_path, fail_at(count))
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

  assert_same(train(directory, never, step_at=never), expected)
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
    'carry': logged,
  }
  assert int(state.step) == NUM_STEPS


def test_steps_and_host_work_are_counted(tmp_path, unsaved):
  asked, done = [], []

  def step_at(step):
    asked.append(step)
    return STEP

  def after_step(step, state):
    done.append((step, int(state.step)))
    return state

  train(tmp_path, step_at=step_at, after_step=after_step)
  assert asked == list(range(NUM_STEPS))
  assert done == [(step, step) for step in range(1, NUM_STEPS + 1)]


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
    lambda state: {'score': (value := next(remaining)), 'other': -value},
    loop.Schedule(12, validate_every=2, patience=patience),
  )
  assert (int(state.step), int(state.best_step)) == (last, best)


def test_a_run_that_stopped_early_does_not_go_on(tmp_path):
  schedule = loop.Schedule(12, validate_every=2, patience=1)
  values = iter([2.0, 1.0])
  first = train(tmp_path, lambda _: {'score': next(values)}, schedule)
  assert int(first.step) == 4
  assert_same(train(tmp_path, lambda _: {'score': next(values)}, schedule), first)


def test_patience_outlasts_a_restart(tmp_path):
  schedule = loop.Schedule(12, validate_every=2, patience=3)
  values = iter([5.0, 1.0, InterruptedRunError(), 1.0, 1.0, 9.0])

  def validate(_):
    value = next(values)
    if isinstance(value, InterruptedRunError):
      raise value
    return {'score': value}

  with pytest.raises(InterruptedRunError):
    train(tmp_path, validate, schedule)
  state = train(tmp_path, validate, schedule)
  assert (int(state.step), int(state.best_step)) == (8, 2)


def spoiling(loss_fails, at):
  """A step whose loss or, with the loss finite, whose gradient is NaN at step `at` (from 1)."""

  def spoiled(params, carry, key, batch, constants):
    loss, rest = loss_fn(params, carry, key, batch, constants)
    # The root of zero has no gradient: a slope of inf times 0 is NaN.
    nan = jnp.nan if loss_fails else jnp.sqrt(0.0 * params['x'][0])
    return loss + nan, rest

  wrong = train_state.make_step(spoiled, OPTIMIZER, ema_decay=0.8)
  return lambda step: wrong if step + 1 == at else STEP


@pytest.mark.parametrize(('loss_fails', 'at'), [(True, 3), (True, 10), (False, 8)])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, loss_fails, at):
  with pytest.raises(InputError) as caught:
    train(tmp_path, step_at=spoiling(loss_fails, at))
  message = str(caught.value)
  assert f'at step {at};' in message
  assert f'{tmp_path}/checkpoints' in message
  assert 'nan' in message
  assert '\n' not in message
  if at > EVERY:
    saved = checkpoint.load_state(tmp_path / 'checkpoints', new_state())
    assert int(saved.step) == max(step for step in VALIDATIONS if step < at)
    assert np.isfinite(saved.params['x']).all()
