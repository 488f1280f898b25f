"""Reward models by cross-fitting: what a model expects that has not seen the round.

A model is a pair of pure functions. Rows are left out by weight 0, so that the fits to all folds
and positions are one `vmap`. Where nothing is known of actions each has an intercept of its own:
its number is then its only column, and the one-hot columns that it stands for are never formed.

Shape letters: n rounds, K actions, C candidates of a round, L positions, D context features, A
action features, F = D + A.
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
Loss = Callable[[jax.Array, Params], jax.Array]

# Newton's method on a convex loss with a backtracking step; it doubles its digits near the end.
NEWTON_STEPS = 30
_STEP_SIZES = 0.5 ** np.arange(12)
# Inputs of a model in memory at once, of all candidates of some rounds: 2^23 take 64 MiB.
CHUNK_INPUTS = 1 << 23


class RewardModel(NamedTuple):
  """How to learn expected rewards.

  Attributes:
    fit: (key, inputs [n, F], reward [n], weight [n]) -> parameters; weight 0 leaves a row out.
    predict: (parameters, inputs [..., F]) -> [...].
  """

  fit: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], Params]
  predict: Callable[[Params, jax.Array], jax.Array]


def cross_fit(
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
) -> np.ndarray:
  """Expected rewards of all candidates, each round by the model of the folds that lack it.

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

  Returns:
    [n, C, L], the `q_hat` of the estimators.

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
  weight = np.stack(
    [rows & (position == place) for rows, (_, place) in zip(known, pairs, strict=True)]
  )
  inputs = jnp.concatenate([context, action_context[action]], axis=1)
  keys = jax.random.split(key, len(pairs))
  reward = jnp.asarray(reward, inputs.dtype)
  fitted = _fit(model, keys, inputs, reward, jnp.asarray(weight, inputs.dtype))
  offered = np.arange(len(action_context))[None] if candidates is None else np.asarray(candidates)
  offered = np.broadcast_to(offered, (num_rounds, offered.shape[1]))
  q_hat = np.empty((num_rounds, offered.shape[1], num_positions), inputs.dtype)
  size = max(1, min(num_rounds, CHUNK_INPUTS // (offered.shape[1] * inputs.shape[1])))
  for f in range(num_folds):
    params = jax.tree.map(
      lambda leaf, f=f: leaf[f * num_positions : (f + 1) * num_positions], fitted
    )
    rows = np.flatnonzero(fold == f)
    for start in range(0, len(rows), size):
      chunk = rows[start : start + size]
      # Padded, so that a shorter last chunk is not compiled for.
      padded = np.resize(chunk, size)
      found = _predict(model, params, context[padded], action_context, offered[padded])
      q_hat[chunk] = found[: len(chunk)]
  return q_hat


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


def ridge(lambda_: ArrayLike = 1.0, num_actions: int = 0) -> RewardModel:
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


def logistic(lambda_: ArrayLike = 1.0, num_actions: int = 0) -> RewardModel:
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

  return RewardModel(
    fit, lambda params, inputs: jax.nn.sigmoid(_linear(num_actions, params, inputs))
  )


def network(
  optimise: Callable[[jax.Array, Loss, Params], Params], num_hidden: int = 32
) -> RewardModel:
  """A network with one hidden layer of ReLUs and squared error.

  Args:
    optimise: (key, loss, parameters) -> parameters, where loss is (key, parameters) -> [].
    num_hidden: width of the hidden layer.
  """

  def fit(key: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array) -> Params:
    init_key, optimise_key = jax.random.split(key)
    width = inputs.shape[1]
    total = jnp.maximum(weight.sum(), 1)
    params = {
      'hidden': jax.random.normal(init_key, (width, num_hidden)) * jnp.sqrt(2 / width),
      'bias': jnp.zeros(num_hidden),
      # From the mean reward on, so that what is rare need not be learnt first.
      'output': jnp.zeros(num_hidden),
      'mean': weight @ reward / total,
    }

    def loss(key: jax.Array, params: Params) -> jax.Array:
      del key
      return weight @ (predict(params, inputs) - reward) ** 2 / total

    return optimise(optimise_key, loss, params)

  def predict(params: Params, inputs: jax.Array) -> jax.Array:
    hidden = jax.nn.relu(inputs @ params['hidden'] + params['bias'])
    return hidden @ params['output'] + params['mean']

  return RewardModel(fit, predict)


# The model is static, so that logs of one shape with one model are compiled for once.
@functools.partial(jax.jit, static_argnames='model')
def _fit(
  model: RewardModel, keys: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array
) -> Params:
  """Parameters with a leading axis of folds x positions, as keys [m] and weight [m, n] have."""
  return jax.vmap(model.fit, in_axes=(0, None, None, 0))(keys, inputs, reward, weight)


@functools.partial(jax.jit, static_argnames='model')
def _predict(
  model: RewardModel,
  params: Params,
  context: jax.Array,
  action_context: jax.Array,
  offered: jax.Array,
) -> jax.Array:
  """[n, C, L] from contexts [n, D], actions [n, C], and parameters of L positions."""

  def one(row: jax.Array, actions: jax.Array) -> jax.Array:
    rows = jnp.broadcast_to(row, (len(actions), len(row)))
    everything = jnp.concatenate([rows, action_context[actions]], axis=1)
    return jax.vmap(model.predict, in_axes=(0, None), out_axes=-1)(params, everything)

  return jax.vmap(one)(context, offered)


def _linear(num_actions: int, params: jax.Array, inputs: jax.Array) -> jax.Array:
  """[...] from inputs [..., F]."""
  if not num_actions:
    return inputs @ params[:-1] + params[-1]
  action = inputs[..., -1].astype(jnp.int32)
  return inputs[..., :-1] @ params[num_actions:-1] + params[action] + params[-1]
