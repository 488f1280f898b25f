"""Checkpoints: exact, whole or passed over, and safe from a kill at any moment."""

import json
import logging
import pathlib
import random
import shutil
import subprocess
import sys
import time

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from rec_jax import checkpoint
from rec_jax.types import InputError

CONFIG = {'seed': 3, 'model': {'dims': [4, 8], 'name': 'tower'}}


def make_iterator():
  dataset = grain.MapDataset.source(range(100)).seed(5).shuffle().repeat().batch(4)
  # Grain itself would read five hundred batches ahead.
  return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))


def make_state(seed=0):
  """One leaf of every kind that the stages keep."""
  params = {'kernel': jax.random.normal(jax.random.key(seed), (6, 5)), 'bias': jnp.zeros(5)}
  return {
    'params': params,
    'half': jnp.full((3,), 1 / 3, jnp.bfloat16),
    'optimizer': optax.adamw(1e-3).init(params),
    'keys': jax.random.split(jax.random.key(seed + 7), 3),
    'key': jax.random.key(seed, impl='rbg'),
    'mask': jnp.array([True, False]),
    'empty': jnp.zeros((0, 4)),
    'host': np.arange(5, dtype=np.int64),
    'nothing': None,
  }


def assert_same(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    assert one.dtype == other.dtype
    if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
      one, other = jax.random.key_data(one), jax.random.key_data(other)
    np.testing.assert_array_equal(one, other)


def save(directory, *steps):
  """Saves `make_state(step)` at each step, with an iterator advanced as far."""
  iterator = make_iterator()
  with checkpoint.open(directory, CONFIG, keep=3) as checkpointer:
    for step in range(1, max(steps) + 1):
      next(iterator)
      if step in steps:
        checkpointer.save(step, make_state(step), iterator)


def restore(directory, example=None, iterator=None):
  with checkpoint.open(directory, CONFIG) as checkpointer:
    return checkpointer.restore_latest(make_state() if example is None else example, iterator)


def test_everything_comes_back_bit_for_bit_and_quietly(tmp_path, caplog):
  save(tmp_path, 2, 5)
  iterator, expected = make_iterator(), make_iterator()
  step, state = restore(tmp_path, iterator=iterator)
  assert step == 5
  assert_same(state, make_state(5))
  assert not np.array_equal(state['params']['kernel'], make_state(2)['params']['kernel'])
  for _ in range(5):
    next(expected)
  np.testing.assert_array_equal(next(iterator), next(expected))
  assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_example_may_be_abstract_and_keeps_its_sharding(tmp_path):
  save(tmp_path, 1)
  _, state = restore(tmp_path, jax.eval_shape(make_state) | {'host': np.zeros(5, np.int64)})
  assert_same(state, make_state(1))
  mesh = jax.make_mesh((1,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  sharding = jax.sharding.NamedSharding(mesh, jax.P('data'))
  example = make_state() | {'half': jax.device_put(jnp.zeros(3, jnp.bfloat16), sharding)}
  assert restore(tmp_path, example)[1]['half'].sharding == sharding


def test_programs_of_a_new_state_serve_the_restored_one(tmp_path):
  save(tmp_path, 1)
  _, state = restore(tmp_path)
  program = jax.jit(lambda state: state)
  for one in (make_state(), state, jax.tree.map(jnp.asarray, state)):
    arrays = {name: leaf for name, leaf in one.items() if name != 'host'}
    program(arrays)
  assert program._cache_size() == 1


def test_the_state_of_a_module_comes_back(tmp_path):
  def make(seed):
    return nnx.split(nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(seed)), nnx.Dropout(0.5)))[1]

  with checkpoint.open(tmp_path, CONFIG) as checkpointer:
    checkpointer.save(1, make(4), None)
  assert_same(checkpoint.load_state(tmp_path, make(0)), make(4))


def test_a_save_does_not_wait_and_outlives_donation(tmp_path):
  big = jax.random.normal(jax.random.key(0), (2000, 2000))
  expected, overwrite = np.array(big), jax.jit(lambda x: x * 0, donate_argnums=0)
  host = np.ones(1_000_000)
  with checkpoint.open(tmp_path, CONFIG) as checkpointer:
    checkpointer.save(1, {'big': big, 'host': host}, None)
    jax.block_until_ready(overwrite(big))
    host[:] = 0
  state = checkpoint.load_state(tmp_path, {'big': jnp.zeros((2000, 2000)), 'host': host})
  np.testing.assert_array_equal(state['big'], expected)
  assert state['host'].min() == 1


def test_old_checkpoints_go(tmp_path):
  with checkpoint.open(tmp_path, CONFIG, keep=2) as checkpointer:
    for step in (1, 2, 3, 4):
      checkpointer.save(step, make_state(step), None)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['3', '4']
  with pytest.raises(ValueError, match='at least 2, not 1'):
    checkpoint.open(tmp_path, CONFIG, keep=1).__enter__()


def test_the_same_step_is_replaced(tmp_path):
  save(tmp_path, 1)
  with checkpoint.open(tmp_path, CONFIG) as checkpointer:
    checkpointer.save(1, make_state(5), None)
    checkpointer.save(1, make_state(6), None)
  assert_same(checkpoint.load_state(tmp_path, make_state()), make_state(6))


def test_a_new_directory_has_nothing_to_restore(tmp_path):
  assert restore(tmp_path / 'new') is None
  with pytest.raises(InputError, match='no whole checkpoint in .*other: run its stage'):
    checkpoint.load_state(tmp_path / 'other', make_state())


def test_the_config_is_kept(tmp_path):
  save(tmp_path, 1)
  assert checkpoint.load_config(tmp_path) == CONFIG


def damage_by_truncation(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_by_a_flipped_bit(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


@pytest.mark.parametrize(
  'damage', [damage_by_truncation, damage_by_a_flipped_bit, pathlib.Path.unlink]
)
def test_every_kind_of_damage_to_any_file_is_passed_over(tmp_path, damage, caplog):
  save(tmp_path / 'good', 1, 2)
  files = [path for path in (tmp_path / 'good/2').rglob('*') if path.stat().st_size > 1]
  files = [path for path in files if path.is_file()]
  assert len(files) > 8
  for file in files:
    copy = tmp_path / 'bad'
    subprocess.run(['cp', '-r', tmp_path / 'good', copy], check=True)
    damage(copy / file.relative_to(tmp_path / 'good'))
    caplog.clear()
    with caplog.at_level(logging.WARNING, 'rec_jax'):
      assert checkpoint._newest_whole(copy) == 1, file
    (line,) = caplog.messages
    assert 'checkpoint 2 in' in line
    assert 'using checkpoint 1' in line
    subprocess.run(['rm', '-r', copy], check=True)


def test_a_run_goes_on_from_the_newest_whole_checkpoint(tmp_path):
  save(tmp_path, 1, 2, 3)
  files = [path for path in (tmp_path / '3').rglob('*') if path.is_file()]
  damage_by_truncation(max(files, key=lambda path: path.stat().st_size))
  assert_same(checkpoint.load_state(tmp_path, make_state()), make_state(2))
  with checkpoint.open(tmp_path, CONFIG) as checkpointer:
    step, state = checkpointer.restore_latest(make_state(), None)
    assert step == 2
    assert_same(state, make_state(2))
    checkpointer.save(3, make_state(3), None)
  assert_same(restore(tmp_path)[1], make_state(3))


def test_no_whole_checkpoint_is_an_error_that_deletes_nothing(tmp_path):
  save(tmp_path, 1, 2)
  for step in '12':
    damage_by_truncation(tmp_path / step / 'state/_METADATA')
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(
    InputError, match=r'every checkpoint in .* is damaged \(steps \[2, 1\]\): delete'
  ):
    restore(tmp_path)
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('is_finished', [True, False])
def test_a_damaged_model_is_deleted_with_its_stage_if_that_would_not_run_again(
  tmp_path, is_finished
):
  for name in ('manifest.json', 'metrics.json'):
    (tmp_path / name).write_text('{}')
  directory = tmp_path / 'finetune/seed_0/teacher/model'
  save(directory, 1)
  damage_by_truncation(directory / '1/state/_METADATA')
  if is_finished:
    (tmp_path / 'finetune/metrics.json').write_text('{}')
  wanted = tmp_path / 'finetune' if is_finished else directory
  with pytest.raises(InputError, match=f'delete {wanted} and run'):
    checkpoint.load_state(directory, make_state())


def lose_checksums(directory):
  (directory / '1/checksums.json').unlink()


@pytest.mark.parametrize('lose', [lose_checksums, shutil.rmtree])
def test_a_finished_stage_without_its_model_is_to_be_deleted_before_it_runs_again(tmp_path, lose):
  directory = tmp_path / 'finetune/model'
  save(directory, 1)
  lose(directory)
  with pytest.raises(InputError, match=f'no whole checkpoint in {directory}: run its stage first$'):
    checkpoint.load_state(directory, make_state())
  for name in ('manifest.json', 'finetune/metrics.json'):
    (tmp_path / name).write_text('{}')
  message = (
    f'no whole checkpoint in {directory}: delete {tmp_path}/finetune and run its stage again$'
  )
  with pytest.raises(InputError, match=message):
    checkpoint.load_state(directory, make_state())


def test_an_unfinished_save_does_not_count(tmp_path):
  save(tmp_path, 1)
  (tmp_path / '1' / 'checksums.json').unlink()
  assert restore(tmp_path) is None
  assert not (tmp_path / '1').exists()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'half': jnp.zeros(4, jnp.bfloat16)}, r"\['half'\] is bfloat16\[3\] .* bfloat16\[4\] in"),
    ({'half': jnp.zeros(3)}, r"\['half'\] is bfloat16\[3\] .* and float32\[3\] in the model"),
    ({'more': jnp.zeros(3)}, r"only the model has \['more'\]"),
    ({'half': None}, r"only checkpoint .*/1 has \['half'\]"),
    ({'keys': jax.random.split(jax.random.key(0), 4)}, r"\['keys'\] is uint32\[3, 2\] .*\[4, 2\]"),
  ],
)
def test_another_structure_is_named(tmp_path, change, message):
  save(tmp_path, 1)
  with pytest.raises(InputError, match=message):
    checkpoint.load_state(tmp_path, make_state() | change)


