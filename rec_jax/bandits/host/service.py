"""A policy in operation: what arrives from outside is checked, journalled and applied."""

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from rec_jax.bandits.host import checks, journal, replay
from rec_jax.bandits.host.engine import Engine, Event
from rec_jax.bandits.host.pending import Choice
from rec_jax.bandits.host.slots import Id, Slots
from rec_jax.types import ArmSpec, Context, InputError

_LEAST_ROWS = 8


class Service:
  """One policy, the user's own ids, and decisions whose outcome is awaited.

  Rows for arms and users double in number when they run out, which compiles once more; candidates
  and rows of feedback are padded to powers of two, so that other numbers do not. The state is
  updated in place. Not for several threads at once.
  """

  def __init__(
    self,
    policy: str,
    *,
    arm_dim: int,
    query_dim: int = 0,
    slate_size: int = 1,
    seed: int = 0,
    max_pending: int = 100_000,
    **hyperparameters: Any,
  ):
    """Starts from the prior.

    Args:
      policy: name in the registry.
      arm_dim: F, features of an arm.
      query_dim: D, features of a user.
      slate_size: L, distinct arms of a decision.
      seed: of all chance.
      max_pending: decisions whose outcome is awaited; older ones expire.
      **hyperparameters: numbers or arrays, see `bandits.hyperparameters`.

    Raises:
      InputError: the policy or a hyperparameter is unknown, a value is out of its range, or the
        policy does not fit the sizes.
    """
    checks.check_sizes(1, arm_dim=arm_dim, slate_size=slate_size, max_pending=max_pending)
    checks.check_sizes(0, query_dim=query_dim, seed=seed)
    checks.check_plain(hyperparameters)
    spec = ArmSpec(_LEAST_ROWS, _LEAST_ROWS, query_dim, arm_dim, slate_size, _LEAST_ROWS)
    try:
      self._engine = Engine(policy, hyperparameters, spec, seed % 2**32, max_pending)
    except ValueError as error:
      raise InputError(str(error)) from error
    self._journal: journal.Journal | None = None

  @property
  def arms(self) -> tuple[Id, ...]:
    """The ids of all arms."""
    return tuple(self._engine.arms.of)

  @property
  def num_pending(self) -> int:
    """Decisions whose outcome is awaited."""
    return len(self._engine.pending)

  @property
  def num_ignored(self) -> int:
    """Outcomes that came for arms and users that were gone or had been reset."""
    return self._engine.num_ignored

  @property
  def propensity_is_exact(self) -> bool:
    """False where propensities are estimates, counted over draws of the policy."""
    return self._engine.policy.propensity_is_exact

  def add_arms(self, ids: Sequence[Id], features: ArrayLike) -> None:
    """Arms that may be chosen from now on.

    Args:
      ids: [M] strings or integers that no arm has.
      features: [M, F].

    Raises:
      InputError: an id is not new, features are misshapen or not finite, or the device has no room.
    """
    ids = self._engine.arms.plain(ids)
    checks.check_candidates('ids', ids)
    self._engine.arms.check_new(ids)
    table = checks.numbers('features', features, (len(ids), self._engine.spec.arm_dim))
    self._engine.check_room(num_arms=len(ids))
    self._do({'do': 'add_arms', 'ids': ids, 'features': table})

  def remove_arms(self, ids: Sequence[Id]) -> None:
    """Arms that are gone; outcomes still to come for them teach nobody.

    Raises:
      InputError: an id is unknown or given twice.
    """
    self._change(self._engine.arms, 'remove_arms', ids)

  def reset_arms(self, ids: Sequence[Id]) -> None:
    """Forgets what was learnt of arms; outcomes of earlier decisions for them teach nobody.

    Raises:
      InputError: an id is unknown or given twice.
    """
    self._change(self._engine.arms, 'reset_arms', ids)

  def reset_users(self, ids: Sequence[Id]) -> None:
    """Forgets users and what was learnt of each alone; outcomes to come for them teach nobody.

    Raises:
      InputError: an id is unknown or given twice.
    """
    self._change(self._engine.users, 'reset_users', ids)

  def refresh(self) -> None:
    """The costly part of learning, such as the fit of a network."""
    self._do({'do': 'refresh'})

  def decide(
    self,
    user: Id = 0,
    query: ArrayLike = (),
    *,
    arms: Sequence[Id] | None = None,
    features: ArrayLike | None = None,
    with_propensity: bool = False,
  ) -> Choice:
    """Chooses for a user, who need not be known.

    Args:
      user: id.
      query: [D].
      arms: ids to choose from; all if not given.
      features: [K, F] of those arms, for this decision; as added if not given.
      with_propensity: says how probable the choice was, which can cost more than to choose.

    Raises:
      InputError: an arm is unknown or given twice, there is none, or numbers are misshapen or not
        finite.
    """
    context, names = self._context(user, query, arms, features)
    user = self._engine.users.one(user)
    decision = self._engine.decide(context, with_propensity)
    if user not in self._engine.users.of:
      self._engine.check_room(num_users=1)
      self._do({'do': 'add_user', 'id_': user})
    number = self._engine.count
    self._do(self._engine.decision_event(context, decision))
    shown = tuple(names[i] if i >= 0 else None for i in decision.index.tolist())
    return Choice(number, shown, np.asarray(decision.propensity) if with_propensity else None)

  def learn(self, decisions: Sequence[int], rewards: ArrayLike) -> int:
    """Learns what came of decisions, however late, in any order, each once.

    When it returns, the outcomes are in the journal, on the disk.

    Args:
      decisions: [B] numbers of decisions.
      rewards: [B], or [B, L] with NaN where the outcome of a position is not known.

    Returns:
      How many outcomes were learnt: those of arms and users that are gone are left out.

    Raises:
      InputError: an outcome is not awaited, a number is given twice, or a reward is misshapen, not
        finite or outside what the policy is made for; then nothing is learnt.
    """
    engine = self._engine
    numbers = engine.pending.check(decisions)
    if not numbers:
      return 0
    table = checks.rewards(
      rewards, len(numbers), engine.spec.slate_size, engine.policy.reward_range
    )
    return self._do({'do': 'learn', 'decisions': numbers, 'rewards': table}, sync=True)

  def probabilities(
    self,
    user: Id = 0,
    query: ArrayLike = (),
    *,
    arms: Sequence[Id] | None = None,
    features: ArrayLike | None = None,
  ) -> dict[Id, np.ndarray]:
    """Of each arm [L], its chance at each position; changes nothing. Arguments as of `decide`."""
    context, names = self._context(user, query, arms, features)
    table = self._engine.probabilities(context)
    if arms is not None:
      return dict(zip(names, table[: len(names)], strict=True))
    return {each: table[row] for each, row in self._engine.arms.of.items()}

  def propensity(
    self,
    shown: Sequence[Id],
    user: Id = 0,
    query: ArrayLike = (),
    *,
    arms: Sequence[Id] | None = None,
    features: ArrayLike | None = None,
  ) -> np.ndarray:
    """[L] how probable it is now to show these arms in this order, each given those before it.

    Other arguments as of `decide`.
    """
    slots = self._engine.arms
    shown, arms = slots.plain(shown), None if arms is None else slots.plain(arms)
    checks.check_candidates('shown', shown, self._engine.spec.slate_size)
    slots.rows(shown)
    checks.check_shown(shown, arms)
    context, names = self._context(user, query, arms, features)
    index = [names.index(each) for each in shown]
    return self._engine.propensity(context, np.array(index, np.int32))

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes a snapshot; what comes after it goes to the journal beside it."""
    self._journal = journal.save(directory, self._engine.to_plain(), self._journal)

  def close(self) -> None:
    """Lets go of the directory, so that another process may load it; then this one is done."""
    if self._journal:
      self._journal.close()

  is_saved = staticmethod(journal.is_saved)

  @classmethod
  def load(cls, directory: str | os.PathLike[str]) -> Self:
    """The service as it was when its process ended, however it ended.

    Raises:
      InputError: there is no snapshot, it is damaged, or of another version.
    """
    service = cls.__new__(cls)
    service._engine, service._journal = replay.load(directory)
    return service

  def _do(self, event: Event, *, sync: bool = False) -> Any:
    """The event is in the journal before anybody can be told of it, unless it cannot be applied."""
    self._engine.check_whole()
    is_written = False
    try:
      if self._journal:
        self._journal.write(event, sync=sync)
      is_written = True
      result = self._engine.apply(event)
    except BaseException as error:
      # Only of an event that could not be written is it known that nothing has changed.
      if is_written or not isinstance(error, Exception):
        self._engine.failure = error
      # Where it failed it would fail again, and nobody could load what stands before it.
      if is_written and isinstance(error, Exception) and self._journal:
        self._journal.take_back()
      raise
    if self._journal:
      self._journal.tell()
    return result

  def _change(self, slots: Slots, change: str, ids: Sequence[Id]) -> None:
    ids = slots.plain(ids)
    checks.check_candidates('ids', ids)
    slots.rows(ids)
    self._do({'do': change, 'ids': ids})

  def _context(
    self,
    user: Id,
    query: ArrayLike,
    arms: Sequence[Id] | None,
    features: ArrayLike | None,
  ) -> tuple[Context, list[Any]]:
    """A context, and ids of its candidates before padding, None for a row without an arm."""
    engine = self._engine
    query = checks.numbers('query', query, (engine.spec.query_dim,))
    rows = None
    if arms is not None:
      arms, rows = engine.arms.known(arms)
      # Of ten thousand rows this takes a tenth of the time that a set of their ids does.
      if not len(rows) or np.bincount(rows).max() > 1:
        checks.check_candidates('arms', arms)
    elif not engine.arms.of:
      raise InputError('there is no arm to choose from; give some to add_arms')
    if features is not None:
      if rows is None:
        raise InputError('features: say of which arms they are')
      features = checks.numbers('features', features, (len(rows), engine.spec.arm_dim))
    user = engine.users.one(user)
    # The lowest free row is as it starts, and the one that a new user will get.
    row = engine.users.of.get(user, engine.users.free[0])
    context = engine.context(row, query, rows, features)
    return context, engine.arms.owner if arms is None else arms
