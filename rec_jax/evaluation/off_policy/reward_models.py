"""Reward models by cross-fitting: what a model expects that has not seen the round.

Rows are left out by weight 0, so that the fits to all folds and positions are one `vmap`. Where
nothing is known of actions each has an intercept of its own: its number is then its only column,
and the one-hot columns that it stands for are never formed. Nor are contexts and actions paired to
predict: what a model makes of either is computed by itself.

Shape letters: n rounds, m of them, K actions, C candidates of a round, L positions, G groups (a
fold at a position each), D context features, A action features, F = D + A.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.designs import design_of, product, solve, transposed

Params = Any

# Newton's method on a convex loss with a backtracking step; it doubles its digits near the end.
NEWTON_STEPS = 30
_STEP_SIZES = 0.5 ** np.arange(12)
# Inputs of a model in memory at once, of all candidates of some rounds: 2^23 take 64 MiB.
CHUNK_INPUTS = 1 << 23


class RewardModel(NamedTuple):
  """How to learn expected rewards.

  Attributes:
    fit: (key, inputs [n, F], reward [n], weight [n]) -> parameters; weight 0 leaves a row out.
    predict: (parameters with a leading [G], group [m], context [m, D], actions [m or 1, C, A]) ->
      [m, C], each row by the parameters of its group.
  """

  fit: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], Params]
  predict: Callable[[Params, jax.Array, jax.Array, jax.Array], jax.Array]


class CrossFitted(NamedTuple):
  """Models of a log, parameters [G, ...]; the rest is that of `cross_fitted`."""

  model: RewardModel
  params: Params
  fold: np.ndarray
  num_positions: int
  context: jax.Array
  action_context: jax.Array
  candidates: np.ndarray | None


def cross_fit(key: jax.Array, model: RewardModel, **log: Any) -> np.ndarray:
  """[n, C, L] the `q_hat` of the estimators: what `cross_fitted` models expect of all rounds."""
  fitted = cross_fitted(key, model, **log)
  num_rounds, inputs = len(fitted.fold), fitted.action_context.size
  if fitted.candidates is not None:
    inputs = fitted.candidates.shape[1] * fitted.action_context.shape[1]
  size, chunks = max(1, min(num_rounds, CHUNK_INPUTS // max(inputs, 1))), []
  for start in range(0, num_rounds, size):
    rows = np.arange(start, min(start + size, num_rounds))
    # Padded, so that a shorter last chunk is not compiled for.
    chunks.append(expected_of(fitted, np.resize(rows, size))[: len(rows)])
  return np.concatenate(chunks)


def expected_of(fitted: CrossFitted, rows: np.ndarray) -> np.ndarray:
  """[m, C, L] expected rewards of the candidates of some rounds [m] of the log."""
  if fitted.candidates is None:
    offered = np.arange(len(fitted.action_context))[None]
  else:
    offered = fitted.candidates[rows]
  group = jnp.asarray(fitted.fold[rows] * fitted.num_positions)
  context, actions = fitted.context[rows], fitted.action_context
  found = _predict(
    fitted.model, fitted.num_positions, fitted.params, group, context, actions, offered
  )
  return np.asarray(found)


def cross_fitted(
  key: jax.Array,
  model: RewardModel,
  *,
  context: ArrayLike,
  action_context: ArrayLike,
  action: ArrayLike,
  reward: ArrayLike,
  fold: ArrayLike,
  position: ArrayLike | None = None,
  num_positions: int = 1,
  candidates: ArrayLike | None = None,
  forward: bool = False,
  weight: ArrayLike | None = None,
) -> CrossFitted:
  """Models that expect rewards of all candidates, each round by that of the folds that lack it.

  Each position has a model of its own, as in OBP.

  Args:
    key: typed key; split over folds and positions.
    model: how to learn.
    context: [n, D].
    action_context: [K, A].
    action: [n] int in [0, K).
    reward: [n].
    fold: [n] int from 0, see `folds`; at least two.
    position: [n] int in [0, L); 0 if not given.
    num_positions: L.
    candidates: [n, C] int, the actions of each round to predict; all K if not given. What is
      predicted of a negative one means nothing.
    forward: each fold by the model of those before it alone, the first by what the model says of no
      rows at all; with folds in the order of time (`blocks`) estimates are then martingales, which
      intervals that hold at any time need.
    weight: [n] of each row in the fits, such as `robust_weight`; 1 if not given.

  Raises:
    ValueError: if there are fewer than two folds.
  """
  context, action_context = jnp.asarray(context), jnp.asarray(action_context)
  action, fold = np.asarray(action), np.asarray(fold)
  num_rounds, num_folds = len(action), int(fold.max()) + 1
  if num_folds < 2:
    raise ValueError('expected at least two folds, so that no round judges itself')
  position = np.zeros(num_rounds, int) if position is None else np.asarray(position)
  pairs = [(f, place) for f in range(num_folds) for place in range(num_positions)]
  known = [fold < f if forward else fold != f for f, _ in pairs]
  used = np.stack(
    [rows & (position == place) for rows, (_, place) in zip(known, pairs, strict=True)]
  )
  if weight is not None:
    used = used * np.asarray(weight)
  inputs = jnp.concatenate([context, action_context[action]], axis=1)
  keys = jax.random.split(key, len(pairs))
  reward = jnp.asarray(reward, inputs.dtype)
  params = _fit(model, keys, inputs, reward, jnp.asarray(used, inputs.dtype))
  offered = None if candidates is None else np.asarray(candidates)
  return CrossFitted(model, params, fold, num_positions, context, action_context, offered)


def folds(seed: int, num_rounds: int, num_folds: int) -> np.ndarray:
  """[n] the fold of each round: random, sizes that differ by one at most.

  They are those of scikit-learn's KFold(num_folds, shuffle=True, random_state=seed).
  """
  order = np.random.RandomState(seed).permutation(num_rounds)
  fold = np.empty(num_rounds, np.int64)
  for f, rows in enumerate(np.array_split(order, num_folds)):
    fold[rows] = f
  return fold


def blocks(num_rounds: int) -> np.ndarray:
  """[n] folds in the order of time, each as long as all before it: 0, 1, 2, 2, 3, 3, 3, 3, ...

  For `cross_fit(forward=True)`: at least half of the rounds before one have taught its model.
  """
  return np.frexp(np.arange(num_rounds))[1]


@functools.cache
def ridge(lambda_: float = 1.0, num_actions: int = 0) -> RewardModel:
  """Linear regression with penalty lambda |w|^2; the intercept is free.

  Args:
    lambda_: of the penalty.
    num_actions: if positive, the last input is an action in [0, num_actions) and stands for its
      one-hot columns, so that each action has an intercept, which is penalised.

  Returns:
    Parameters are [num_actions + F + 1], intercepts of actions first; the free one is the last.
  """

  def fit(key: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array) -> jax.Array:
    del key
    design = design_of(inputs, num_actions)
    return solve(design, weight, lambda_, transposed(design, weight * reward))

  return RewardModel(fit, functools.partial(_linear, num_actions))


@functools.cache
def logistic(lambda_: float = 1.0, num_actions: int = 0) -> RewardModel:
  """Logistic regression of rewards in [0, 1], penalty lambda |w|^2 / 2; the intercept is free.

  scikit-learn's C is 1 / lambda. Arguments and parameters are those of `ridge`.
  """

  def fit(key: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array) -> jax.Array:
    del key
    design = design_of(inputs, num_actions)
    size = num_actions + design.columns.shape[1]
    penalty = lambda_ * jnp.ones(size, inputs.dtype).at[-1].set(0)

    def loss(params: jax.Array) -> jax.Array:
      logit = product(design, params)
      return weight @ (jnp.logaddexp(0, logit) - reward * logit) + penalty @ params**2 / 2

    def step(params: jax.Array, _: None) -> tuple[jax.Array, None]:
      chance = jax.nn.sigmoid(product(design, params))
      gradient = transposed(design, weight * (chance - reward)) + penalty * params
      direction = solve(design, weight * chance * (1 - chance), lambda_, gradient)
      # A full step may overshoot where rewards are rare; none is taken where none descends.
      sizes = jnp.append(jnp.asarray(_STEP_SIZES, params.dtype), 0)
      losses = jax.lax.map(lambda size: loss(params - size * direction), sizes)
      return params - sizes[jnp.argmin(losses)] * direction, None

    start = jnp.zeros(size, inputs.dtype)
    return jax.lax.scan(step, start, None, length=NEWTON_STEPS)[0]

  return RewardModel(fit, lambda *values: jax.nn.sigmoid(_linear(num_actions, *values)))


# The model is static: `ridge` and `logistic` are cached, so that logs of one shape are compiled for
# once.
@functools.partial(jax.jit, static_argnames='model')
def _fit(
  model: RewardModel, keys: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array
) -> Params:
  """Parameters with a leading axis of folds x positions, as keys [m] and weight [m, n] have."""
  return jax.vmap(model.fit, in_axes=(0, None, None, 0))(keys, inputs, reward, weight)


@functools.partial(jax.jit, static_argnames=('model', 'num_positions'))
def _predict(
  model: RewardModel,
  num_positions: int,
  params: Params,
  group: jax.Array,
  context: jax.Array,
  action_context: jax.Array,
  offered: jax.Array,
) -> jax.Array:
  """[m, C, L] from the group [m] of each row's first position and actions [m or 1, C]."""
  places = [
    model.predict(params, group + place, context, action_context[offered])
    for place in range(num_positions)
  ]
  return jnp.stack(places, axis=-1)


def _linear(
  num_actions: int, params: jax.Array, group: jax.Array, context: jax.Array, actions: jax.Array
) -> jax.Array:
  """[m, C] from parameters [G, ...] of `ridge`."""
  own = params[group, num_actions:]
  split = context.shape[1]
  of_context = (context * own[:, :split]).sum(1) + own[:, -1]
  if num_actions:
    of_actions = params[group[:, None], actions[..., 0].astype(jnp.int32)]
  elif len(actions) == 1:
    of_actions = own[:, split:-1] @ actions[0].T
  else:
    of_actions = jnp.einsum('mca,ma->mc', actions, own[:, split:-1])
  return of_context[:, None] + of_actions
