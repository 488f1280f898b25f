"""How often 95 % intervals cover a policy's value over synthetic logs.

A log has rounds over 100 contexts and 10 actions, with rewards 0 and 1. All probabilities are
known: the value is exact, and so is the range of what a round may add to an estimate, which some of
the intervals need. The reward model is wrong, but for the estimators that say otherwise. The
evaluated policy is near the one that logs or far from it, and rewards are common or rare.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.estimators import Rounds, Terms, dr, ipw, sndr, snipw
from rec_jax.evaluation.off_policy.finite_sample import RANGED, SEQUENCE
from rec_jax.evaluation.off_policy.likelihood import likelihood
from rec_jax.evaluation.off_policy.overlap import overlap_of
from rec_jax.evaluation.off_policy.registry import SELF_NORMALISED
from rec_jax.evaluation.off_policy.tuning import tuned
from rec_jax.runs.study import Values

NUM_CONTEXTS, NUM_ACTIONS = 100, 10
ESTIMATORS = {'ipw': ipw, 'snipw': snipw, 'dr': dr, 'sndr': sndr}
TUNED = ('ipw', 'dr', 'switch_dr', 'dr_os', 'sg_ipw', 'sg_dr')
RIGHT = ', right model'
EFFECT = 'effect by '
ASYMPTOTIC = ('t', 'bootstrap')
# By these the advice goes where nothing warns: values, and what they are more than what was logged.
ADVISED = tuple(f'{kind}{name}' for kind in ('', EFFECT) for name in ('snipw', 'dr', f'dr{RIGHT}'))
UNWARNED = 'logs without a warning'
# Likewise where the log holds the propensity of the logged action and no other.
ALONE = ', propensity alone'
# What else the command line shows of these values, at a search a log: of logs without a warning.
SHOWN = (
  *((name, 'likelihood') for name in ('snipw', 'dr', f'dr{RIGHT}')),
  *((name, 'adaptive') for name in ('dr', f'dr{RIGHT}')),
)
# Logs whose bootstrap shares its resamples; of all, a tenth has its settings chosen.
CHUNK_SIZE, TUNED_PART = 100, 10


@dataclasses.dataclass
class CoverageConfig:
  """One kind of log and evaluated policy.

  Attributes:
    seed: of the problem, the logs and the bootstrap.
    num_logs: how many are drawn.
    num_rounds: of each log.
    resamples: of the bootstrap.
    spread: how far the logits of both policies spread, apart from what they have in common: 0.5 is
      near, 1.5 far.
    level: of the logits of rewards; -1 gives rewards in some 30 % of the rounds, -4 in some 3 %.
  """

  seed: int = 0
  num_logs: int = 1_000
  num_rounds: int = 1_000
  resamples: int = 2_000
  spread: float = 0.5
  level: float = -1.0


class Problem(NamedTuple):
  """[contexts, K] each: who logs, who is evaluated, what is earned, what a model expects."""

  behaviour: jax.Array
  target: jax.Array
  mean: jax.Array
  model: jax.Array


def measure(config: CoverageConfig, workdir: Path) -> Mapping[str, Values]:
  """For each log, whether each interval covers, how wide it is, and whether nothing warns.

  Tuned estimators are measured on the first tenth of the logs, for each asks for a search. The
  pairs that the advice goes by are measured on the logs without a warning as well; and on all, how
  often one of them is shown without a warning and misses. The pairs of `SHOWN` are measured on the
  logs without a warning alone.
  """
  del workdir
  problem_key, log_key, bootstrap_key = jax.random.split(jax.random.key(config.seed), 3)
  found: dict[tuple[str, str], list[Estimate]] = {}
  shown: dict[tuple[str, str], list[Estimate]] = {pair: [] for pair in SHOWN}
  unwarned: dict[str, list[bool]] = {'': [], ALONE: []}
  with jax.enable_x64():
    problem = make_problem(problem_key, config.spread, config.level)
    value, logged = (
      float((policy * problem.mean).sum(1).mean()) for policy in (problem.target, problem.behaviour)
    )
    keys = jax.random.split(log_key, config.num_logs)
    for start in range(0, config.num_logs, CHUNK_SIZE):
      wrong, right = _drawn(keys[start : start + CHUNK_SIZE], problem, config.num_rounds)
      logs, rights = _apart(wrong), _apart(right)
      for log in logs:
        alone = dataclasses.replace(log, second_moment=None, fourth_moment=None)
        unwarned[''].append(overlap_of(log).warning == '')
        unwarned[ALONE].append(overlap_of(alone).warning == '')
      quiet = unwarned[''][start:]
      for pair in SHOWN:
        shown[pair] += searched(
          *pair, itertools.compress(logs, quiet), itertools.compress(rights, quiet)
        )
      table = terms_of(wrong, right)
      if start == 0:
        table |= tuned_terms(logs[: max(1, config.num_logs // TUNED_PART)])
      chunk = asymptotic(jax.random.fold_in(bootstrap_key, start), table, config.resamples)
      for pair, estimates in (chunk | finite_sample(logs, every_cell(problem))).items():
        found.setdefault(pair, []).extend(estimates)
  return _measured(found, unwarned, value, logged) | _measured_where_quiet(
    shown, unwarned[''], value
  )


def covered(estimator: str, interval: str, advised: bool = False, known: str = '') -> str:
  """The metric that is the share of logs, of all or of those without a warning, that it covers."""
  return f'{estimator}, {interval}: covers{f" where nothing warns{known}" if advised else ""}'


def misled(estimator: str, interval: str, known: str = '') -> str:
  """The metric that is the share of all logs that do not warn and whose interval misses."""
  return f'{estimator}, {interval}: misses without a warning{known}'


def covers(estimates: list[Estimate], value: float) -> list[bool]:
  """Whether each interval holds the value."""
  return [estimate.low <= value <= estimate.high for estimate in estimates]


def make_problem(key: jax.Array, spread: float, level: float) -> Problem:
  """Softmax policies of which the evaluated one prefers what pays, and a model that is wrong."""
  behaviour, target, mean, model = jax.random.normal(key, (4, NUM_CONTEXTS, NUM_ACTIONS))
  return Problem(
    behaviour=jax.nn.softmax(spread * behaviour),
    target=jax.nn.softmax(spread * (target + mean)),
    mean=jax.nn.sigmoid(mean + level),
    model=jax.nn.sigmoid(mean + model + level + 0.5),
  )


def draw(key: jax.Array, problem: Problem, num_rounds: int) -> tuple[Rounds, Rounds]:
  """The rounds of one log, [n], with the wrong model and with the right one."""
  context_key, action_key, reward_key = jax.random.split(key, 3)
  context = jax.random.randint(context_key, (num_rounds,), 0, NUM_CONTEXTS)
  action = jax.random.categorical(action_key, jnp.log(problem.behaviour[context]))
  reward = jax.random.bernoulli(reward_key, problem.mean[context, action]).astype(float)
  right = problem._replace(model=problem.mean)
  wrong_rounds, right_rounds = (_rounds(each, context, action, reward) for each in (problem, right))
  return wrong_rounds, right_rounds


def every_cell(problem: Problem) -> Rounds:
  """One round for every context, action and reward."""
  axes = jnp.meshgrid(*map(jnp.arange, (NUM_CONTEXTS, NUM_ACTIONS, 2)), indexing='ij')
  context, action, reward = (axis.ravel() for axis in axes)
  return _rounds(problem, context, action, reward.astype(float))


def terms_of(wrong: Rounds, right: Rounds) -> dict[str, Terms]:
  """[logs, n] terms of every estimate of a value or an effect."""
  table = {name: estimator(wrong) for name, estimator in ESTIMATORS.items()}
  table |= {f'dr{RIGHT}': dr(right)}
  # Paired: round by round, what the estimate adds more than what was earned.
  return table | {
    f'{EFFECT}{name}': dataclasses.replace(table[name], direct=table[name].direct - wrong.reward)
    for name in ('snipw', 'dr', f'dr{RIGHT}')
  }


def tuned_terms(logs: list[Rounds]) -> dict[str, Terms]:
  """Likewise of those whose setting is chosen anew in each log."""
  found: dict[str, list[Terms]] = {}
  for log in logs:
    for label, estimator in tuned(log, True, TUNED).items():
      name, _, lambda_ = label.partition(', lambda')
      if lambda_:
        found.setdefault(f'{name}, tuned', []).append(estimator(log))
  return {
    name: jax.tree.map(lambda *leaves: np.stack(leaves), *each) for name, each in found.items()
  }


def asymptotic(
  key: jax.Array, table: Mapping[str, Terms], resamples: int
) -> dict[tuple[str, str], list[Estimate]]:
  """(estimator, interval) -> an estimate a log, from [logs, n] terms."""
  apart = {name: _apart(terms) for name, terms in table.items()}
  flat = {f'{i} {name}': log for name, logs in apart.items() for i, log in enumerate(logs)}
  resampled = intervals.bootstrap(key, flat, resamples=resamples)
  found: dict[tuple[str, str], list[Estimate]] = {}
  for name, logs in apart.items():
    found[name, 't'] = [intervals.student(log) for log in logs]
    found[name, 'bootstrap'] = [resampled[f'{i} {name}'] for i in range(len(logs))]
  return found


def finite_sample(logs: list[Rounds], cells: Rounds) -> dict[tuple[str, str], list[Estimate]]:
  """Likewise; the cells give the range."""
  found = {}
  for name in [name for name in ESTIMATORS if name not in SELF_NORMALISED]:
    possible = ESTIMATORS[name](cells)
    ends = np.asarray(possible.direct + possible.correction)
    values = [ESTIMATORS[name](log) for log in logs]
    for interval, estimate in RANGED.items():
      found[name, interval] = [
        estimate(terms.direct + terms.correction, float(ends.min()), float(ends.max()))
        for terms in values
      ]
  found['ipw', SEQUENCE] = [intervals.sequence(log.weight, log.reward, 0, 1) for log in logs]
  return found


def searched(
  name: str, interval: str, wrong: Iterable[Rounds], right: Iterable[Rounds]
) -> list[Estimate]:
  """An estimate a log of a pair of `SHOWN`, from rounds with the wrong and the right model."""
  estimator = ESTIMATORS[name.removesuffix(RIGHT)]
  kinds: dict[str, Callable[..., Estimate]] = {'likelihood': likelihood, 'adaptive': adaptive}
  find = kinds[interval]
  return [find(log, estimator) for log in (right if name.endswith(RIGHT) else wrong)]


_drawn = jax.jit(jax.vmap(draw, in_axes=(0, None, None)), static_argnums=2)


def _apart(stacked: Any) -> list[Any]:
  """Rounds or terms [logs, n] as one [n] a log, on the host."""
  host = jax.tree.map(np.asarray, stacked)
  number = len(jax.tree.leaves(host)[0])
  return [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(number)]


def _measured(
  found: Mapping[tuple[str, str], list[Estimate]],
  unwarned: Mapping[str, list[bool]],
  value: float,
  logged: float,
) -> dict[str, Values]:
  logs = np.arange(len(unwarned['']))
  quiet = {known: np.asarray(flags) for known, flags in unwarned.items()}
  measured = {f'{UNWARNED}{known}': Values(flags, logs) for known, flags in quiet.items()}
  for (name, interval), estimates in found.items():
    truth = value - logged if name.startswith(EFFECT) else value
    holds = np.asarray(covers(estimates, truth))
    measured[covered(name, interval)] = Values(holds, logs[: len(holds)])
    width = [estimate.high - estimate.low for estimate in estimates]
    measured[f'{name}, {interval}: width'] = Values(width, logs[: len(holds)])
    if name in ADVISED and interval in ASYMPTOTIC:
      for known, flags in quiet.items():
        measured[misled(name, interval, known)] = Values(flags & ~holds, logs)
        if flags.any():
          measured[covered(name, interval, True, known)] = Values(holds[flags], logs[flags])
  return measured


def _measured_where_quiet(
  shown: Mapping[tuple[str, str], list[Estimate]], unwarned: list[bool], value: float
) -> dict[str, Values]:
  logs, quiet = np.arange(len(unwarned)), np.asarray(unwarned)
  measured = {}
  for pair, estimates in shown.items():
    missed = np.zeros(len(logs), bool)
    missed[quiet] = ~np.asarray(covers(estimates, value), bool)
    measured[misled(*pair)] = Values(missed, logs)
    if quiet.any():
      measured[covered(*pair, advised=True)] = Values(~missed[quiet], logs[quiet])
  return measured


def _rounds(problem: Problem, context: jax.Array, action: jax.Array, reward: jax.Array) -> Rounds:
  target = problem.target[context, action]
  return Rounds(
    reward=reward,
    weight=target / problem.behaviour[context, action],
    target=target,
    q_logged=problem.model[context, action],
    q_target=(problem.target * problem.model).sum(1)[context],
    second_moment=(problem.target**2 / problem.behaviour).sum(1)[context],
    fourth_moment=(problem.target**4 / problem.behaviour**3).sum(1)[context],
  )
