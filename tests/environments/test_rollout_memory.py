"""What a rollout allocates is what it says, and nothing is compiled to find out where all fits."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from rec_jax import bandits, host
from rec_jax.environments import rollout
from rec_jax.environments.fixed_arms import ArmsData, arms_environment
from rec_jax.environments.one_round import Options, Start
from rec_jax.types import ArmSpec, InputError
from tests.helpers import peak_memory

ENVIRONMENT, DATA, SPEC = arms_environment(4), ArmsData(None, None), ArmSpec(4, 4, 1, 4)
NUM_SEEDS, NUM_ROUNDS = 24, 16
KEYS = jax.random.split(jax.random.key(0), NUM_SEEDS)
START = Start(KEYS, None, None, None)


# Whoever learns nothing compiles fast.
OWN = Options(bandits.make('uniform'), ENVIRONMENT, SPEC, NUM_ROUNDS, False, False, 0)


@pytest.fixture
def compiled():
  """(step, name) of what is traced, lowered and compiled during a test."""
  steps = []

  def listen(event, duration, **about):
    del duration
    steps.append((event.split('/')[-1], about.get('fun_name', '')))

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield steps
  jax.monitoring.unregister_event_duration_listener(listen)


def test_where_all_seeds_fit_one_program_is_compiled_and_once(compiled):
  data = ArmsData(jnp.arange(4) / 4, None)
  counts = []
  for _ in range(2):
    # Of a setting that no other test has.
    policy = bandits.make('epsilon_greedy', epsilon=0.25)
    rollout.rollout(KEYS, policy, ENVIRONMENT, data, SPEC, NUM_ROUNDS)
    counts.append(len(compiled))
  of_run = [step for step, name in compiled if '_run' in name]
  assert of_run.count('backend_compile_duration') == 1
  # The second time nothing is even traced.
  assert counts[0] == counts[1] > 0


@pytest.mark.soak
def test_chunks_are_alike_and_fit():
  of = {chunk: rollout.program_bytes(OWN, DATA, START, chunk) for chunk in (6, 12, 24)}
  assert rollout._fitting(OWN, DATA, START, of[24]) == 24
  assert rollout._fitting(OWN, DATA, START, of[24] - 1) == 12
  # The second time that it does not fit it is halved.
  assert rollout._fitting(OWN, DATA, START, of[12] - 1) == 6
  assert rollout._fitting(OWN, DATA, START, 1.0) == 1


def test_a_seed_that_the_machine_cannot_hold_is_refused(monkeypatch):
  size = rollout.program_bytes(OWN, DATA, START, 1)
  monkeypatch.setattr(host, 'memory', lambda: size)
  assert rollout._fitting(OWN, DATA, START, 1.0) == 1
  monkeypatch.setattr(host, 'memory', lambda: size - 1)
  with pytest.raises(InputError, match='one seed takes 0 GB .* fewer items or users$'):
    rollout._fitting(OWN, DATA, START, 1.0)


def test_outputs_and_states_are_counted():
  kept = OWN._replace(return_state=True)
  state = jax.eval_shape(lambda: OWN.policy.init(KEYS[0], SPEC))
  own_size, kept_size = (
    rollout.program_bytes(each, DATA, START, NUM_SEEDS) for each in (OWN, kept)
  )
  # Three float32 and two int16 numbers a round.
  outputs = NUM_SEEDS * NUM_ROUNDS * (3 * 4 + 2 * 2)
  states = NUM_SEEDS * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  assert own_size > outputs + states
  assert kept_size >= own_size
  least = rollout._least_bytes(OWN, DATA, START)
  assert NUM_SEEDS * least < own_size
  assert least > NUM_ROUNDS * 12 + states / NUM_SEEDS


@pytest.mark.soak
@pytest.mark.parametrize('name', peak_memory.CASES)
def test_the_program_says_what_the_process_takes_within_a_fifth(name):
  # Else glibc keeps what is freed, and what was taken before it is measured hides what is.
  environment = os.environ | {'MALLOC_MMAP_THRESHOLD_': '65536'}
  # As rollouts are compiled, not as tests are.
  environment.pop('JAX_DISABLE_MOST_OPTIMIZATIONS', None)
  command = [sys.executable, '-m', 'tests.helpers.peak_memory', name]
  done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
  found = json.loads(done.stdout.splitlines()[-1])
  assert found['program'] == pytest.approx(found['peak'], rel=0.2)
