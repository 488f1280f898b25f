"""Online cover: a few linear policies that learn to choose differently where that costs little."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief, Explorer, Outlook, Policy
from rec_jax.bandits.beliefs.linear import LinearState, add, learn, normal
from rec_jax.bandits.choice import argmax_probabilities
from rec_jax.bandits.explorers.by_chance import in_proportion
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.policy import PolicyState, combine
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

ESTIMATORS = ('ips', 'dr', 'mtr')


@struct.dataclass
class CoverInfo:
  """What comes back with the outcome: the decision as the regressions see it.

  All that they need of the candidates X that were open is X^T X and X^T bonus, so R = min(K, F)
  rows stand for them, however many they are.

  Attributes:
    rows: [L, R, F], whose sum of outer products is that of the candidates, X^T X.
    bonus: [L, N, F], X^T of each policy's psi epsilon / p_i.
    propensity: [L] of the choice when it was made.
    num_open: [L] candidates that were open.
  """

  rows: jax.Array
  bonus: jax.Array
  propensity: jax.Array
  num_open: jax.Array


@struct.dataclass
class CoverState:
  """N regressions of rewards on features that learn of the same candidates, so of one covariance.

  Attributes:
    weights: [N, F].
    weights_rest: [N, F] what of them is lost to rounding.
    root: [F, F], a square root of the inverse of lambda I + the sum of X^T X.
    root_rest: [F, F] what of it is lost to rounding.
    chosen: the regression on what was chosen alone; None for `ips`, which needs none.
  """

  weights: jax.Array
  weights_rest: jax.Array
  root: jax.Array
  root_rest: jax.Array
  chosen: LinearState | None


def cover(
  num_policies: int = 4,
  psi: ArrayLike = 1.0,
  epsilon_scale: ArrayLike = 1.0,
  estimator: str = 'mtr',
  lambda_: ArrayLike = 1.0,
) -> Policy:
  """Online Cover (Agarwal et al. 2014; Bietti, Agarwal & Langford 2021, algorithm 5).

  A choice follows one of N policies with equal chance, or with probability K epsilon is uniform;
  epsilon = min(1 / K, epsilon_scale / sqrt(K t)) at the t-th row of feedback. Policy i prefers the
  candidate with the highest regressed reward, and is told that candidate a earned its estimated
  reward plus psi epsilon / p_i(a), where p_i is the smoothed choice of the policies before i: what
  they do not choose is worth psi more. Costs are minus the reward, in whose unit psi is.

  The p_i are those of the decision, not of the moment when its outcome is learnt, so that nothing
  hangs on how late that is; Vowpal Wabbit, which learns at once, has the same. Ties share a
  policy's vote. Each regression is a ridge regression, exact, in O(R F^2) a row.

  Args:
    num_policies: N.
    psi: worth of a candidate that the policies before do not choose, >= 0.
    epsilon_scale: of the least probability of a candidate, > 0.
    estimator: of the rewards of all candidates. `ips`: reward / propensity for the chosen one, 0
      for others. `dr`: what a regression on the chosen ones expects, corrected by the chosen one's
      error / propensity. `mtr`: that regression, weighted by 1 / (K propensity), is itself policy 1
      (importance-weighted regression), and the others are as in `dr`, with it.
    lambda_: ridge of every regression.

  Returns:
    A policy that reads `features` only and learns from its own decisions. Contexts may have fewer
    candidates than the `ArmSpec` says, not more.

  Raises:
    InputError: a value is out of range or the estimator unknown.
  """
  check_range('num_policies', num_policies, 1)
  check_range('psi', psi, 0)
  check_range('epsilon_scale', epsilon_scale, 0, open_low=True)
  check_range('lambda_', lambda_, 0, open_low=True)
  if estimator not in ESTIMATORS:
    raise InputError(f'estimator = {estimator!r} is unknown; give one of {", ".join(ESTIMATORS)}')
  belief = _regressions(num_policies, estimator, lambda_)
  policy = combine(belief, _votes(epsilon_scale))

  def select(key: jax.Array, state: PolicyState, context: Context) -> Decision:
    decision = policy.select(key, state, context)
    rewards = _rewards(state.belief, context)
    num_rows = min(state.spec.num_candidates, state.spec.arm_dim)

    def position(open_: jax.Array, index: jax.Array) -> tuple[jax.Array, CoverInfo]:
      features = jnp.where(open_[:, None], context.features, 0.0)
      votes, floor = _shares(rewards, open_), _floor(epsilon_scale, state.explorer, open_)
      info = CoverInfo(
        rows=_rows(features, num_rows),
        bonus=bonuses(votes, open_, floor, psi) @ features,
        propensity=_smooth(jnp.mean(votes, axis=0), open_, floor)[index],
        num_open=jnp.sum(open_, dtype=jnp.int32),
      )
      return open_.at[index].set(False), info

    # As `combine` counts them: NaN features are closed.
    open_ = context.mask & jnp.isfinite(jnp.mean(rewards, axis=0))
    return dataclasses.replace(decision, info=jax.lax.scan(position, open_, decision.index)[1])

  # What comes back holds the chance that this policy itself gave the choice.
  return policy._replace(select=select, info=None)


def bonuses(votes: jax.Array, mask: jax.Array, floor: jax.Array, psi: ArrayLike) -> jax.Array:
  """[N, K] psi epsilon / p_i (algorithm 5 of `cover`), 0 for the first policy.

  Args:
    votes: [N, K] the choice of each policy.
    mask: [K] bool, False gets none.
    floor: [] epsilon.
    psi: [].
  """
  before = jnp.tri(len(votes), k=-1)
  share = before @ votes / jnp.maximum(before.sum(axis=1, keepdims=True), 1)
  counts = mask & (jnp.arange(len(votes)) > 0)[:, None]
  return jnp.where(counts, psi * floor / jnp.where(counts, _smooth(share, mask, floor), 1), 0)


def _shares(rewards: jax.Array, mask: jax.Array) -> jax.Array:
  """[N, K] of each policy's vote."""
  return jax.vmap(argmax_probabilities, (0, None))(rewards, mask)


