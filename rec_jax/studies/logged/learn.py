"""A softmax policy learnt from a log of another policy, frozen, and valued on the rest of the log.

Its logits are u · M̂(k): M̂ is the action context of the log, or one column an action, and u is a
linear map of the context, which is learnt. It starts as the uniform policy.

Shape letters: n rounds, K actions, C candidates of a round at most, D context features, F action
features.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from rec_jax import bandits
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback, chosen_index
from rec_jax.evaluation.off_policy.estimators import at_position
from rec_jax.losses import off_policy
from rec_jax.studies.logged import policy_checkpoint, policy_value, valuation
from rec_jax.studies.logged.policy_checkpoint import Affine, FrozenPolicy
from rec_jax.training import optimizers
from rec_jax.training.fit import fit
from rec_jax.types import ArmSpec, Context, Feedback, InputError

BATCH_SIZE = 4096
LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.01
# Kullback-Leibler divergence of a natural step, and what is added to the Fisher information.
STEP_DIVERGENCE = 0.01
DAMPING = 1e-3
# Rounds whose bounds are computed at once.
CHUNK_SIZE = 256


@dataclasses.dataclass(frozen=True)
class LearningConfig:
  """How to learn.

  Attributes:
    objective: one of `OBJECTIVES`.
    max_weight: at which importance weights are clipped; unused by 'pessimistic'.
    penalty: standard errors of the value that 'poem' takes off, and standard deviations of each
      expected reward that 'pessimistic' takes off.
    slate_size: of 'top_k', items drawn for a slate.
    num_steps: of descent.
  """

  objective: str
  max_weight: float = 100.0
  penalty: float = 1.0
  slate_size: int = 3
  num_steps: int = 300


@struct.dataclass
class Rows:
  """What an objective reads.

  Attributes:
    query: [n, D] float32, scaled context.
    candidates: [n, C] int32 in [0, K), -1 where there are fewer; None where all K are.
    index: [n] int32, which candidate was logged.
    propensity: [n] float32.
    reward: [n] float32.
    model: [n, C] float32, expected rewards or their lower bounds; None where none are needed.
  """

  query: jax.Array
  candidates: jax.Array | None
  index: jax.Array
  propensity: jax.Array
  reward: jax.Array
  model: Any


def run(
  path: str | Path, settings: LearningConfig, train_share: float, seed: int, out: Path
) -> None:
  """Learns from the first part of a log, writes the policy, and prints its value on the rest.

  Args:
    path: of a log, see `data.logged`.
    settings: how to learn.
    train_share: part of the log, from its beginning, to learn from; in (0, 1).
    seed: of the learning, the folds and the bootstrap.
    out: directory that gets `policy`, a checkpoint, and `policy_value.svg`.

  Raises:
    InputError: bad input, one line.
  """
  if not 0 < train_share < 1:
    raise InputError(f'--train_share: {train_share:g} is not in (0, 1)')
  there = next(path for path in (out, *out.parents) if os.path.exists(path))
  if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
    raise InputError(f'--out: {there} is no directory to write to; give another')
  log = logged.read(path)
  num_rounds = len(log.action)
  num_train = round(train_share * num_rounds)
  # Before anything is written, which the valuation would not take back.
  policy_value.check_parts(num_rounds, num_train, num_rounds - num_train)
  frozen = learn(log, settings, num_train, seed)
  out.mkdir(parents=True, exist_ok=True)
  policy_checkpoint.save(out / 'policy', frozen)
  print(f'learnt by {settings.objective}: {out / "policy"}')
  valuation.run(path, str(out / 'policy'), train_share, seed, out / 'policy_value.svg')


def learn(log: LoggedFeedback, settings: LearningConfig, num_train: int, seed: int) -> FrozenPolicy:
  """The softmax policy that the first rounds of a log teach.

  Args:
    log: whose candidates are all actions, or named in each round.
    settings: how to learn.
    num_train: rounds to learn from.
    seed: of the batches and the folds.

  Raises:
    InputError: a setting out of range, a log that does not serve, or parameters not finite.
  """
  _check(settings)
  policy_value.check_candidates(log)
  train = _first_rounds(log, num_train)
  query = policy_checkpoint.scale(policy_checkpoint.context_of(train))
  features = Affine(jnp.eye(len(log.item_ids)), jnp.zeros(len(log.item_ids)))
  if log.action_context is not None:
    features = policy_checkpoint.scale(log.action_context)
  seen = policy_checkpoint.apply(query, policy_checkpoint.context_of(train))
  items = policy_checkpoint.apply(features, policy_checkpoint.action_context_of(log))
  rows = Rows(
    query=jnp.asarray(seen),
    candidates=None if train.candidates is None else jnp.asarray(train.candidates, jnp.int32),
    index=jnp.asarray(chosen_index(train), jnp.int32),
    propensity=jnp.asarray(train.propensity, jnp.float32),
    reward=jnp.asarray(train.reward, jnp.float32),
    model=_model(train, settings, seen, seed),
  )
  logits = functools.partial(_logits, jnp.asarray(items))
  dims = seen.shape[1], items.shape[1]
  learnt = fit(
    jax.random.key(seed),
    lambda params, rows: OBJECTIVES[settings.objective](
      logits(params, rows), rows, settings, num_train
    ),
    Affine(jnp.zeros(dims), jnp.zeros(dims[1])),
    rows,
    _optimizer(settings),
    num_steps=settings.num_steps,
    batch_size=BATCH_SIZE,
    **({'precondition': _natural(logits)} if settings.objective == 'natural' else {}),
  )
  if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(learnt)):
    raise InputError('the learnt parameters are not finite: give a lower --max_weight')
  return _frozen(log, num_train, query, features, learnt)


def _first_rounds(log: LoggedFeedback, num_train: int) -> LoggedFeedback:
  """The log as it was when its first rounds were all there was."""
  by_item = ('item_ids', 'action_context')
  columns = {field.name: getattr(log, field.name) for field in dataclasses.fields(log)}
  return dataclasses.replace(
    log,
    **{
      name: column[:num_train]
      for name, column in columns.items()
      if name not in by_item and column is not None
    },
  )


def _check(settings: LearningConfig) -> None:
  if settings.objective not in OBJECTIVES:
    raise InputError(f'--objective: {settings.objective} is not one of {", ".join(OBJECTIVES)}')
  check_range('max_weight', settings.max_weight, 0, open_low=True)
  check_range('penalty', settings.penalty, 0)
  check_range('slate_size', settings.slate_size, 1)
  check_range('num_steps', settings.num_steps, 1)


def _logits(items: jax.Array, params: Affine, rows: Rows) -> jax.Array:
  """[n, C], -inf where there is no candidate."""
  scores = (rows.query @ params.matrix + params.offset) @ items.T
  if rows.candidates is None:
    return scores
  offered = jnp.take_along_axis(scores, jnp.maximum(rows.candidates, 0), axis=1)
  return jnp.where(rows.candidates >= 0, offered, -jnp.inf)


def _ipw(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.ipw(
    logits, rows.index, rows.propensity, rows.reward, max_weight=settings.max_weight
  ).mean()


def _dr(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.dr(
    logits, rows.index, rows.propensity, rows.reward, rows.model, max_weight=settings.max_weight
  ).mean()


def _poem(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  losses = off_policy.ipw(
    logits, rows.index, rows.propensity, rows.reward, max_weight=settings.max_weight
  )
  return off_policy.counterfactual_risk(losses, penalty=settings.penalty, num_rounds=num_train)


def _top_k(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.top_k(
    logits,
    rows.index,
    rows.propensity,
    rows.reward,
    slate_size=settings.slate_size,
    max_weight=settings.max_weight,
  ).mean()


def _pessimistic(
  logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int
) -> jax.Array:
  del settings, num_train
  return off_policy.expected(logits, rows.model).mean()


Objective = Callable[[jax.Array, Rows, LearningConfig, int], jax.Array]
# The natural gradient climbs the same value as ipw, by other steps.
OBJECTIVES: dict[str, Objective] = {
  'ipw': _ipw,
  'dr': _dr,
  'natural': _ipw,
  'poem': _poem,
  'top_k': _top_k,
  'pessimistic': _pessimistic,
}


def _optimizer(settings: LearningConfig) -> optax.GradientTransformation:
  if settings.objective == 'natural':
    return optax.sgd(optimizers.warmup_cosine(1.0, 0, settings.num_steps))
  return optimizers.adamw(LEARNING_RATE, settings.num_steps, weight_decay=WEIGHT_DECAY)


def _natural(
  logits: Callable[[Affine, Rows], jax.Array],
) -> Callable[[Affine, Rows, Affine], Affine]:
  """Natural gradients that move the policy by STEP_DIVERGENCE (Schulman et al. 2015)."""

  def precondition(params: Affine, rows: Rows, gradient: Affine) -> Affine:
    direction = off_policy.natural_gradient(
      lambda params: logits(params, rows), params, gradient, damping=DAMPING
    )
    # g . F^-1 g is the squared length in the policy's own metric; 0 where there is nothing to gain.
    squared = optax.tree.vdot(gradient, direction)
    length = jnp.sqrt(2 * STEP_DIVERGENCE / jnp.maximum(squared, jnp.finfo(jnp.float32).tiny))
    return optax.tree.scale(length, direction)

  return precondition


def _model(
  train: LoggedFeedback, settings: LearningConfig, query: np.ndarray, seed: int
) -> jax.Array | None:
  """[n, C] what 'dr' and 'pessimistic' take each candidate to be worth."""
  if settings.objective == 'dr':
    q_hat = policy_value.expected_rewards(train, 0, seed)
    if q_hat is None:
      raise InputError(
        '--objective: dr needs a model of the reward, and the log has neither context nor '
        'action_context for it to read; take ipw'
      )
    return at_position(jnp.asarray(q_hat, jnp.float32), jnp.asarray(train.position))
  if settings.objective == 'pessimistic':
    bounds = _lower_bounds(train, query, settings.penalty)
    if train.candidates is None:
      return bounds
    return jnp.take_along_axis(bounds, jnp.maximum(jnp.asarray(train.candidates), 0), axis=1)
  return None


def _lower_bounds(train: LoggedFeedback, query: np.ndarray, penalty: float) -> jax.Array:
  """[n, K] mean minus `penalty` standard deviations of a linear posterior for each action."""
  num_rounds, num_actions = len(train.action), len(train.item_ids)
  queries = jnp.concatenate([jnp.asarray(query), jnp.ones((num_rounds, 1))], axis=1)
  belief = linear_disjoint(noise_variance=max(float(train.reward.var()), 1e-6))
  spec = ArmSpec(num_actions, num_actions, query_dim=queries.shape[1], arm_dim=1)
  ones, users = jnp.ones(num_rounds), jnp.zeros(num_rounds, jnp.int32)
  feedback = Feedback(
    user_id=users,
    query=queries,
    features=ones[:, None],
    arm_id=jnp.asarray(train.action, jnp.int32),
    propensity=ones,
    reward=jnp.asarray(train.reward, jnp.float32),
    weight=ones,
  )
  init_key, update_key = jax.random.split(jax.random.key(0))
  state = jax.jit(belief.update)(update_key, belief.init(init_key, spec), feedback)

  def bounds(query: jax.Array) -> jax.Array:
    arms, features = jnp.arange(num_actions), jnp.ones((num_actions, 1))
    context = Context(users[0], query, features, arms, jnp.ones(num_actions, bool))
    mean, variance = belief.predict(state, context)
    return mean - penalty * jnp.sqrt(variance)

  found = jax.jit(lambda rows: jax.lax.map(bounds, rows, batch_size=CHUNK_SIZE))(queries)
  return found


def _frozen(
  log: LoggedFeedback, num_train: int, query: Affine, features: Affine, learnt: Affine
) -> FrozenPolicy:
  num_actions, arm_dim = len(log.item_ids), len(learnt.offset)
  spec = ArmSpec(
    num_arms=num_actions,
    num_candidates=num_actions if log.candidates is None else log.candidates.shape[1],
    query_dim=arm_dim,
    arm_dim=arm_dim,
    slate_size=int(log.position.max()) + 1,
  )
  name, hyperparameters = 'two_tower_softmax', {'temperature': 1.0}
  return FrozenPolicy(
    name=name,
    hyperparameters=hyperparameters,
    spec=spec,
    item_ids=log.item_ids,
    learnt_from=policy_checkpoint.fingerprint(log, num_train),
    num_train=num_train,
    state=bandits.make(name, **hyperparameters).init(jax.random.key(0), spec),
    query=Affine(query.matrix @ learnt.matrix, query.offset @ learnt.matrix + learnt.offset),
    features=features,
  )
