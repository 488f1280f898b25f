"""Benchmarks: the registry, the rows, and a peer that is not there; no measurement is judged."""

import json
import sys

import pytest

from experiments import benchmarks
from experiments.benchmarks import streams
from rec_jax import bandits
from rec_jax.types import ArmSpec, InputError


@pytest.mark.parametrize('name', benchmarks.NAMES)
def test_every_benchmark_says_what_it_is(name):
  module = benchmarks.load(name)
  assert module.DESCRIPTION and '\n' not in module.DESCRIPTION
  assert callable(module.run)


def test_a_row_holds_the_medians_and_their_ratio():
  ours = iter([0.0, *range(1, benchmarks.REPEATS + 1)])
  (row,) = benchmarks.compare('name', 'subject', lambda: next(ours), {'peer': lambda: 1.5})
  assert (row.value, row.peer_value, row.ratio, row.n) == (3, 1.5, 2.0, 5)


@pytest.mark.parametrize('arm_dim', [1, 3])
@pytest.mark.parametrize('shared', [True, False])
def test_a_stream_is_played(arm_dim, shared):
  policy = bandits.make('disjoint_lin_ucb' if arm_dim == 1 else 'lin_squarecb')
  spec = ArmSpec(4, 4, query_dim=2, arm_dim=arm_dim)
  assert streams.measure(policy, spec, num_seeds=2, num_rounds=3, shared=shared)() > 0


def test_the_peer_in_numpy_measures_itself():
  sizes = {'policy': 'thompson', 'num_arms': 3, 'dim': 2, 'num_rounds': 10}
  assert benchmarks.ask_peer(sys.executable, 'numpy_linear.py', **sizes) > 0


def test_a_missing_environment_of_peers_says_how_to_make_it(tmp_path):
  with pytest.raises(InputError, match='make bench'):
    benchmarks.ask_peer(str(tmp_path / 'python'), 'numpy_linear.py')


def test_a_peer_that_fails_says_why(tmp_path):
  with pytest.raises(InputError, match='vowpal_squarecb.py: .*vowpalwabbit'):
    benchmarks.ask_peer(sys.executable, 'vowpal_squarecb.py', num_arms=2)


def test_rows_are_json():
  row = benchmarks.Row('name', 'subject', 1.0, 's', 'peer', 2.0, 0.5, 1)
  fields = json.loads(json.dumps(vars(row)))
  assert list(fields) == ['name', 'subject', 'value', 'unit', 'peer', 'peer_value', 'ratio', 'n']
