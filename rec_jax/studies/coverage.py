"""How often 95 % intervals cover a policy's value over 1,000 synthetic logs.

A log has 1,000 rounds over 100 contexts and 10 actions, with rewards 0 and 1. All probabilities are
known: the value is exact, and so is the range of what a round may add to an estimate, which three
of the intervals need. The reward model is wrong. Two evaluated policies, near the one that logs and
far from it: shares have bounds for the near one, and most logs of the far one have to warn.
"""

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
from rec_jax.report import terminal
from rec_jax.report.numbers import Cell

SEED = 0
NUM_LOGS, NUM_ROUNDS, NUM_CONTEXTS, NUM_ACTIONS = 1_000, 1_000, 100, 10
ESTIMATORS = {'ipw': ipw, 'snipw': snipw, 'dr': dr, 'sndr': sndr}
RANGED = {
  'hoeffding': intervals.hoeffding,
  'bernstein': intervals.empirical_bernstein,
  'betting': intervals.betting,
}
# Least and largest share of logs; 1,000 of them leave a standard error of 0.7 %.
ASYMPTOTIC_BOUNDS, FINITE_SAMPLE_BOUNDS = (0.93, 0.97), (0.95, 1.0)
LEAST_WARNED = 0.9
# How far the logits of both policies spread, apart from what they have in common.
NEAR, FAR = 0.5, 1.5
# Logs whose bootstrap shares its resamples.
CHUNK_SIZE = 100


class Problem(NamedTuple):
  """[contexts, K] each: who logs, who is evaluated, what is earned, what a model expects."""

  behaviour: jax.Array
  target: jax.Array
  mean: jax.Array
  model: jax.Array


def run() -> bool:
  """Prints shares of logs and mean widths; whether all shares are within their bounds."""
  fits = True
  for name, spread in (('near', NEAR), ('far', FAR)):
    problem_key, log_key, bootstrap_key = jax.random.split(jax.random.key(SEED), 3)
    with jax.enable_x64():
      problem = make_problem(problem_key, spread)
      keys = jax.random.split(log_key, NUM_LOGS)
      rounds = jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys, problem)
      cells = every_cell(problem)
      value = float((problem.target * problem.mean).sum(1).mean())
      largest = float(cells.weight.max())
      found = asymptotic(bootstrap_key, rounds) | finite_sample(rounds, cells)
      warned = float(np.mean([overlap_of(log).warning != '' for log in np.asarray(rounds.weight)]))
    print(
      f'The {name} policy: value {value:.4f}, importance weights up to '
      f'{largest:.0f}, {warned:.1%} of the logs warn.'
    )
    rows, within = summary(found, value, bounded=name == 'near')
    columns = ['estimator', 'interval', 'covered', 'bounds', 'mean width']
    print(f'\n{terminal.table(columns, rows)}\n')
    fits &= within and (name == 'near' or warned >= LEAST_WARNED)
  if not fits:
    print('A share is out of its bounds, or too few logs of the far policy warn.')
  return fits


def summary(
  found: dict[tuple[str, str], list[Estimate]], value: float, bounded: bool
) -> tuple[list[list[Cell]], bool]:
  """Rows of the table, and whether all shares are within their bounds."""
  rows: list[list[Cell]] = []
  within = True
  for (name, interval), estimates in found.items():
    covered = float(np.mean([estimate.low <= value <= estimate.high for estimate in estimates]))
    width = float(np.mean([estimate.high - estimate.low for estimate in estimates]))
    bounds = ''
    if bounded:
      least, most = FINITE_SAMPLE_BOUNDS if interval in RANGED else ASYMPTOTIC_BOUNDS
      within &= least <= covered <= most
      bounds = f'{least:.0%} to {most:.0%}'
    rows.append([name, interval, f'{covered:.1%}', bounds, f'{width:.3f}'])
  return rows, within


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
    logs = [jax.tree.map(lambda leaf, i=i: leaf[i], terms) for i in range(NUM_LOGS)]
    found[name, 't'] = [intervals.student(log) for log in logs]
    bootstrapped = found[name, 'bootstrap'] = []
    for start in range(0, NUM_LOGS, CHUNK_SIZE):
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
