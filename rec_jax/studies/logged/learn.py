"""A softmax policy learnt from a log of another policy, frozen, and valued on the rest of the log.

Its logits are u · M̂(k): M̂ is the action context of the log and u a linear map of the context, which
is learnt; without an action context u is the context, and a row of M̂ an action is learnt. It starts
as the uniform policy. Nothing that it takes grows with n K, see `sampling` and `tables`.

Shape letters: n rounds, K actions, C candidates of a round at most, D columns of the query, F
action features.
"""

import dataclasses
import functools
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax import bandits
from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback, chosen_index, subset
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.evaluation.off_policy.robust import robust_weight
from rec_jax.studies.logged import (
  action_values,
  lessons,
  log_checks,
  objectives,
  policy_checkpoint,
  policy_value,
  reward_fits,
  sampling,
  valuation,
)
from rec_jax.studies.logged.action_values import Model
from rec_jax.studies.logged.log_checks import NUM_FOLDS
from rec_jax.studies.logged.objectives import OBJECTIVES, LearningConfig, Rows
from rec_jax.studies.logged.policy_checkpoint import Affine, FrozenPolicy
from rec_jax.training.fit import fit
from rec_jax.types import ArmSpec, InputError

BATCH_SIZE = 4096
# Numbers that a step reads of the candidates of its rounds, at most: 2^25 take 128 MiB.
STEP_NUMBERS = 1 << 25
# How often a natural step, by conjugate gradients, is allowed for to read them.
NATURAL_READS = 25
# Logits of the rounds of which all candidates are looked at, at once: 2^22 take 16 MiB.
CHUNK_LOGITS = 1 << 22


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
  log_checks.check_settings(train_share, seed)
  there = next(path for path in (out, *out.parents) if os.path.exists(path))
  if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
    raise InputError(f'--out: {there} is no directory to write to; give another')
  log = log_checks.single(logged.read(path, ranked=True), '--log: no policy learns from those')
  num_rounds = len(log.action)
  num_train = round(train_share * num_rounds)
  # Before anything is written, which the valuation would not take back.
  log_checks.check_parts(num_rounds, num_train, num_rounds - num_train)
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
  log_checks.check_positions(log)
  train = subset(log, slice(num_train))
  _check_size(train, settings)
  scale = policy_checkpoint.scale(policy_checkpoint.context_of(train))
  seen = policy_checkpoint.apply(scale, policy_checkpoint.context_of(train))
  query = np.concatenate([seen, np.ones((num_train, 1), np.float32)], axis=1)
  features, items = None, None
  if log.action_context is not None:
    features = policy_checkpoint.scale(log.action_context)
    items = jnp.asarray(policy_checkpoint.apply(features, log.action_context))
  learner = _Learner(settings, items, len(log.item_ids), seed)
  rows, model = _rows(train, query, settings, seed), _model(train, query, settings, seed)
  if settings.objective == 'banditnet':
    rows = _translated(rows, _best_translation(learner, rows, model))
  learnt = _descend(learner, rows, model)
  if settings.objective == 'mrdr':
    # The policy of dr says which model serves, with which is learnt anew.
    weight = np.asarray(_weights(learner, learnt, rows), np.float64)
    weight = robust_weight(weight, train.propensity)
    learnt = _descend(learner, rows, _reward_model(train, settings, seed, weight))
  if not np.isfinite(learnt).all():
    raise InputError('the learnt parameters are not finite: give a lower --max_weight')
  return _frozen(log, num_train, scale, features, learnt)


class _Learner(NamedTuple):
  """What does not change while a policy learns: settings, items [K, F] or None, K, and a seed."""

  settings: LearningConfig
  items: jax.Array | None
  num_items: int
  seed: int


def _descend(learner: _Learner, rows: Rows, model: Model) -> jax.Array:
  """The parameters of the policy: [K, D] without features of the items, else [D, F]."""
  settings, num_rows = learner.settings, len(rows.action)
  logits = functools.partial(objectives.logits, learner.items)
  dim = rows.query.shape[1]
  shape = (learner.num_items, dim) if learner.items is None else (dim, learner.items.shape[1])
  return fit(
    jax.random.key(learner.seed),
    lambda params, batch: OBJECTIVES[settings.objective](
      logits(params, batch), batch, settings, num_rows
    ),
    jnp.zeros(shape),
    rows,
    objectives.optimizer(settings),
    num_steps=settings.num_steps,
    batch_size=_batch_size(learner, rows),
    prepare=sampling.batches(rows, learner.num_items, model),
    **({'precondition': objectives.natural(logits)} if settings.objective == 'natural' else {}),
  )


