"""Propensities that a log does not hold: estimated from what it took, or balanced for a policy."""

import dataclasses
from pathlib import Path

import numpy as np

from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback, scaled
from rec_jax.evaluation.off_policy import propensity_models
from rec_jax.evaluation.off_policy.choices import Choices, Misfit
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.studies.logged import log_checks
from rec_jax.studies.logged.log_checks import NUM_FOLDS
from rec_jax.types import InputError

LOGGED, ESTIMATED, BALANCED = 'logged', 'estimated', 'balanced'
SOURCES = (LOGGED, ESTIMATED, BALANCED)
MISFIT = 'the propensities fit badly'


def load(path: str | Path, source: str, seed: int) -> tuple[LoggedFeedback, str]:
  """A log with its propensities, or with estimated ones in their place.

  Args:
    path: of the log.
    source: one of SOURCES; for `BALANCED` estimates stand in until there is a policy.
    seed: of the folds.

  Returns:
    The log, of ranked lists as well where its propensities are logged, and a line that says what
    speaks against its propensities, empty if nothing does.

  Raises:
    InputError: bad input, one line that names the row.
  """
  if source == LOGGED:
    return logged.read(path, ranked=True), ''
  log = logged.read(path, ranked=True, with_propensity=False)
  log = log_checks.single(log, f'--propensities: {source} ones are not for those')
  log_checks.check_candidates(log)
  log_checks.check_parts(len(log.action), len(log.action))
  fold = folds(seed, len(log.action), NUM_FOLDS)
  propensity, misfit = propensity_models.estimated(_choices(log), fold)
  doubt = '' if source == BALANCED or misfit is None else _line(log, misfit)
  return dataclasses.replace(log, propensity=propensity), doubt


def balanced(log: LoggedFeedback, policy: np.ndarray, seed: int) -> np.ndarray:
  """[n] propensities that balance a log for a policy.

  Args:
    log: of n rounds.
    policy: [n, C, L] its probabilities over the candidates of each round.
    seed: of the folds.
  """
  shown = np.take_along_axis(policy, log.position[:, None, None], axis=2)[:, :, 0]
  fold = folds(seed, len(log.action), NUM_FOLDS)
  return propensity_models.balanced(_choices(log), fold, shown)


def always(log: LoggedFeedback, item: int) -> np.ndarray:
  """[n, C, L] the policy that always shows one item, which all rounds offer."""
  offered = np.arange(len(log.item_ids))[None] if log.candidates is None else log.candidates
  shape = (len(log.action), offered.shape[1], int(log.position.max()) + 1)
  return np.broadcast_to((offered == item)[:, :, None], shape)


def check_balanced(source: str) -> None:
  """Raises if propensities have to be balanced by the probability of the logged action alone."""
  if source == BALANCED:
    raise InputError(
      '--propensities: balanced asks what the policy would do with every candidate, and here is '
      'the probability of the logged one alone; give a list a round, or take estimated'
    )


def description(source: str, log: LoggedFeedback) -> str:
  """Which propensities these are, as a phrase; empty for those of the log itself."""
  if source == LOGGED:
    return ''
  read = [] if log.context is None else [f'{log.context.shape[1]} columns of context']
  read += ['position'] if log.position.any() else []
  read += [] if log.candidates is None else ['candidates']
  how = {
    ESTIMATED: 'multinomial models',
    BALANCED: 'classifiers of the actions of the policy and of the log',
  }[source]
  given = f'given {" and ".join(read)}' if read else 'of the item alone, without any context'
  return f'propensities {source} by cross-fitted {how}, {given}'


def _choices(log: LoggedFeedback) -> Choices:
  context = np.zeros((len(log.action), 0)) if log.context is None else scaled(log.context)
  places = np.arange(1, int(log.position.max()) + 1)
  at_place = log.position[:, None] == places
  return Choices(np.c_[context, at_place], log.action, len(log.item_ids), log.candidates)


def _line(log: LoggedFeedback, misfit: Misfit) -> str:
  if misfit.action is None:
    chosen = f'items of probability {misfit.probability / 2:.2g} to {misfit.probability:.2g} were'
    where = ''
  else:
    num_columns = 0 if log.context is None else log.context.shape[1]
    column = misfit.column or 0
    name = f'context column {column}' if column < num_columns else 'position'
    chosen = f'item {log.item_ids[misfit.action]} was'
    where = f', where {name} is far from its median'
  return (
    f'{MISFIT}: {chosen} logged in {misfit.logged:,.0f} rounds and expected in '
    f'{misfit.expected:,.0f}{where}: give the context what the policy that logged saw, such as its '
    'scores or squares of columns'
  )
