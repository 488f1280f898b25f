"""What a model expects of the candidates in the rounds of a log that judge a policy.

Shape letters: n rounds, K actions, A action features.
"""

import jax
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, scaled
from rec_jax.evaluation.off_policy.reward_models import (
  CrossFitted,
  blocks,
  cross_fitted,
  expected_of,
  folds,
  logistic,
  ridge,
)
from rec_jax.studies.logged.log_checks import NUM_FOLDS
from rec_jax.studies.logged.tables import Table


def expected_rewards(
  log: LoggedFeedback,
  num_train: int,
  seed: int,
  item_features: np.ndarray | None = None,
  weight: np.ndarray | None = None,
  *,
  forward: bool = False,
) -> Table | None:
  """What a reward model expects in the rounds after the first, by cross-fitting on them.

  Args:
    log: of n rounds.
    num_train: how many rounds come before.
    seed: of the folds.
    item_features: [K, A] what the model reads of an action; the action context if not given.
    weight: [n - num_train] of the rows in the fits, such as `robust_weight`; 1 if not given.
    forward: whether models are of earlier rounds alone, which the interval 'adaptive' asks for.

  Returns:
    A table of these rounds; None where there is neither a context nor anything known of actions.
  """
  fitted = reward_models_of(log, num_train, seed, item_features, weight, forward)
  if fitted is None:
    return None

  def table(rows: np.ndarray) -> np.ndarray:
    with jax.enable_x64():
      return expected_of(fitted, rows)

  return table


def reward_models_of(
  log: LoggedFeedback,
  num_train: int,
  seed: int,
  item_features: np.ndarray | None = None,
  weight: np.ndarray | None = None,
  forward: bool = False,
) -> CrossFitted | None:
  """The models of `expected_rewards`, of whose fits `weight` [n - num_train] may weigh the rows."""
  rest = slice(num_train, len(log.action))
  if item_features is None:
    item_features = log.action_context
  if log.context is None and item_features is None:
    return None
  reward, num_rounds = log.reward[rest], len(log.reward[rest])
  is_probability = ((reward >= 0) & (reward <= 1)).all()
  context = np.zeros((num_rounds, 0)) if log.context is None else scaled(log.context)[rest]
  # Without anything known of actions each has an intercept, by its number.
  num_actions = len(log.item_ids) if item_features is None else 0
  actions = np.arange(num_actions)[:, None] if item_features is None else scaled(item_features)
  with jax.enable_x64():
    return cross_fitted(
      jax.random.key(seed),
      (logistic if is_probability else ridge)(num_actions=num_actions),
      context=context,
      action_context=actions,
      action=log.action[rest],
      reward=reward,
      fold=blocks(num_rounds) if forward else folds(seed, num_rounds, NUM_FOLDS),
      forward=forward,
      position=log.position[rest],
      num_positions=int(log.position.max()) + 1,
      candidates=None if log.candidates is None else log.candidates[rest],
      weight=weight,
    )