def _batch_size(learner: _Learner, rows: Rows) -> int:
  """Rounds of a step; fewer where what it reads of the candidates of each would be too much."""
  num_offered = min(sampling.num_offered(rows, learner.num_items), sampling.NUM_DRAWN + 1)
  dim = rows.query.shape[1]
  width = dim if learner.items is None else learner.items.shape[1]
  if learner.settings.objective == 'pessimistic':
    width = max(width, dim * (dim + 1) // 2)
  per_round = num_offered * (1 if rows.candidates is None else width)
  if learner.settings.objective == 'natural':
    per_round *= NATURAL_READS
  return max(1, min(BATCH_SIZE, STEP_NUMBERS // per_round))


def _best_translation(learner: _Learner, rows: Rows, model: Model) -> float:
  """What is taken off all rewards so that rounds left out of the learning pay the policy most.

  They judge by the self-normalised estimate (Joachims, Swaminathan & de Rijke 2018).
  """
  left_out = folds(learner.seed, len(rows.action), NUM_FOLDS) == 0
  taught, judges = (jax.tree.map(lambda leaf, x=x: leaf[x], rows) for x in (~left_out, left_out))
  candidates = [float(step * rows.reward.std()) for step in objectives.TRANSLATIONS]

  def weights(candidate: jax.Array) -> jax.Array:
    return _weights(learner, _descend(learner, _translated(taught, candidate), model), judges)

  # One after the other, by one program.
  table = np.asarray(jax.lax.map(weights, jnp.array(candidates)), np.float64)
  return candidates[int(np.argmax(table @ np.asarray(judges.reward) / table.sum(axis=1)))]


def _translated(rows: Rows, translation: ArrayLike) -> Rows:
  return dataclasses.replace(rows, reward=rows.reward - translation)


def _weights(learner: _Learner, params: jax.Array, rows: Rows) -> jax.Array:
  """[n] importance weights of the logged actions, by all candidates, clipped."""
  num_offered = sampling.num_offered(rows, learner.num_items)

  def one(row: Rows) -> jax.Array:
    batch = sampling.whole(jax.tree.map(lambda leaf: leaf[None], row), learner.num_items)
    chance = jax.nn.softmax(objectives.logits(learner.items, params, batch)[0])
    return chance[row.index]

  size = max(1, CHUNK_LOGITS // num_offered)
  chance = jax.jit(lambda rows: jax.lax.map(one, rows, batch_size=size))(rows)
  return jnp.minimum(chance / rows.propensity, learner.settings.max_weight)


def _rows(train: LoggedFeedback, query: np.ndarray, settings: LearningConfig, seed: int) -> Rows:
  """The rounds that teach, with their rewards from a baseline on."""
  baseline: np.ndarray | float = _origin(train, settings)
  if settings.objective == 'baseline':
    # Of the logged action alone, which a model of the context does not read.
    asked = dataclasses.replace(train, candidates=train.action[:, None])
    blind, every = np.zeros((len(train.item_ids), 0)), np.arange(len(train.action))
    has_context = train.context is not None
    table = reward_fits.expected_rewards(asked, 0, seed, blind) if has_context else None
    if table is None:
      raise InputError('--objective: baseline reads a context, and the log has none; take ipw')
    baseline = table(every)[every, 0, train.position]
  group = folds(seed, len(train.action), NUM_FOLDS) * (int(train.position.max()) + 1)
  return Rows(
    query=jnp.asarray(query),
    candidates=None if train.candidates is None else jnp.asarray(train.candidates, jnp.int32),
    index=jnp.asarray(chosen_index(train), jnp.int32),
    action=jnp.asarray(train.action, jnp.int32),
    propensity=jnp.asarray(train.propensity, jnp.float32),
    reward=jnp.asarray(objectives.above(train.reward, baseline), jnp.float32),
    group=jnp.asarray(group + train.position, jnp.int32),
  )


def _origin(train: LoggedFeedback, settings: LearningConfig) -> float:
  """From which rewards are counted; for slates 0 has a meaning."""
  return 0.0 if settings.objective == 'top_k' else float(train.reward.mean())


def _model(train: LoggedFeedback, query: np.ndarray, settings: LearningConfig, seed: int) -> Model:
  """What the candidates of a batch are taken to be worth above the origin."""
  if settings.objective in ('dr', 'mrdr'):
    return _reward_model(train, settings, seed, None)
  if settings.objective == 'pessimistic':
    return action_values.lower_bounds(train, query, settings.penalty, _origin(train, settings))
  return lambda rows, batch: None


def _reward_model(
  train: LoggedFeedback, settings: LearningConfig, seed: int, weight: np.ndarray | None
) -> Model:
  """By cross-fitting, with weights [n] of the rows."""
  fitted = reward_fits.reward_models_of(train, 0, seed, weight=weight)
  if fitted is None:
    raise InputError(
      f'--objective: {settings.objective} needs a model of the reward, and the log has neither '
      'context nor action_context for it to read; take ipw'
    )
  return action_values.expected(fitted, _origin(train, settings))


def _check_size(train: LoggedFeedback, settings: LearningConfig) -> None:
  """Raises unless memory holds what is learnt of each item."""
  num_items, dim = len(train.item_ids), policy_checkpoint.context_of(train).shape[1] + 1
  numbers = 8 * dim
  if settings.objective == 'pessimistic':
    numbers += 3 * dim**2
  if settings.objective in ('dr', 'mrdr'):
    numbers += 6 * dim * NUM_FOLDS * (int(train.position.max()) + 1)
  log_checks.check_memory(
    num_items * numbers,
    f'{num_items:,} items with {dim - 1} columns of context, learnt by {settings.objective},',
    'give fewer columns, or an action_context and another --objective',
  )


def _frozen(
  log: LoggedFeedback, num_train: int, scale: Affine, features: Affine | None, learnt: jax.Array
) -> FrozenPolicy:
  """The policy with what it reads: of scaled contexts a map, or a row of its own for each item."""
  if features is None:
    width = len(scale.offset)
    query = Affine(jnp.eye(width, width + 1), jnp.eye(width + 1)[-1])
    features = Affine(learnt, jnp.zeros(width + 1))
  else:
    query = Affine(learnt[:-1], learnt[-1])
  num_actions, arm_dim = len(log.item_ids), len(features.offset)
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
    query=Affine(scale.matrix @ query.matrix, scale.offset @ query.matrix + query.offset),
    features=features,
  )
