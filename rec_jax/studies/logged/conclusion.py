"""What the numbers of an evaluation allow to conclude, in words."""

import math

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import sensitivity
from rec_jax.report import numbers
from rec_jax.studies.logged import evaluation, propensities
from rec_jax.studies.logged.evaluation import Evaluation
from rec_jax.studies.logged.log_checks import LOGGED


def effect_line(found: sensitivity.Effect) -> str:
  """What a policy earns more than another, and what hidden confounding could undo."""
  if found.gamma_of_interval == 1:
    reading = 'no conclusion, which hidden confounding could undo'
  elif found.gamma_of_interval == math.inf:
    reading = 'hidden confounding of no gamma up to 10,000 undoes its sign'
  else:
    known = found.gamma < math.inf
    reading = (
      f'its sign holds under hidden confounding of gamma below {found.gamma_of_interval:.3g}, that '
      f'of the estimate alone {f"below {found.gamma:.3g}" if known else "under any up to 10,000"}'
    )
  return f'{numbers.plain(found, sign=True)}; {reading}'


def advice(
  name: str, result: Evaluation, effect: Estimate, gap: Estimate | None, near: str = ''
) -> str:
  """One line: what the numbers allow to conclude.

  Args:
    name: of the policy.
    result: its values.
    effect: what it earns more than the policy that logged, paired: see `effects.effect`.
    gap: from `evaluation.model_gap`.
    near: from `effects.doubt`.
  """
  values = result.values
  if name == LOGGED:
    return 'all weights are 1 and ipw is the mean reward, as it must be: give another policy next'
  estimator = next((each for each in evaluation.ADVISED if each in values), None)
  if estimator is None:
    return f'none without {evaluation.ADVISED[-1]}: add it to --estimators'
  best = values[estimator]
  if best.warning:
    badly = propensities.MISFIT in best.warning
    remedy = 'mend the propensities' if badly else 'log with more exploration near this policy'
    return (
      'do not decide by these numbers, of which none has an interval that holds as it says: '
      f'{remedy} first'
    )
  if near:
    return f'none, by the effect: {near}'
  model = ''
  if gap is not None and (gap.low > 0 or gap.high < 0):
    model = ' The reward model disagrees (dm): do not use it alone.'
  if effect.low > 0:
    reading = 'is better than the one that logged.'
  elif effect.high < 0:
    reading = 'is worse than the one that logged.'
  elif effect.low == effect.high == 0:
    reading = 'does what the one that logged did, in every round.'
  else:
    reading = 'cannot be told from the one that logged: log more rounds.'
  if best.interval == evaluation.ADAPTIVE:
    by = f'{"dr" if estimator == "dr" else "ipw"}, weighted for a policy that learnt meanwhile'
  else:
    by = f'{estimator}, round by round'
  return f'by {by}, the policy {reading}{model}'