def test_a_failed_save_is_not_silent(tmp_path, monkeypatch):
  def fail(path):
    raise OSError(f'no space left for {path.name}')

  monkeypatch.setattr(checkpoint, '_checksums', fail)
  with (
    pytest.raises(OSError, match='no space left for 1'),
    checkpoint.open(tmp_path, CONFIG) as checkpointer,
  ):
    checkpointer.save(1, make_state(), None)


_TRAINING = """
import json, sys
import grain, jax, jax.numpy as jnp, numpy as np
from rec_jax import checkpoint

directory, out = sys.argv[1:]
dataset = grain.MapDataset.source(range(1000)).seed(5).shuffle().repeat().batch(4)
reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
iterator = iter(dataset.to_iter_dataset(reading))
state = {'sum': jnp.zeros(4), 'key': jax.random.key(0), 'ballast': jnp.ones((500, 500))}

@jax.jit
def train_step(state, batch):
  key, noise = jax.random.split(state['key'])
  total = state['sum'] * 0.99 + batch + jax.random.normal(noise, (4,))
  return {'sum': total, 'key': key, 'ballast': state['ballast'] * 0.999}

with checkpoint.open(directory, {}) as checkpointer:
  start, state = checkpointer.restore_latest(state, iterator) or (0, state)
  print(start, flush=True)
  for step in range(start + 1, 121):
    state = train_step(state, jnp.asarray(next(iterator), jnp.float32))
    if step % 4 == 0:
      checkpointer.save(step, state, iterator)
      print(step, flush=True)
with open(out, 'w') as file:
  json.dump([np.asarray(state['sum']).tolist(), float(state['ballast'].sum())], file)
"""


