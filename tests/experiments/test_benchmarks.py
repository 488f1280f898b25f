"""Benchmarks: sides in turn, their ratio, and a peer that is not there; no time is judged."""

import inspect
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmarks
from experiments.benchmarks import compile as compile_times
from experiments.benchmarks import pretraining_step, quality, recommend, scaling, streams
from rec_jax import bandits
from rec_jax.bandits.base import Belief, Explorer
from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.runs import study
from rec_jax.types import ArmSpec, InputError


def test_sides_take_turns_and_the_first_call_is_not_counted(tmp_path):
  calls, ours = [], iter([0.0, *range(1, benchmarks.REPEATS + 1)])

  def one_case():
    calls.append('ours')
    return next(ours)

  def peer(python):
    calls.append(python)
    return {'case': 1.5}

  asked = benchmarks.benchmark('', '', lambda: {'case': one_case}, {'peer': peer})
  assert study.run('made_up', asked, tmp_path)
  assert calls == ['ours'] + ['ours', asked.config.peers] * benchmarks.REPEATS
  rows = {row['subject']: row for row in json.loads((tmp_path / 'metrics.json').read_text())}
  assert (rows['rec_jax']['value'], rows['peer']['value']) == (3, 1.5)
  ratio = rows['peer, rec_jax over this']
  assert (ratio['value'], ratio['low'], ratio['high'], ratio['n']) == (2, 1 / 1.5, 5 / 1.5, 5)


def test_the_floor_of_memory_is_that_of_the_numbers_read():
  size = scaling.Size('arms', 10, num_arms=10, dim=3)
  # A mean of 3 and a triangle of 6 an arm.
  assert size.floats == 90
  sizes = list(scaling._sizes())
  assert len({size.label for size in sizes}) == len(sizes) == 19
  # The largest state of all: 80 arms, 256 dimensions.
  assert all(size.num_seeds * 4 * size.floats <= scaling._LARGEST_STATE for size in sizes)


def test_the_products_of_a_step_are_counted():
  blocks = TransformerConfig(num_layers=2, num_heads=1, hidden_dim=3, mlp_dim=5)
  sizes = TextEncoderConfig(vocab_size=7, transformer=blocks)
  # Of a token: four projections, two matrices of the feed-forward layer, and in attention
  # products with as many keys and values as there are tokens. Of a prediction: head and output.
  forward = 2 * (4 * 6) * (4 * 9 + 2 * 15 + 2 * 6 * 3) + 4 * 2 * (9 + 21)
  found = pretraining_step.step_flops(pretraining_step.Case(4, 6), sizes, 2)
  assert found == 3 * 2 * forward


def test_every_pair_of_the_registry_is_compiled():
  """Those whose belief or explorer is missing would be forgotten without a word."""
  registered = [value for value in vars(bandits).values() if inspect.isfunction(value)]
  kinds = {Belief: compile_times.BELIEFS, Explorer: compile_times.EXPLORERS}
  for kind, known in kinds.items():
    made = {f.__name__ for f in registered if inspect.signature(f).return_annotation is kind}
    assert made
    assert made <= known.keys()
    assert all(isinstance(make(), kind) for make in known.values())
  study = compile_times.get_study()
  assert study.variants.keys() == compile_times.BELIEFS.keys()


@pytest.mark.soak
@pytest.mark.parametrize(
  ('arm_dim', 'shared'),
  [
    (1, True),
    (3, False),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in ((1, False), (3, True))),
  ],
)
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


def test_a_policy_is_paid_from_the_entry_of_its_round_and_arm():
  """UCB1 in a loop; arms whose rewards differ have no ties after the first round of each."""
  num_rounds = 40
  rewards = np.array([0.2, 0.7]) * np.linspace(0.5, 1, num_rounds)[:, None]
  number, total = np.ones(2), np.array([rewards[0, 0], rewards[1, 1]])
  for t in range(2, num_rounds):
    arm = np.argmax(total / number + np.sqrt(2 * np.log(t) / number))
    number[arm] += 1
    total[arm] += rewards[t, arm]
  case = quality.Case('', 'ucb1', {}, '', '')
  stream = quality.Stream(jnp.ones((num_rounds, 1)), jnp.asarray(rewards, jnp.float32))
  # Which arm comes first is drawn, and moves the sum by as little as rewards move in a round.
  assert abs(quality.play(case, stream, 0) - total.sum()) < 0.1


def test_a_side_without_a_policy_of_those_asked_for_says_so(tmp_path):
  config = quality.Quality(side=quality.VOWPAL, policies='ucb1')
  with pytest.raises(InputError, match='ucb1, of which vowpal.* has none.*lin_squarecb, lin_cover'):
    quality.measure(config, tmp_path)


@pytest.mark.soak
def test_the_floor_of_an_answer_is_one_read_of_the_vectors(monkeypatch):
  monkeypatch.setattr(recommend, 'bandwidth', lambda: 1e9)
  floors = recommend._floor('')
  assert floors['N=100,000, R=512, p99'] == pytest.approx(1e9 / (4 * 100_000 * 544))
  assert len(floors) == 2 * len(recommend.SIZES)
  [answer] = recommend.recommender(40, 3).recommend([['3', '5']], recommend.K)
  assert len({item.title for item in answer.items} - {'item 3', 'item 5'}) == recommend.K
