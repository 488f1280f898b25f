"""A softmax policy learnt from a log of another policy, frozen, and valued on the rest of the log.

Its logits are u · M̂(k): M̂ is the action context of the log, or one column an action, and u is a
linear map of the context, which is learnt. It starts as the uniform policy.

Shape letters: n rounds, K actions, C candidates of a round at most, D context features, F action
features.
"""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback, chosen_index, subset
from rec_jax.evaluation.off_policy.estimators import at_position
from rec_jax.studies.logged import (
  lessons,
  log_checks,
  objectives,
  policy_checkpoint,
  policy_value,
  valuation,
)
from rec_jax.studies.logged.objectives import OBJECTIVES, LearningConfig, Rows
from rec_jax.studies.logged.policy_checkpoint import Affine, FrozenPolicy
from rec_jax.training.fit import fit
from rec_jax.types import ArmSpec, Context, Feedback, InputError

BATCH_SIZE = 4096
# Rounds whose bounds are computed at once.
CHUNK_SIZE = 256


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
  log_checks.check_parts(num_rounds, num_train, num_rounds - num_train)
  log_checks.check_size(log, num_rounds - num_train)
  frozen = learn(log, settings, num_train, seed)
  rest = policy_checkpoint.without_lessons(log, [frozen])
  result = policy_value.evaluate_policy(rest, frozen, train_share, seed)
  # Nothing is written of what cannot be valued.
  out.mkdir(parents=True, exist_ok=True)
  policy_checkpoint.save(out / 'policy', frozen)
  print(f'learnt by {settings.objective}: {out / "policy"}')
  left_out = num_rounds - len(rest.action)
  valuation.report(rest, str(out / 'policy'), result, left_out, out / 'policy_value.svg')


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
  objectives.check(settings)
  log_checks.check_candidates(log)
  train = subset(log, slice(num_train))
  query = policy_checkpoint.scale(policy_checkpoint.context_of(train))
  num_actions, items = len(log.item_ids), None
  features = Affine(jnp.eye(num_actions), jnp.zeros(num_actions))
  if log.action_context is not None:
    features = policy_checkpoint.scale(log.action_context)
    items = jnp.asarray(policy_checkpoint.apply(features, log.action_context))
  seen = policy_checkpoint.apply(query, policy_checkpoint.context_of(train))
  # The baseline of `Rows.reward`.
  origin = 0.0 if settings.objective == 'top_k' else float(train.reward.mean())
  rows = Rows(
    query=jnp.asarray(seen),
    candidates=None if train.candidates is None else jnp.asarray(train.candidates, jnp.int32),
    index=jnp.asarray(chosen_index(train), jnp.int32),
    propensity=jnp.asarray(train.propensity, jnp.float32),
    reward=jnp.asarray(train.reward - origin, jnp.float32),
    model=_model(train, settings, seen, seed, origin),
  )
  logits = functools.partial(objectives.logits, items)
  dims = seen.shape[1], len(features.offset)
  learnt = fit(
    jax.random.key(seed),
    lambda params, rows: OBJECTIVES[settings.objective](
      logits(params, rows), rows, settings, num_train
    ),
    Affine(jnp.zeros(dims), jnp.zeros(dims[1])),
    rows,
    objectives.optimizer(settings),
    num_steps=settings.num_steps,
    batch_size=BATCH_SIZE,
    **({'precondition': objectives.natural(logits)} if settings.objective == 'natural' else {}),
  )
  if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(learnt)):
    raise InputError('the learnt parameters are not finite: give a lower --max_weight')
  return _frozen(log, num_train, query, features, learnt)


def _model(
  train: LoggedFeedback, settings: LearningConfig, query: np.ndarray, seed: int, origin: float
) -> jax.Array | None:
  """[n, C] what 'dr' and 'pessimistic' take each candidate to be worth above the origin."""
  if settings.objective == 'dr':
    q_hat = policy_value.expected_rewards(train, 0, seed)
    if q_hat is None:
      raise InputError(
        '--objective: dr needs a model of the reward, and the log has neither context nor '
        'action_context for it to read; take ipw'
      )
    return at_position(jnp.asarray(q_hat - origin, jnp.float32), jnp.asarray(train.position))
  if settings.objective == 'pessimistic':
    bounds = _lower_bounds(train, query, settings.penalty, origin)
    if train.candidates is None:
      return bounds
    return jnp.take_along_axis(bounds, jnp.maximum(jnp.asarray(train.candidates), 0), axis=1)
  return None


def _lower_bounds(
  train: LoggedFeedback, query: np.ndarray, penalty: float, origin: float
) -> jax.Array:
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
    reward=jnp.asarray(train.reward - origin, jnp.float32),
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
    lessons=lessons.of(subset(log, slice(num_train))),
    state=bandits.make(name, **hyperparameters).init(jax.random.key(0), spec),
    query=Affine(query.matrix @ learnt.matrix, query.offset @ learnt.matrix + learnt.offset),
    features=features,
  )