def _floor(scale: ArrayLike, count: jax.Array, mask: jax.Array) -> jax.Array:
  """[] epsilon, the least probability of an open candidate."""
  num_open = jnp.maximum(jnp.sum(mask), 1).astype(jnp.float32)
  return jnp.minimum(1 / num_open, scale / jnp.sqrt(num_open * (count + 1)))


def _smooth(share: jax.Array, mask: jax.Array, floor: jax.Array) -> jax.Array:
  """[..., K] probabilities that are at least `floor`."""
  rest = jnp.maximum(1 - jnp.sum(mask) * floor, 0)
  return jnp.where(mask, floor + rest * share, 0)


def _votes(epsilon_scale: ArrayLike) -> Explorer:
  """Follows a member of the belief, each with equal chance, or none of them."""

  def chances(state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    assert outlook.members is not None
    votes = _shares(outlook.members, mask)
    return _smooth(jnp.mean(votes, axis=0), mask, _floor(epsilon_scale, state, mask))

  return in_proportion(chances)


def _rewards(state: CoverState, context: Context) -> jax.Array:
  """[N, K] as each policy regresses them."""
  return state.weights @ context.features.T


def _regressions(num_policies: int, estimator: str, lambda_: ArrayLike) -> Belief:
  def init(key: jax.Array, spec: ArmSpec) -> CoverState:
    del key
    scale = jnp.asarray(1 / jnp.sqrt(lambda_), jnp.float32)
    root = scale * jnp.eye(spec.arm_dim, dtype=jnp.float32)
    weights = jnp.zeros((num_policies, spec.arm_dim), jnp.float32)
    chosen = None if estimator == 'ips' else normal(weights[0], root)
    return CoverState(weights, jnp.zeros_like(weights), root, jnp.zeros_like(root), chosen)

  def predict(state: CoverState, context: Context) -> tuple[jax.Array, jax.Array]:
    rewards = _rewards(state, context)
    return jnp.mean(rewards, axis=0), jnp.var(rewards, axis=0)

  def sample(key: jax.Array, state: CoverState, context: Context, num_samples: int) -> jax.Array:
    return _rewards(state, context)[jax.random.randint(key, (num_samples,), 0, num_policies)]

  def update(key: jax.Array, state: CoverState, feedback: Feedback) -> CoverState:
    del key

    def row(state: CoverState, row: Feedback) -> tuple[CoverState, None]:
      new = _learn(state, row, estimator)
      return jax.tree.map(lambda new, old: jnp.where(row.weight == 0, old, new), new, state), None

    return jax.lax.scan(row, state, feedback)[0]

  return Belief(init, predict, sample, update, members=_rewards)


def _learn(state: CoverState, row: Feedback, estimator: str) -> CoverState:
  """The state after one row, which is told of all candidates of its decision."""
  info: CoverInfo = row.info
  # Of an empty slot, whose row has weight 0, it is 0.
  propensity = jnp.where(row.weight == 0, 1, info.propensity)
  # What the row has no part in yet: else the estimates would not be unbiased.
  expected = jnp.zeros_like(row.features) if state.chosen is None else state.chosen.mean
  error = (row.reward - jnp.dot(row.features, expected)) / propensity
  # X^T (targets - X weights), with targets X expected + error of the chosen one + bonus.
  differences = ((expected - state.weights) @ info.rows.T) @ info.rows
  surprise = row.weight * (differences + error * row.features + info.bonus)
  root, root_rest = _shrink(state, info.rows, row.weight)
  weights, rest = add(state.weights, state.weights_rest, (surprise @ root) @ root.T)
  assert rest is not None
  chosen = state.chosen
  if chosen is not None:
    share = 1 / (jnp.maximum(info.num_open, 1) * propensity) if estimator == 'mtr' else 1.0
    chosen = learn(chosen, row.features, row.reward, row.weight * share, 1.0)
  if chosen is not None and estimator == 'mtr':
    weights, rest = weights.at[0].set(chosen.mean), rest.at[0].set(chosen.mean_rest)
  return CoverState(weights, rest, root, root_rest, chosen)


def _rows(features: jax.Array, num_rows: int) -> jax.Array:
  """[R, F] with the sum of outer products of `features` [K, F]: themselves, or few for many."""
  num_candidates, width = features.shape
  if num_candidates <= num_rows:
    return jnp.pad(features, ((0, num_rows - num_candidates), (0, 0)))
  if num_rows < width:
    raise ValueError(
      f'features have shape {features.shape}; the policy is for contexts of up to {num_rows}'
    )
  # Of the Gram matrix float32 would not hold what is small beside a number that all share.
  return jnp.linalg.qr(features, mode='r')


def _shrink(state: CoverState, rows: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The root, and what rounding takes of it, once the inverse has `weight` rows^T rows more.

  One row after the other: Potter's rule for several at once takes a factor of I + P P^T, which
  float32 cannot hold where the rows are large.
  """
  no_mean = jnp.zeros(len(state.root))

  def row(shared: LinearState, row: jax.Array) -> tuple[LinearState, None]:
    return learn(shared, row, jnp.zeros(()), weight, 1.0), None

  start = LinearState(no_mean, state.root, no_mean, state.root_rest)
  shared = jax.lax.scan(row, start, rows)[0]
  assert shared.root_rest is not None
  return shared.root, shared.root_rest
