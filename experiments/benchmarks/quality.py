"""What policies earn beside those of their peers: the same contexts and the same table of rewards.

Both sides see the rows of a table in the same order and are paid from the same entry [t, arm].
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from experiments.benchmarks import OURS, Repeat, ask_peer
from rec_jax import bandits
from rec_jax.data.classification import read_classification
from rec_jax.data.sources import classification_file
from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.environments.classification import classification_data
from rec_jax.environments.rollout import rollout
from rec_jax.runs.study import Study, Values
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

NUM_SEEDS, NUM_ROWS, REFRESH_EVERY = 10, 1_000, 50
NUM_COINS, NUM_FLIPS = 10, 2_000
MABWISER, CONTEXTUAL, VOWPAL = (
  'mabwiser 2.7.4',
  'contextualbandits 0.3.30',
  'vowpalwabbit 9.11.9',
)
# Of minus the rewards, by which RegCB bounds what an arm may cost.
COSTS = '--cb_min_cost -1 --cb_max_cost 0'


class Case(NamedTuple):
  """One comparison.

  Attributes:
    stream: digits or coins.
    policy: of the registry.
    settings: its hyperparameters, where they are not the defaults.
    peer: who else plays.
    method: its name in `peers/quality.py`.
  """

  stream: str
  policy: str
  settings: Mapping[str, Any]
  peer: str
  method: str


CASES = (
  Case('digits', 'bootstrapped_logistic_ts', {}, CONTEXTUAL, 'BootstrappedTS'),
  Case('digits', 'bootstrapped_logistic_ucb', {}, CONTEXTUAL, 'BootstrappedUCB'),
  Case('digits', 'disjoint_lin_ts', {}, CONTEXTUAL, 'LinTS'),
  Case('digits', 'disjoint_lin_ucb', {}, CONTEXTUAL, 'LinUCB'),
  Case('digits', 'nearest_ts', {}, MABWISER, 'KNearest'),
  Case('digits', 'within_ts', {'radius': 7.0}, MABWISER, 'Radius'),
  Case('digits', 'clusters_ts', {}, MABWISER, 'Clusters'),
  Case('digits', 'tree_ts', {}, MABWISER, 'TreeBandit'),
  Case('digits', 'lin_squarecb', {}, VOWPAL, '--squarecb'),
  Case('digits', 'lin_cover', {'estimator': 'ips'}, VOWPAL, '--cover 4 --cb_type ips'),
  Case('digits', 'lin_cover', {'estimator': 'dr'}, VOWPAL, '--cover 4 --cb_type dr'),
  Case('digits', 'lin_cover', {'estimator': 'mtr'}, VOWPAL, '--cover 4 --cb_type mtr'),
  Case('digits', 'lin_elimination', {}, VOWPAL, f'--regcb {COSTS}'),
  Case('digits', 'lin_ucb', {}, VOWPAL, f'--regcbopt {COSTS}'),
  Case('coins', 'ucb1', {}, MABWISER, 'UCB1'),
  Case('coins', 'bernoulli_ts', {}, MABWISER, 'ThompsonSampling'),
)


@struct.dataclass
class Stream:
  """What is seen and paid.

  Attributes:
    queries: [T, D].
    rewards: [T, K] of every arm.
  """

  queries: jax.Array
  rewards: jax.Array


@dataclasses.dataclass
class Quality(Repeat):
  """One side under one seed of the streams.

  Attributes:
    policies: names of the registry, comma-separated, of which every peer has at least one.
  """

  policies: str = ','.join(dict.fromkeys(case.policy for case in CASES))


def get_study() -> Study:
  """Total rewards, paired by the seed of the stream."""
  peers = dict.fromkeys(case.peer for case in CASES)
  return Study(
    title='What policies earn beside those of their peers',
    protocol=(
      f'total reward; digits: {NUM_ROWS:,} rows drawn by each of {{num_seeds}} seeds, reward 1 for '
      f'the right one of 10 classes; coins: {NUM_COINS} of chances drawn evenly from [0, 1] by '
      f'each seed, {NUM_FLIPS:,} rounds; beliefs are refreshed, peers that fit anew fitted, '
      f'every {REFRESH_EVERY} rounds; the unit is the seed'
    ),
    config=Quality(),
    variants={OURS: {}} | {name: {'side': name} for name in peers},
    baseline=OURS,
    seeds=range(NUM_SEEDS),
    measure=measure,
  )


def measure(config: Quality, workdir: pathlib.Path) -> dict[str, Values]:
  """The total reward of one side in each of its cases."""
  found = {}
  for case in CASES:
    if case.policy not in config.policies.split(',') or config.side not in (OURS, case.peer):
      continue
    stream = _stream(case.stream, config.seed)
    if config.side == OURS:
      total = play(case, stream, config.seed)
    else:
      path = workdir / f'{case.stream}-{config.seed}.npz'
      np.savez(path, queries=np.asarray(stream.queries), rewards=np.asarray(stream.rewards))
      sizes = {'seed': config.seed, 'refit_every': REFRESH_EVERY, **case.settings}
      total = ask_peer(
        config.peers, 'quality.py', method=case.method, stream=str(path.resolve()), **sizes
      )
    label = ', '.join([case.policy, *map(str, case.settings.values()), case.stream])
    found[label] = Values([total], [config.seed])
  if not found:
    own = dict.fromkeys(case.policy for case in CASES if config.side in (OURS, case.peer))
    raise InputError(
      f'policies is {config.policies}, of which {config.side} has none; have '
      f'--config.policies name one at least of {", ".join(own)}'
    )
  return found


def play(case: Case, stream: Stream, seed: int) -> float:
  """The total reward of the policy of rec_jax."""
  num_rounds, num_arms = stream.rewards.shape
  dim = stream.queries.shape[1]
  played = rollout(
    jax.random.split(jax.random.key(seed), 1),
    bandits.make(case.policy, **case.settings),
    _environment(num_arms),
    stream,
    ArmSpec(num_arms, num_arms, dim, num_arms * dim),
    num_rounds,
    refresh_every=REFRESH_EVERY,
  )
  return float(np.sum(played.metrics.reward))


@functools.cache
def _digits() -> Stream:
  table = read_classification(classification_file('digits'))
  data = classification_data(table.attributes, table.labels)
  return Stream(data.queries, jnp.eye(len(table.classes))[data.labels])


@functools.cache
def _stream(name: str, seed: int) -> Stream:
  rng = np.random.default_rng(seed)
  if name == 'digits':
    order = rng.permutation(len(_digits().rewards))[:NUM_ROWS]
    return jax.tree.map(lambda column: column[order], _digits())
  paid = rng.uniform(size=(NUM_FLIPS, NUM_COINS)) < rng.uniform(size=NUM_COINS)
  return Stream(jnp.ones((NUM_FLIPS, 1)), jnp.asarray(paid, jnp.float32))


@functools.cache
def _environment(num_arms: int) -> Environment:
  """One row a round, in order; the features of an arm are the query in a block of its own."""

  def observe(key: jax.Array, data: Stream, state: tuple[()], t: jax.Array) -> Context:
    del key, state
    query = data.queries[t]
    return one_user(query, jnp.kron(jnp.eye(num_arms), query))

  def step(
    key: jax.Array,
    data: Stream,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    del key
    expected = data.rewards[t][None]
    reward = jnp.take_along_axis(expected, decision.index, axis=1)
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: (), observe, step)
