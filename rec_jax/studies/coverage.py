"""How often 95 % intervals cover a policy's value over synthetic logs.

A log has 1,000 rounds over 100 contexts and 10 actions, with rewards 0 and 1. All probabilities are
known: the value is exact, and so is the range of what a round may add to an estimate, which three
of the intervals need. The reward model is wrong. The evaluated policy is near the one that logs or
far from it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.estimators import (
  SELF_NORMALISED,
  Rounds,
  dr,
  ipw,
  sndr,
  snipw,
)
from rec_jax.evaluation.off_policy.evaluate import overlap_of
from rec_jax.runs.study import Values

NUM_ROUNDS, NUM_CONTEXTS, NUM_ACTIONS = 1_000, 100, 10
ESTIMATORS = {'ipw': ipw, 'snipw': snipw, 'dr': dr, 'sndr': sndr}
ASYMPTOTIC = ('t', 'bootstrap')
RANGED = {
  'hoeffding': intervals.hoeffding,
  'bernstein': intervals.empirical_bernstein,
  'betting': intervals.betting,
}
WARNED = 'warns of poor overlap'
# Logs whose bootstrap shares its resamples.
CHUNK_SIZE = 100


@dataclasses.dataclass
class CoverageConfig:
  """One kind of evaluated policy.

  Attributes:
    seed: of the problem, the logs and the bootstrap.
    num_logs: how many are drawn.
    spread: how far the logits of both policies spread, apart from what they have in common: 0.5 is
      near, 1.5 far.
  """

  seed: int = 0
  num_logs: int = 1_000
  spread: float = 0.5


class Problem(NamedTuple):
  """[contexts, K] each: who logs, who is evaluated, what is earned, what a model expects."""

  behaviour: jax.Array
  target: jax.Array
  mean: jax.Array
  model: jax.Array


def measure(config: CoverageConfig, workdir: Path) -> Mapping[str, Values]:
  """For each log, whether each interval covers, how wide it is, and whether a warning is given."""
  del workdir
  problem_key, log_key, bootstrap_key = jax.random.split(jax.random.key(config.seed), 3)
  with jax.enable_x64():
    problem = make_problem(problem_key, config.spread)
    keys = jax.random.split(log_key, config.num_logs)
    rounds = jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys, problem)
    value = float((problem.target * problem.mean).sum(1).mean())
    found = asymptotic(bootstrap_key, rounds) | finite_sample(rounds, every_cell(problem))
    warned = [overlap_of(log).warning != '' for log in np.asarray(rounds.weight)]
  logs = np.arange(config.num_logs)
  measured = {WARNED: Values(warned, logs)}
  for (name, interval), estimates in found.items():
    measured[covered(name, interval)] = Values(covers(estimates, value), logs)
    width = [estimate.high - estimate.low for estimate in estimates]
    measured[f'{name}, {interval}: width'] = Values(width, logs)
  return measured


def covered(estimator: str, interval: str) -> str:
  """The metric that is the share of logs whose interval holds the value."""
  return f'{estimator}, {interval}: covers'


def covers(estimates: list[Estimate], value: float) -> list[bool]:
  """Whether each interval holds the value."""
  return [estimate.low <= value <= estimate.high for estimate in estimates]


def make_problem(key: jax.Array, spread: float) -> Problem:
  """Softmax policies of which the evaluated one prefers what pays, and a model that is wrong."""
  behaviour, target, mean, model = jax.random.normal(key, (4, NUM_CONTEXTS, NUM_ACTIONS))
  return Problem(
    behaviour=jax.nn.softmax(spread * behaviour),
    target=jax.nn.softmax(spread * (target + mean)),
    mean=jax.nn.sigmoid(mean - 1),
    model=jax.nn.sigmoid(mean + model - 0.5),
  )


def draw(key: jax.Array, problem: Problem) -> Rounds:
  """The rounds of one log, [n]."""
  context_key, action_key, reward_key = jax.random.split(key, 3)
  context = jax.random.randint(context_key, (NUM_ROUNDS,), 0, NUM_CONTEXTS)
  action = jax.random.categorical(action_key, jnp.log(problem.behaviour[context]))
  reward = jax.random.bernoulli(reward_key, problem.mean[context, action])
  return _rounds(problem, context, action, reward.astype(float))


def every_cell(problem: Problem) -> Rounds:
  """One round for every context, action and reward."""
  axes = jnp.meshgrid(*map(jnp.arange, (NUM_CONTEXTS, NUM_ACTIONS, 2)), indexing='ij')
  context, action, reward = (axis.ravel() for axis in axes)
  return _rounds(problem, context, action, reward.astype(float))


def asymptotic(key: jax.Array, rounds: Rounds) -> dict[tuple[str, str], list[Estimate]]:
  """(estimator, interval) -> an estimate a log, from [logs, n] rounds."""
  found: dict[tuple[str, str], list[Estimate]] = {}
  for index, (name, estimator) in enumerate(ESTIMATORS.items()):
    terms = jax.tree.map(np.asarray, estimator(rounds))
    logs = [jax.tree.map(lambda leaf, i=i: leaf[i], terms) for i in range(len(rounds.reward))]
    found[name, 't'] = [intervals.student(log) for log in logs]
    bootstrapped = found[name, 'bootstrap'] = []
    for start in range(0, len(logs), CHUNK_SIZE):
      table = {str(i): log for i, log in enumerate(logs[start : start + CHUNK_SIZE])}
      chunk_key = jax.random.fold_in(jax.random.fold_in(key, index), start)
      bootstrapped += intervals.bootstrap(chunk_key, table).values()
  return found


def finite_sample(rounds: Rounds, cells: Rounds) -> dict[tuple[str, str], list[Estimate]]:
  """Likewise; the cells give the range."""
  found = {}
  for name in [name for name in ESTIMATORS if name not in SELF_NORMALISED]:
    values, possible = (
      np.asarray(terms.direct + terms.correction)
      for terms in map(ESTIMATORS[name], (rounds, cells))
    )
    low, high = float(possible.min()), float(possible.max())
    for interval, estimate in RANGED.items():
      found[name, interval] = [estimate(log, low, high) for log in values]
  return found


def _rounds(problem: Problem, context: jax.Array, action: jax.Array, reward: jax.Array) -> Rounds:
  target = problem.target[context, action]
  return Rounds(
    reward=reward,
    weight=target / problem.behaviour[context, action],
    target=target,
    q_logged=problem.model[context, action],
    q_target=(problem.target * problem.model).sum(1)[context],
  )
