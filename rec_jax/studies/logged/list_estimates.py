"""The estimates of ranked lists, from what a policy would do in them.

Shape letters: n lists, L positions, K items.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import scaled
from rec_jax.data.ranked_lists import RankedLists
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals, slate
from rec_jax.evaluation.off_policy.estimators import Rounds, Terms, influence
from rec_jax.evaluation.off_policy.evaluate import PolicyValue
from rec_jax.evaluation.off_policy.overlap import Overlap, overlap_of
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.evaluation.off_policy.slate_models import cascade_q
from rec_jax.studies.logged import list_policies
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.studies.logged.list_policies import ListPolicy
from rec_jax.studies.logged.log_checks import NUM_FOLDS
from rec_jax.types import InputError

# Name -> kind of weights, and what is made of them.
WEIGHTED = {
  'standard_ips': ('standard', slate.ips),
  'standard_snips': ('standard', slate.snips),
  'interaction_ips': ('interaction', slate.ips),
  'interaction_snips': ('interaction', slate.snips),
  'independent_ips': ('independent', slate.ips),
  'independent_snips': ('independent', slate.snips),
  'pseudo_inverse': ('pseudo_inverse', slate.ips),
  'sn_pseudo_inverse': ('pseudo_inverse', slate.snips),
}
CASCADE_DR = 'cascade_dr'
NAMES = (*WEIGHTED, CASCADE_DR)
# By which a propensity may differ from the marginal one where both are the same: logs may round.
_RELATIVE_DIFFERENCE = 1e-3


@dataclasses.dataclass(frozen=True)
class ListEvaluation:
  """What lists of a policy earn.

  Attributes:
    values: estimator -> value of a list with interval and overlap.
    added: estimator -> [n] what each list adds to the value, which is their mean.
    unit: of the intervals, 'users' or 'lists'.
  """

  values: dict[str, PolicyValue]
  added: dict[str, np.ndarray]
  unit: str


def evaluate(
  lists: RankedLists,
  policy: ListPolicy,
  marginal: np.ndarray | None,
  seed: int,
  reading: Reading,
  flag: str = '--policy',
) -> ListEvaluation:
  """By every estimator of `reading.names` that applies.

  Args:
    lists: of n lists.
    policy: that is valued.
    marginal: [n, L] of the logged items under the policy that logged, see
      `list_policies.logged_marginal`.
    seed: of the folds and the bootstrap.
    reading: estimators and intervals.
    flag: that named the policy.

  Raises:
    InputError: none applies.
  """
  weights = weights_of(lists, policy, marginal)
  # Of a position at which no list has weight they say nothing.
  seen = {kind for kind, weight in weights.items() if weight.any(0).all()}
  cluster = cluster_of(lists)
  with jax.enable_x64():
    table = {
      name: WEIGHTED[name][1](lists.reward, weights[WEIGHTED[name][0]])
      for name in reading.names
      if name in WEIGHTED and WEIGHTED[name][0] in seen
    }
    action_dist = policy.distribution if len(lists.row) >= NUM_FOLDS else None
    if CASCADE_DR in reading.names and action_dist is not None and 'interaction' in seen:
      table[CASCADE_DR] = _cascade_dr(lists, policy.target, action_dist, seed)
    if not table and 'standard' not in seen:
      raise InputError(f'{flag}: no overlap: it gives every logged list probability 0')
    if not table:
      raise InputError(
        f'--estimators: none of {", ".join(reading.names)} applies to this policy and log; add '
        'standard_snips, which always does'
      )
    added = {name: np.asarray(influence(terms)) for name, terms in table.items()}
    found = _intervals(table, cluster, seed, reading)
    overlap = {
      kind: worst_overlap(lists.reward, weight, cluster) for kind, weight in weights.items()
    }
  values = {
    name: PolicyValue(
      **dataclasses.asdict(estimate),
      interval=reading.interval,
      **dataclasses.asdict(overlap[WEIGHTED.get(name, ('interaction',))[0]]),
    )
    for name, estimate in found.items()
  }
  return ListEvaluation(values, added, 'lists' if cluster is None else 'users')


def effects(
  lists: RankedLists,
  result: ListEvaluation,
  other: ListEvaluation | None,
  seed: int,
  reading: Reading,
) -> dict[str, Estimate]:
  """What a policy earns more than another, or than the one that logged, paired by list.

  By each estimator that values both.
  """
  earned = lists.reward.sum(1)
  above = {
    name: _terms(added - (earned if other is None else other.added[name]))
    for name, added in result.added.items()
    if other is None or name in other.added
  }
  return _intervals(above, cluster_of(lists), seed, reading) if above else {}


def weights_of(
  lists: RankedLists, policy: ListPolicy, marginal: np.ndarray | None
) -> dict[str, np.ndarray]:
  """Kind -> weights [n, L], of those that log and policy allow.

  The pseudo-inverse needs positions that are drawn apart, of which both propensities are the same,
  or lists that are uniform without repetition, and a policy that has no item twice either.
  """
  pscore = lists.propensity
  weights = {
    'standard': slate.standard_weights(pscore, policy.target),
    'interaction': slate.interaction_weights(pscore, policy.target),
  }
  if marginal is None or policy.marginal is None:
    return weights
  weights['independent'] = slate.independent_weights(marginal, policy.marginal)
  is_whole = bool((lists.row >= 0).all())
  if (np.abs(marginal / pscore - 1) <= _RELATIVE_DIFFERENCE).all() and is_whole:
    weights['pseudo_inverse'] = slate.pseudo_inverse_weights(marginal, policy.marginal)
  elif (
    is_whole
    and policy.marginals is not None
    and (policy.marginals.sum(1) <= 1 + _RELATIVE_DIFFERENCE).all()
    and (lists.log.num_candidates == len(lists.log.item_ids)).all()
    and list_policies.is_uniform(lists)
  ):
    weights['pseudo_inverse'] = slate.pseudo_inverse_of_permutations(lists.action, policy.marginals)
  return weights


def worst_overlap(
  reward: np.ndarray, weight: np.ndarray, cluster: np.ndarray | None = None
) -> Overlap:
  """The overlap at the position where it is poorest, from rewards and weights [n, L]."""
  places = []
  for own, at in zip(weight.T, reward.T, strict=True):
    zeros = np.zeros_like(own)
    places.append(overlap_of(Rounds(at, own, zeros, zeros, zeros), cluster))
  return min(places, key=lambda overlap: overlap.effective_sample_size)


def _cascade_dr(
  lists: RankedLists, target: np.ndarray, action_dist: np.ndarray, seed: int
) -> Terms:
  log, first = lists.log, lists.row[:, 0]
  context = np.zeros((len(first), 0)) if log.context is None else scaled(log.context[first])
  features = np.eye(len(log.item_ids))
  if log.action_context is not None:
    features = scaled(log.action_context)
  # Inputs and their copies, and what is expected of all items in every place.
  cells = 4 * len(first) * (context.shape[1] + 2 * features.shape[1]) + 5 * action_dist.size
  if 8 * cells > list_policies.memory():
    raise InputError(
      f'{len(first):,} lists of {len(features):,} items take {8 * cells / 2**30:,.1f} GiB with '
      f'{CASCADE_DR}; give fewer lists, an action_context, or --estimators without it'
    )
  q_hat = cascade_q(
    context,
    features,
    lists.action,
    lists.reward,
    action_dist,
    folds(seed, len(first), NUM_FOLDS),
  )
  return slate.cascade_dr(lists.reward, lists.action, lists.propensity, target, action_dist, q_hat)


def _intervals(
  table: Mapping[str, Terms], cluster: np.ndarray | None, seed: int, reading: Reading
) -> dict[str, Estimate]:
  if reading.interval == 'bootstrap':
    return intervals.bootstrap(jax.random.key(seed), table, cluster=cluster, level=reading.level)
  return {
    name: intervals.student(terms, cluster=cluster, level=reading.level)
    for name, terms in table.items()
  }


def _terms(value: np.ndarray) -> Terms:
  with jax.enable_x64():
    added = jnp.asarray(value)
    return Terms(added, jnp.zeros_like(added), jnp.ones_like(added))


def cluster_of(lists: RankedLists) -> np.ndarray | None:
  """[n] the user of each list, None where there is one alone."""
  users = lists.log.user_id[lists.row[:, 0]]
  return users if (users != users[0]).any() else None