@pytest.mark.soak
@pytest.mark.parametrize('num_kills', [1, 4])
def test_killed_at_any_moment_a_run_ends_as_if_never_interrupted(
  tmp_path, monkeypatch, capsys, num_kills
):
  def train():
    command = [sys.executable, '-c', _TRAINING, tmp_path / 'killed', tmp_path / 'killed.json']
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

  def train_here(name):
    """In this process, which has imported what it needs; the step that it starts after."""
    directory = tmp_path / name
    monkeypatch.setattr(sys, 'argv', ['-c', str(directory), str(directory.with_suffix('.json'))])
    exec(compile(_TRAINING, '<string>', 'exec'), {})
    return int(capsys.readouterr().out.split()[0])

  assert train_here('whole') == 0
  chance, starts = random.Random(0), []
  for _ in range(num_kills):
    process = train()
    starts.append(int(process.stdout.readline()))
    for _ in range(chance.randint(1, 8)):
      process.stdout.readline()
    time.sleep(chance.uniform(0.0, 0.1))
    process.kill()
    process.communicate()
  starts.append(train_here('killed'))
  assert starts == sorted(starts)
  assert starts[-1] > 0
  results = [json.loads((tmp_path / name).read_text()) for name in ('whole.json', 'killed.json')]
  assert results[0] == results[1]
