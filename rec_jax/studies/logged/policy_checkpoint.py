"""A policy that no longer learns as a checkpoint, to be valued on a log.

The checkpoint holds the state of a policy of the registry, and as its config JSON the name of the
policy, its hyperparameters, its sizes, the items that it chooses from, and what it learnt from. A
policy sees a context and an action context of a log through affine maps of its own: these scale,
and may be learnt, as the user's vector of `two_tower_softmax` is.
"""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax import bandits, checkpoint
from rec_jax.data.logged_feedback import Inputs, LoggedFeedback, moments, subset
from rec_jax.studies.logged import frozen_policy, lessons
from rec_jax.studies.logged.lessons import Lessons
from rec_jax.studies.logged.log_checks import NUM_FOLDS
from rec_jax.studies.logged.tables import Table
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
    lessons: the rounds that it learnt from.
    state: of the policy.
    query: context [n, C] -> query [n, D].
    features: action context [K, A] -> features [K, F]; without one A is K, and the rows of its
      matrix are those of the items.
  """

  name: str
  hyperparameters: dict[str, Any]
  spec: ArmSpec
  item_ids: np.ndarray
  lessons: Lessons
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
    'window': frozen.lessons.window,
    'num_windows': len(frozen.lessons.hashes),
    'num_numbers': len(frozen.lessons.numbers),
    'context_dim': len(frozen.query.matrix),
    'action_context_dim': len(frozen.features.matrix),
  }
  with checkpoint.open(directory, config) as saved:
    # JAX would cut integers of 64 bits in half.
    columns = (frozen.lessons.hashes, frozen.lessons.numbers, frozen.lessons.contents)
    taught = np.concatenate([column.view(np.uint32) for column in columns])
    saved.save(0, (frozen.state, frozen.query, frozen.features, taught), None)


def load(directory: Path | str) -> FrozenPolicy:
  """The policy that `save` wrote.

  Raises:
    InputError: there is none, or it is not of a policy, or knows too little of what taught it.
  """
  config = checkpoint.load_config(directory)
  if 'hyperparameters' not in config:
    raise InputError(f'{directory}: a checkpoint, but not of a policy')
  if 'num_numbers' not in config:
    raise InputError(f'{directory}: it does not hold the numbers of the rounds; learn it anew')
  dims = config.pop('context_dim'), config.pop('action_context_dim')
  config['item_ids'] = np.array(config['item_ids'], str)
  spec = ArmSpec(**config.pop('spec'))
  policy = bandits.make(config['name'], **config['hyperparameters'])
  state = jax.eval_shape(lambda key: policy.init(key, spec), jax.random.key(0))
  maps = (
    Affine(jnp.zeros((size, width)), jnp.zeros(width))
    for size, width in zip(dims, (spec.query_dim, spec.arm_dim), strict=True)
  )
  window, sizes = config.pop('window'), [config.pop('num_windows'), config.pop('num_numbers')]
  taught = jax.ShapeDtypeStruct((2 * (sizes[0] + 2 * sizes[1]),), np.uint32)
  state, query, features, taught = checkpoint.load_state(directory, (state, *maps, taught))
  hashes, numbers, contents = np.split(np.asarray(taught).view(np.uint64), np.cumsum(sizes))
  return FrozenPolicy(
    **config,
    spec=spec,
    lessons=Lessons(window, hashes, numbers.view(np.int64), contents),
    state=state,
    query=query,
    features=features,
  )


def without_lessons(log: LoggedFeedback, policies: Collection[FrozenPolicy]) -> LoggedFeedback:
  """The rounds of a log that taught none of the policies, see `lessons`.

  Raises:
    InputError: too few are left to judge by.
  """
  taught = np.zeros(len(log.action), bool)
  for frozen in policies:
    taught |= lessons.taught(frozen.lessons, log)
  if taught.any() and (~taught).sum() < NUM_FOLDS:
    raise InputError(
      f'{taught.sum()} of {len(taught)} rounds of the log taught the policy, which they cannot '
      f'judge; give {NUM_FOLDS} others at least'
    )
  return subset(log, ~taught) if taught.any() else log


def distributions(key: jax.Array, frozen: FrozenPolicy, log: LoggedFeedback) -> Table:
  """What the policy would do in the rounds of a log, over the candidates of each.

  Items are matched by id, in whatever order. Those that the policy does not know it never takes;
  those that the log does not know were not offered.

  Raises:
    InputError: as `seen_by`, or a round without an item that the policy knows, or positions beyond
      those of its slates.
  """
  num_positions = int(log.position.max()) + 1
  if num_positions > frozen.spec.slate_size:
    row = int(np.argmax(log.position >= frozen.spec.slate_size))
    raise InputError(
      f'position, row {row}: {log.position[row]} is not in 0..{frozen.spec.slate_size - 1}, the '
      'positions that the policy learnt from; give a log of those'
    )
  query, features = seen_by(frozen, log)
  inputs = Inputs(np.zeros(len(query), np.int32), query, features)
  policy = bandits.make(frozen.name, **frozen.hyperparameters)
  arms = arms_of(frozen, log)
  table = frozen_policy.distributions(key, log, policy, inputs, frozen.state, 0, arms)
  return lambda rows: table(rows)[:, :, :num_positions]


def arms_of(frozen: FrozenPolicy, log: LoggedFeedback) -> np.ndarray:
  """[K] the arm of the policy that each item of a log is, -1 for those that it does not know.

  Raises:
    InputError: a round offers none that it knows.
  """
  arm = {item_id: index for index, item_id in enumerate(frozen.item_ids.tolist())}
  arms = np.array([arm.get(item_id, -1) for item_id in log.item_ids.tolist()])
  known = arms >= 0
  # Of -1, no candidate, the last item is asked, which does not count.
  offered = known[None] if log.candidates is None else known[log.candidates] & (log.candidates >= 0)
  row = int(np.argmin(offered.any(1)))
  if not offered[row].any():
    raise InputError(
      f'row {row}: the policy knows none of the items that it could choose from, such as '
      f'{str(log.item_ids[log.action[row]])!r}; give a log of the items that it learnt from, such '
      f'as {str(frozen.item_ids[0])!r}'
    )
  return arms


def with_items_of(frozen: FrozenPolicy, log: LoggedFeedback) -> LoggedFeedback:
  """The log with the items that it never chose, where the policy knows them.

  A log without a list of its items knows those that were chosen. Where that is fewer than there
  were to choose from, and those of the policy make it up, these are what there was.
  """
  missing = frozen.item_ids[~np.isin(frozen.item_ids, log.item_ids)]
  total = len(log.item_ids) + len(missing)
  is_listed = log.action_context is not None or log.expected_reward is not None
  if is_listed or log.candidates is not None or (log.num_candidates != total).any():
    return log
  return dataclasses.replace(log, item_ids=np.concatenate([log.item_ids, missing]))


def seen_by(frozen: FrozenPolicy, log: LoggedFeedback) -> tuple[np.ndarray, np.ndarray]:
  """(query [n, D], features [K, F], in the order of its arms) of a log as the policy reads them.

  Raises:
    InputError: the log has other columns than the policy learnt from.
  """
  context = context_of(log)
  num_features = len(frozen.item_ids)
  if log.action_context is not None:
    num_features = np.shape(log.action_context)[1]
  for name, found, known in (
    ('context', context.shape[1], frozen.query),
    ('action_context', num_features, frozen.features),
  ):
    if found != len(known.matrix):
      raise InputError(
        f'{name} has {found} columns in the log, and the policy learnt from {len(known.matrix)}; '
        'give a log with the same columns'
      )
  query = apply(frozen.query, context)
  if log.action_context is None:
    # One-hot columns of the items would read the rows of the matrix.
    return query, np.asarray(frozen.features.matrix) + np.asarray(frozen.features.offset)
  row = {item_id: index for index, item_id in enumerate(log.item_ids.tolist())}
  rows = np.array([row.get(item_id, -1) for item_id in frozen.item_ids.tolist()])
  actions = np.where(rows[:, None] >= 0, np.asarray(log.action_context)[rows], 0)
  return query, apply(frozen.features, actions)


def apply(affine: Affine, values: np.ndarray) -> np.ndarray:
  """values [..., C] -> [..., D] float32."""
  return np.asarray(values, np.float32) @ np.asarray(affine.matrix) + np.asarray(affine.offset)


def context_of(log: LoggedFeedback) -> np.ndarray:
  """[n, C], a column of ones where the log has no context."""
  return np.ones((len(log.action), 1)) if log.context is None else np.asarray(log.context)


def scale(values: np.ndarray) -> Affine:
  """The map to mean 0 and variance 1 of each column, as `logged_feedback.scaled`."""
  mean, spread = moments(values)
  factor = 1 / spread
  return Affine(jnp.asarray(np.diag(factor), jnp.float32), jnp.asarray(-mean * factor, jnp.float32))
