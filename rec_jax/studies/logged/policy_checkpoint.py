"""A policy that no longer learns as a checkpoint, to be valued on a log.

The checkpoint holds the state of a policy of the registry, and as its config JSON the name of the
policy, its hyperparameters, its sizes, the items that it chooses from, and what it learnt from. A
policy sees a context and an action context of a log through affine maps of its own: these scale,
and may be learnt, as the user's vector of `two_tower_softmax` is.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax import bandits, checkpoint
from rec_jax.data.logged_feedback import Inputs, LoggedFeedback, moments
from rec_jax.studies.logged import frozen_policy
from rec_jax.types import ArmSpec, InputError


@struct.dataclass
class Affine:
  """x -> x @ matrix + offset.

  Attributes:
    matrix: [C, D] float32.
    offset: [D] float32.
  """

  matrix: jax.Array
  offset: jax.Array


@dataclasses.dataclass(frozen=True)
class FrozenPolicy:
  """A policy with what it knows.

  Attributes:
    name: in the registry.
    hyperparameters: of the registry, as JSON.
    spec: the sizes it was built for.
    item_ids: [K] strings, the items of its arms.
    learnt_from: fingerprint of the rounds that it learnt from, see `fingerprint`.
    num_train: how many these were.
    state: of the policy.
    query: context [n, C] -> query [n, D].
    features: action context [K, A] -> features [K, F].
  """

  name: str
  hyperparameters: dict[str, Any]
  spec: ArmSpec
  item_ids: np.ndarray
  learnt_from: str
  num_train: int
  state: Any
  query: Affine
  features: Affine


def save(directory: Path | str, frozen: FrozenPolicy) -> None:
  """Writes the policy; an earlier one in the directory is replaced."""
  config = {
    'name': frozen.name,
    'hyperparameters': frozen.hyperparameters,
    'spec': frozen.spec._asdict(),
    'item_ids': frozen.item_ids.tolist(),
    'learnt_from': frozen.learnt_from,
    'num_train': frozen.num_train,
    'context_dim': len(frozen.query.matrix),
    'action_context_dim': len(frozen.features.matrix),
  }
  with checkpoint.open(directory, config) as saved:
    saved.save(0, (frozen.state, frozen.query, frozen.features), None)


def load(directory: Path | str) -> FrozenPolicy:
  """The policy that `save` wrote.

  Raises:
    InputError: there is none, or it is not of a policy.
  """
  config = checkpoint.load_config(directory)
  if 'hyperparameters' not in config:
    raise InputError(f'{directory}: a checkpoint, but not of a policy')
  dims = config.pop('context_dim'), config.pop('action_context_dim')
  spec = ArmSpec(**config.pop('spec'))
  policy = bandits.make(config['name'], **config['hyperparameters'])
  state = jax.eval_shape(lambda key: policy.init(key, spec), jax.random.key(0))
  maps = (
    Affine(jnp.zeros((size, width)), jnp.zeros(width))
    for size, width in zip(dims, (spec.query_dim, spec.arm_dim), strict=True)
  )
  state, query, features = checkpoint.load_state(directory, (state, *maps))
  item_ids = np.array(config.pop('item_ids'), str)
  return FrozenPolicy(
    **config, spec=spec, item_ids=item_ids, state=state, query=query, features=features
  )


def distributions(
  key: jax.Array, frozen: FrozenPolicy, log: LoggedFeedback, first: int
) -> np.ndarray:
  """[n - first, C, L] what the policy would do in the rounds of a log from `first` on.

  Raises:
    InputError: as `seen_by`.
  """
  query, features = seen_by(frozen, log)
  inputs = Inputs(np.zeros(len(query), np.int32), query, features)
  policy = bandits.make(frozen.name, **frozen.hyperparameters)
  return frozen_policy.distributions(key, log, policy, inputs, frozen.state, first)


def seen_by(frozen: FrozenPolicy, log: LoggedFeedback) -> tuple[np.ndarray, np.ndarray]:
  """(query [n, D], features [K, F]) of a log as the policy reads them.

  Raises:
    InputError: the log has other items, or other columns than the policy learnt from.
  """
  if not np.array_equal(log.item_ids, frozen.item_ids):
    raise InputError(
      f'the policy chooses from {len(frozen.item_ids)} items and the log has {len(log.item_ids)}, '
      'or other ones or in another order; give a log with the items that it learnt from'
    )
  columns = context_of(log), action_context_of(log)
  for name, values, known in zip(
    ('context', 'action_context'), columns, (frozen.query, frozen.features), strict=True
  ):
    if values.shape[1] != len(known.matrix):
      raise InputError(
        f'{name} has {values.shape[1]} columns in the log, and the policy learnt from '
        f'{len(known.matrix)}; give a log with the same columns'
      )
  return apply(frozen.query, columns[0]), apply(frozen.features, columns[1])


def apply(affine: Affine, values: np.ndarray) -> np.ndarray:
  """values [..., C] -> [..., D] float32."""
  return np.asarray(values, np.float32) @ np.asarray(affine.matrix) + np.asarray(affine.offset)


def context_of(log: LoggedFeedback) -> np.ndarray:
  """[n, C], a column of ones where the log has no context."""
  return np.ones((len(log.action), 1)) if log.context is None else np.asarray(log.context)


def action_context_of(log: LoggedFeedback) -> np.ndarray:
  """[K, A], a column an action where the log has no action context."""
  if log.action_context is None:
    return np.eye(len(log.item_ids))
  return np.asarray(log.action_context)


def scale(values: np.ndarray) -> Affine:
  """The map to mean 0 and variance 1 of each column, as `logged_feedback.scaled`."""
  mean, spread = moments(values)
  factor = 1 / spread
  return Affine(jnp.asarray(np.diag(factor), jnp.float32), jnp.asarray(-mean * factor, jnp.float32))


def fingerprint(log: LoggedFeedback, num_train: int) -> str:
  """SHA-256 of the actions, propensities and rewards of the first rounds."""
  digest = hashlib.sha256()
  for column in (log.action, log.propensity, log.reward):
    digest.update(np.ascontiguousarray(column[:num_train]).tobytes())
  return digest.hexdigest()


def first_unseen_round(frozen: FrozenPolicy, log: LoggedFeedback) -> int:
  """The first round of a log that the policy has not learnt from: 0 unless it learnt from it."""
  same = fingerprint(log, frozen.num_train) == frozen.learnt_from
  return frozen.num_train if same else 0
