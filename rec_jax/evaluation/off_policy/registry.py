"""The estimators by name, with those that weigh by what is known of actions."""

import dataclasses

import numpy as np

from rec_jax.evaluation.off_policy.estimators import (
  Estimator,
  Rounds,
  Terms,
  dm,
  dr,
  dr_os,
  ipw,
  replay,
  sg_dr,
  sg_ipw,
  sndr,
  snipw,
  switch_dr,
)
from rec_jax.types import InputError


def mips(rounds: Rounds) -> Terms:
  """MIPS (Saito & Joachims 2022): weights of embeddings of actions in place of actions."""
  return ipw(_by(rounds, 'marginal'))


def mips_slope(rounds: Rounds) -> Terms:
  """MIPS by those dimensions of the embedding that SLOPE keeps (ibid., section 3.2)."""
  return ipw(_by(rounds, 'selected'))


def offcem(rounds: Rounds) -> Terms:
  """OffCEM (Saito, Ren & Joachims 2023): weights of embeddings, a model within each.

  Unbiased where the model is right about differences between actions of one embedding.
  """
  return dr(_by(rounds, 'marginal'))


def policy_convolution(rounds: Rounds) -> Terms:
  """Policy convolution (Sachdeva et al. 2024): both policies smoothed over similar actions."""
  return ipw(_by(rounds, 'convolved'))


ESTIMATORS: dict[str, Estimator] = {
  'replay': replay,
  'ipw': ipw,
  'snipw': snipw,
  'dm': dm,
  'dr': dr,
  'sndr': sndr,
  'switch_dr': switch_dr,
  'dr_os': dr_os,
  'sg_ipw': sg_ipw,
  'sg_dr': sg_dr,
  'mips': mips,
  'mips_slope': mips_slope,
  'offcem': offcem,
  'policy_convolution': policy_convolution,
}
# Those that weigh by what is known of actions, and the field of `Rounds` that holds the weights.
STRUCTURED = {
  'mips': 'marginal',
  'mips_slope': 'selected',
  'offcem': 'marginal',
  'policy_convolution': 'convolved',
}
# Those that read q_hat, and those whose mean of the weights divides.
MODEL_BASED = frozenset({'dm', 'dr', 'sndr', 'switch_dr', 'dr_os', 'sg_dr', 'offcem'})
SELF_NORMALISED = frozenset({'replay', 'snipw', 'sndr'})
# By how much of itself a weight that was computed in float32 differs from what it should be.
WEIGHT_TOLERANCE = 1e-5


def applicable(rounds: Rounds, has_model: bool) -> dict[str, Estimator]:
  """The estimators that a log allows, by name in the order of `ESTIMATORS`.

  `replay` is among them where the policy is deterministic and its choices were logged with one
  propensity, as uniform logs do: elsewhere it overweighs the rounds in which the log liked to
  choose as the policy does.

  Args:
    rounds: from `match`.
    has_model: whether `q_hat` was given to it.
  """
  target, weight = np.asarray(rounds.target), np.asarray(rounds.weight)
  agreeing = weight[target == 1]
  replays = np.isin(target, (0, 1)).all() and (
    agreeing.size == 0 or np.ptp(agreeing) <= WEIGHT_TOLERANCE * agreeing.max()
  )
  return {
    name: estimator
    for name, estimator in ESTIMATORS.items()
    if (has_model or name not in MODEL_BASED)
    and (replays or name != 'replay')
    and (name not in STRUCTURED or getattr(rounds, STRUCTURED[name]) is not None)
  }


def _by(rounds: Rounds, name: str) -> Rounds:
  """The rounds with other weights that they hold."""
  weight = getattr(rounds, name)
  if weight is None:
    raise InputError(f'{name}: the rounds hold no such weights; give them')
  return dataclasses.replace(rounds, weight=weight)
