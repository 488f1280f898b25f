"""The state of a service and the events that change it; the same events give the same state."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np

from rec_jax import bandits
from rec_jax.bandits.host import programs
from rec_jax.bandits.host.pending import Pending, Waiting, fitted
from rec_jax.bandits.host.programs import Clock
from rec_jax.bandits.host.slots import Id, Slots
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

Event = dict[str, Any]


class Engine:
  """Applies events, each of which has been checked.

  Attributes:
    policy: what decides.
    spec: its sizes now.
    state: of the policy, on the device; events replace it.
    arms: rows of arms.
    users: rows of users.
    pending: decisions whose outcome is awaited.
    count: decisions and other events that need chance so far; the number of the next decision.
    num_ignored: outcomes that came for arms and users that were gone.
    failure: what interrupted an event, after which nothing else is done.
  """

  def __init__(
    self, name: str, hyperparameters: dict[str, Any], spec: ArmSpec, seed: int, max_pending: int
  ):
    self.name, self.hyperparameters = name, hyperparameters
    self.policy = bandits.make(name, **hyperparameters)
    self.spec, self.seed = spec, seed
    programs.decision_shape(self.policy, spec)
    self.state = programs.init(self.policy, spec, np.uint32(seed))
    self.arms = Slots.empty('arm', spec.num_arms)
    self.users = Slots.empty('user', spec.num_users)
    self.pending = Pending(max_pending)
    self.count = self.num_ignored = 0
    self.failure: BaseException | None = None
    self._features = np.zeros((spec.num_arms, spec.arm_dim), np.float32)
    self._catalogue: tuple[jax.Array, ...] | None = None

  @property
  def clock(self) -> Clock:
    return Clock(np.uint32(self.seed), np.uint32(self.count % 2**32))

  def context(
    self,
    user_row: int,
    query: Any,
    rows: np.ndarray | None,
    features: np.ndarray | None,
  ) -> Context:
    """A context over all arms, or over some [K], padded by masked candidates."""
    user_id: Any = np.int32(user_row)
    if rows is None:
      return Context(user_id, query, *self._all_arms())
    if features is None:
      features = self._features[rows]
    size = programs.padded(len(rows))
    table: Any = np.zeros((size, self.spec.arm_dim), np.float32)
    table[: len(rows)] = features
    arm_ids: Any = np.zeros(size, np.int32)
    arm_ids[: len(rows)] = rows
    mask: Any = np.arange(size) < len(rows)
    return Context(user_id, query, table, arm_ids, mask)

  def decide(self, context: Context, with_propensity: bool) -> Decision:
    """A decision as NumPy arrays; nothing changes until its event is applied."""
    decided = programs.decide(self.policy, with_propensity, self.clock, self.state, context)
    return jax.device_get(decided)

  def probabilities(self, context: Context) -> np.ndarray:
    """[K, L]."""
    return np.asarray(programs.probabilities(self.policy, self.clock, self.state, context))

  def propensity(self, context: Context, index: np.ndarray) -> np.ndarray:
    """[L] of a slate of candidates `index` [L]."""
    shape = programs.decision_shape(self.policy, self.spec)
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shape)
    decision = dataclasses.replace(empty, index=index, arm_id=np.asarray(context.arm_ids)[index])
    return np.asarray(programs.propensity(self.policy, self.clock, self.state, context, decision))

  def decision_event(self, context: Context, decision: Decision) -> Event:
    """What is remembered of a decision."""
    row, index = int(context.user_id), np.asarray(decision.index)
    shown = np.where(index < 0, -1, decision.arm_id)
    waiting = Waiting(
      user=np.array([row, self.users.generation[row]], np.int64),
      arms=np.stack([shown, self.arms.generation[shown]], axis=1),
      query=np.asarray(context.query),
      features=self._features_of(context, index),
      propensity=np.asarray(decision.propensity),
      info=jax.tree.leaves(decision.info),
    )
    return {'do': 'decide', **waiting.to_plain()}

  def check_room(self, num_arms: int = 0, num_users: int = 0) -> None:
    """Raises InputError where the policy has no room for so many more, or cannot grow."""
    programs.decision_shape(self.policy, self._room_for(num_arms, num_users))

  def apply(self, event: Event) -> Any:
    """Changes the state as the event says; of `learn`, how many outcomes were learnt."""
    values = dict(event)
    return getattr(self, f'_{values.pop("do")}')(**values)

  def check_whole(self) -> None:
    """Raises InputError where an event was interrupted, so that it may be applied in part."""
    if self.failure is not None:
      raise InputError(
        f'the service was interrupted ({type(self.failure).__name__}) and is not whole; load it'
      )

  def _add_user(self, id_: Id) -> None:
    self._grow(self._room_for(0, 1))
    self.users.add([id_])

  def _add_arms(self, ids: list[Id], features: np.ndarray) -> None:
    self._grow(self._room_for(len(ids), 0))
    rows = self.arms.add(ids)
    self._features[rows] = features
    self._catalogue = None
    self._put_back(rows)

  def _remove_arms(self, ids: list[Id]) -> None:
    self.arms.remove(ids)
    self._catalogue = None

  def _reset_arms(self, ids: list[Id]) -> None:
    rows = self.arms.rows(ids)
    self.arms.generation[rows] += 1
    self._put_back(rows)

  def _reset_users(self, ids: list[Id]) -> None:
    rows = self.users.rows(ids)
    self.users.remove(ids)
    self.state = programs.reset_users(self.policy, self.clock, self.state, _repeated(rows))
    self.count += 1

  def _refresh(self) -> None:
    self.state = programs.refresh(self.policy, self.clock, self.state)
    self.count += 1

  def _decide(self, **waiting: Any) -> None:
    self.pending.add(self.count, Waiting(**waiting))
    self.count += 1

  def _learn(self, decisions: list[int], rewards: np.ndarray) -> int:
    waiting = self.pending.take(decisions)
    feedback = self._feedback(waiting, rewards)
    self.state = programs.update(self.policy, self.clock, self.state, feedback)
    self.count += 1
    num_learnt = int(np.count_nonzero(feedback.weight))
    num_known = sum(
      int(np.count_nonzero((each.arms[:, 0] >= 0) & ~np.isnan(row)))
      for each, row in zip(waiting, rewards, strict=True)
    )
    self.num_ignored += num_known - num_learnt
    return num_learnt

  def _feedback(self, waiting: list[Waiting], rewards: np.ndarray) -> Feedback:
    """Rows [B * L] and padding up to a power of two."""
    slate_size = self.spec.slate_size
    num_rows = len(waiting) * slate_size
    size = programs.padded(num_rows)

    def column(values: Sequence[np.ndarray]) -> np.ndarray:
      first = np.asarray(values[0])
      table = np.zeros((size, *first.shape[1:]), first.dtype)
      table[:num_rows] = np.concatenate(values)
      return table

    user = column([np.repeat(each.user[None], slate_size, axis=0) for each in waiting])
    arms = column([each.arms for each in waiting])
    reward = column([*rewards.astype(np.float32)])
    is_theirs = self.users.generation[user[:, 0]] == user[:, 1]
    is_theirs &= self.arms.generation[arms[:, 0]] == arms[:, 1]
    counts = (np.arange(size) < num_rows) & (arms[:, 0] >= 0) & ~np.isnan(reward) & is_theirs
    shapes, structure = jax.tree.flatten(programs.decision_shape(self.policy, self.spec).info)
    infos = zip(*(each.info for each in waiting), strict=True)
    info = [
      column([fitted(leaf, shape.shape) for leaf in leaves])
      for leaves, shape in zip(infos, shapes, strict=True)
    ]
    columns: dict[str, Any] = {
      'user_id': user[:, 0].astype(np.int32),
      'query': column([np.repeat(each.query[None], slate_size, axis=0) for each in waiting]),
      'features': column([each.features for each in waiting]),
      'arm_id': np.maximum(arms[:, 0], 0).astype(np.int32),
      'propensity': column([each.propensity for each in waiting]),
      'reward': np.where(counts, reward, 0).astype(np.float32),
      'weight': counts.astype(np.float32),
      'info': jax.tree.unflatten(structure, info),
    }
    return Feedback(**columns)

  def _all_arms(self) -> tuple[jax.Array, ...]:
    """Features, ids and mask of all rows, on the device until an arm comes or goes."""
    if self._catalogue is None:
      is_arm = np.zeros(self.spec.num_arms, bool)
      is_arm[list(self.arms.of.values())] = True
      ids = np.arange(self.spec.num_arms, dtype=np.int32)
      # Copies: features are written to when arms come.
      self._catalogue = tuple(map(jax.numpy.array, (self._features, ids, is_arm)))
    return self._catalogue

  def _features_of(self, context: Context, index: np.ndarray) -> np.ndarray:
    """[L, F]."""
    is_catalogue = self._catalogue is not None and context.features is self._catalogue[0]
    return (self._features if is_catalogue else np.asarray(context.features))[index]

  def _put_back(self, rows: np.ndarray) -> None:
    rows = _repeated(rows)
    self.state = programs.reset_arms(self.policy, self.state, rows, self._features[rows])

  def _room_for(self, num_arms: int, num_users: int) -> ArmSpec:
    """The sizes with room for so many more, each a doubling of what it is now.

    A row of a user always stays free, by which users are answered whom nobody knows yet.
    """
    arms, users = self.spec.num_arms, self.spec.num_users
    while arms < len(self.arms.of) + num_arms:
      arms *= 2
    while users <= len(self.users.of) + num_users:
      users *= 2
    return self.spec._replace(num_arms=arms, num_candidates=arms, num_users=users)

  def _grow(self, spec: ArmSpec) -> None:
    if spec == self.spec:
      return
    self.spec = spec
    self.state = programs.grown(self.policy, self.spec, np.uint32(self.seed), self.state)
    self.users.grow(self.spec.num_users)
    if self.spec.num_arms > self.arms.capacity:
      added = self.spec.num_arms - self.arms.capacity
      self._features = np.concatenate(
        [self._features, np.zeros((added, self.spec.arm_dim), np.float32)]
      )
      self.arms.grow(self.spec.num_arms)
      self._catalogue = None

  def to_plain(self) -> dict[str, Any]:
    """What a snapshot holds."""
    self.check_whole()
    return {
      'policy': self.name,
      'hyperparameters': {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in self.hyperparameters.items()
      },
      'spec': list(self.spec),
      'seed': self.seed,
      'max_pending': self.pending.limit,
      'count': self.count,
      'num_ignored': self.num_ignored,
      'arms': self.arms.to_plain(),
      'users': self.users.to_plain(),
      'features': self._features,
      'pending': [{'number': number, **each.to_plain()} for number, each in self.pending.items()],
      'state': {name: np.asarray(leaf) for name, leaf in programs.leaves(self.state).items()},
    }

  @classmethod
  def from_plain(cls, plain: dict[str, Any]) -> Self:
    """The inverse of `to_plain`.

    Raises:
      InputError: the state is not one that the policy has now.
    """
    engine = cls(
      plain['policy'],
      {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain['hyperparameters'].items()
      },
      ArmSpec(*plain['spec']),
      plain['seed'],
      plain['max_pending'],
    )
    engine.state = programs.restored(engine.state, plain['state'])
    engine.count, engine.num_ignored = plain['count'], plain['num_ignored']
    engine.arms = Slots.from_plain('arm', plain['arms'])
    engine.users = Slots.from_plain('user', plain['users'])
    engine._features = plain['features'].copy()
    for each in plain['pending']:
      engine.pending.add(each.pop('number'), Waiting(**each))
    return engine


def _repeated(rows: np.ndarray) -> np.ndarray:
  """Padded to a power of two by the first row again, for which twice is as good as once."""
  return np.concatenate([rows, np.repeat(rows[:1], programs.padded(len(rows)) - len(rows))])
