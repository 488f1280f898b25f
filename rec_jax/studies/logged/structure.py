"""Weights by what a log knows of its actions: embeddings, and how similar actions are.

Shape letters: n rounds, K actions, C candidates of a round, L positions, A action features, E
dimensions of an embedding.
"""

import dataclasses
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, offered_policy, scaled
from rec_jax.evaluation.off_policy import convolution, embeddings
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.registry import STRUCTURED
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.evaluation.off_policy.tuning import lepski
from rec_jax.evaluation.off_policy.two_policies import TwoPolicies
from rec_jax.studies.logged.log_checks import NUM_FOLDS

_POLICIES = 'all probabilities of the policy and of the one that logged (pi_b, or a uniform log)'
_EMBEDDING = (
  f'{_POLICIES} and categories of actions (action_embed, or columns of action_context in which '
  'values are of several actions)'
)
# What an estimator does not go without.
NEEDS = {
  'mips': _EMBEDDING,
  'mips_slope': f'{_EMBEDDING}, in two dimensions at least',
  'offcem': f'{_EMBEDDING}, and a model of the reward',
  'policy_convolution': f'{_POLICIES} and an action_context',
}
# A propensity is uniform if it differs from one over the candidates by less, of itself.
_TOLERANCE = 1e-6


def applies(log: LoggedFeedback, names: Collection[str]) -> bool:
  """Whether a log says what any of these estimators asks of its actions and its policy."""
  if not set(names) & set(STRUCTURED) or (log.action_context is None and log.action_embed is None):
    return False
  return knows_policy(log)


def knows_policy(log: LoggedFeedback) -> bool:
  """Whether all probabilities of the policy that logged are known, not of what it took alone."""
  is_uniform = (np.abs(log.propensity * log.num_candidates - 1) <= _TOLERANCE).all()
  return log.pi_b is not None or bool(is_uniform)


def weighed(
  log: LoggedFeedback, action_dist: np.ndarray, rounds: Rounds, names: Collection[str], seed: int
) -> Rounds:
  """Rounds with the weights of those estimators of `STRUCTURED` that the log allows.

  Args:
    log: of n rounds, to which one of them `applies`.
    action_dist: [n, C, L] evaluated policy.
    rounds: [n] as it sees them.
    names: of estimators; weights of others are left out.
    seed: of the folds.
  """
  behaviour = offered_policy(log, slice(None))
  policies = TwoPolicies(action_dist, behaviour, log.action, log.position, log.candidates)
  found: dict[str, np.ndarray] = {}
  notes: dict[str, str] = {}
  weights, columns, what = _embedding(log, policies, seed)
  if columns and {'mips', 'offcem'} & set(names):
    found['marginal'] = weights(range(len(columns)))
    by = f'by {what} {", ".join(map(str, columns))}'
    notes['mips'] = f'{by}: biased where actions that share these earn differently'
    notes['offcem'] = f'{by}: biased where dm errs on differences of actions that share these'
  if len(columns) > 1 and 'mips_slope' in names:
    kept, found['selected'] = embeddings.select(weights, len(columns), log.reward)
    by = f'by {what} {", ".join(str(columns[d]) for d in kept)} of {len(columns)}'
    notes['mips_slope'] = f'{by}: biased where actions that share these earn differently'
  if log.action_context is not None and 'policy_convolution' in names:
    features = scaled(log.action_context)
    widths = convolution.bandwidths(features)
    weight = convolution.convolved_weights(policies, features, widths)
    chosen = lepski(weight * log.reward)
    found['convolved'] = weight[chosen]
    notes['policy_convolution'] = (
      f'bandwidth {widths[chosen]:.3g}: biased where similar actions earn differently'
    )
  with jax.enable_x64():
    return dataclasses.replace(
      rounds,
      **{name: jnp.asarray(weight, jnp.float64) for name, weight in found.items()},
      notes=tuple(notes.items()),
    )


def _embedding(
  log: LoggedFeedback, policies: TwoPolicies, seed: int
) -> tuple[embeddings.Weights, list[int], str]:
  """(weights by dimensions, the dimensions, what they are called), none where none is known."""
  num_rounds, num_actions = len(log.action), len(log.item_ids)
  if log.action_embed is not None and num_rounds >= NUM_FOLDS:
    fold = folds(seed, num_rounds, NUM_FOLDS)
    weights = embeddings.estimated(policies, log.action_embed, num_actions, fold)
    return weights, list(range(log.action_embed.shape[1])), 'action_embed'
  if log.action_context is None:
    return embeddings.known(policies, np.zeros((num_actions, 0))), [], ''
  features = np.asarray(log.action_context)
  columns = [
    d for d in range(features.shape[1]) if 2 * len(np.unique(features[:, d])) <= num_actions
  ]
  return embeddings.known(policies, features[:, columns]), columns, 'columns of action_context'
