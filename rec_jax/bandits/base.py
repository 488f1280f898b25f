"""The contracts of the bandit core: Policy, Belief and Explorer.

Each is a NamedTuple of pure functions, after Optax. A key comes first wherever chance enters and
is consumed. All semantics are for one decision; batches come from `jax.vmap`.

  policy = combine(linear(), ucb(alpha=0.5))
  state = policy.init(key, ArmSpec(num_arms=N, num_candidates=K, query_dim=D, arm_dim=F))
  decision = policy.select(key, state, context)      # one context
  state = policy.update(key, state, feedback)        # B outcomes, rows in order

Nothing can be raised under jit; `rec_jax.bandits.host` checks what comes from outside.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from rec_jax.types import ArmSpec, Context, Decision, Feedback

State = Any
Info = Any
Range = tuple[float, float]

ANY_REWARD = (-np.inf, np.inf)
UNIT_REWARD = (0.0, 1.0)


def keep_state(key: jax.Array, state: State) -> State:
  """The `refresh` of what has nothing costly to do."""
  del key
  return state


def keep_arms(state: State, ids: jax.Array, features: jax.Array) -> State:
  """The `reset_arms` of what has no state of its own for an arm."""
  del ids, features
  return state


def keep_users(key: jax.Array, state: State, ids: jax.Array, spec: ArmSpec) -> State:
  """The `reset_users` of what has no state of its own for a user."""
  del key, ids, spec
  return state


def no_info(state: State, context: Context, index: jax.Array) -> Info:
  """The `info` of what needs nothing back but the feedback itself."""
  del state, context, index


class Policy(NamedTuple):
  """How to decide and how to learn from what came of it.

  Attributes:
    init: (key, spec) -> state; `state.num_rejected` [] int32 counts what was left out.
    select: (key, state, context) -> Decision, for ONE context; propensity is left NaN. Where the
      info grows with the spec, the host pads that of decisions before with zeros.
    update: (key, state, feedback) -> state; feedback has a leading [B], rows are applied in
      order, a row of weight 0 changes nothing, and a row that cannot be (see `reject`) is counted
      and changes nothing else.
    probabilities: (key, state, context) -> [K, L], the marginal of each candidate at each position.
    propensity: (key, state, context, decision) -> [L], of position l given those before it.
    refresh: (key, state) -> state, the costly part of learning; the rollout calls it on its own,
      unbatched round index.
    reset_arms: (state, ids [M], features [M, F]) -> state, puts slots back to the prior; ids
      outside [0, N) are counted.
    reset_users: (key, state, ids [M]) -> state, the same for users.
    propensity_is_exact: False where `propensity` is a Monte Carlo estimate.
    info: (state, context, index [L]) -> the info of a decision for these candidates, so that a
      policy can learn from choices that another one made; None where its own chance is in it.
    reward_range: lowest and highest reward that it can learn from.
  """

  init: Callable[[jax.Array, ArmSpec], State]
  select: Callable[[jax.Array, State, Context], Decision]
  update: Callable[[jax.Array, State, Feedback], State]
  probabilities: Callable[[jax.Array, State, Context], jax.Array]
  propensity: Callable[[jax.Array, State, Context, Decision], jax.Array]
  refresh: Callable[[jax.Array, State], State]
  reset_arms: Callable[[State, jax.Array, jax.Array], State]
  reset_users: Callable[[jax.Array, State, jax.Array], State]
  propensity_is_exact: bool
  info: Callable[[State, Context, jax.Array], Info] | None = None
  reward_range: Range = ANY_REWARD


class Belief(NamedTuple):
  """What is known about the expected reward of each candidate.

  Attributes:
    init: (key, spec) -> state.
    predict: (state, context) -> (mean [K], variance [K]) of the expected reward.
    sample: (key, state, context, num_samples M) -> [M, K], joint draws of the expected reward.
    update: (key, state, feedback) -> state; rows in order, weight 0 leaves every bit as it is.
    info: (state, context, index []) -> what the belief wants back with the outcome of candidate
      `index`, a pytree. It arrives as `feedback.info`, with a leading [B].
    refresh: (key, state) -> state, the costly part of learning.
    reset_arms: (state, ids [M], features [M, F]) -> state, puts slots back to the prior.
    reset_users: (key, state, ids [M], spec) -> state, the same for users.
    cdf: (state, context, x [Q, K]) -> [Q, K], the distribution function of each candidate's
      expected reward at its own Q points, where the candidates are independent, so that Thompson's
      propensity is a one-dimensional integral; None where they are not.
    is_normal: whether candidates are independent normals, of whom `predict` then says all and
      `cdf` is not given.
    members: (state, context) -> [M, K], where a draw is one of M equally likely members, so that
      Thompson's propensity is a count over them; None where it is not.
    reward_range: lowest and highest reward that it can learn from; `combine` keeps others away.
    learns_at_refresh: whether means stay as they are until `refresh`.
  """

  init: Callable[[jax.Array, ArmSpec], State]
  predict: Callable[[State, Context], tuple[jax.Array, jax.Array]]
  sample: Callable[[jax.Array, State, Context, int], jax.Array]
  update: Callable[[jax.Array, State, Feedback], State]
  info: Callable[[State, Context, jax.Array], Info] = no_info
  refresh: Callable[[jax.Array, State], State] = keep_state
  reset_arms: Callable[[State, jax.Array, jax.Array], State] = keep_arms
  reset_users: Callable[[jax.Array, State, jax.Array, ArmSpec], State] = keep_users
  cdf: Callable[[State, Context, jax.Array], jax.Array] | None = None
  is_normal: bool = False
  members: Callable[[State, Context], jax.Array] | None = None
  reward_range: Range = ANY_REWARD
  learns_at_refresh: bool = False


class Outlook(NamedTuple):
  """A belief at one context, all that an explorer sees of it.

  Attributes:
    mean: [K] expected reward.
    variance: [K] of the expected reward; costs nothing where an explorer does not read it.
    sample: (key, num_samples M) -> [M, K], joint draws.
    cdf: x [Q, K] -> [Q, K], or None where candidates are not independent (see `Belief.cdf`).
    members: [M, K] or None (see `Belief.members`); costs nothing where it is not read.
    is_normal: see `Belief.is_normal`.
  """

  mean: jax.Array
  variance: jax.Array
  sample: Callable[[jax.Array, int], jax.Array]
  cdf: Callable[[jax.Array], jax.Array] | None
  members: jax.Array | None = None
  is_normal: bool = False


class Explorer(NamedTuple):
  """How to choose the next position of a slate, given what is believed.

  `combine` calls `select` once a position with the positions before it masked, so a single item
  and a slate of L distinct items follow the same rule, and propensities are those of one choice.

  Attributes:
    init: (key, spec) -> state.
    select: (key, state, outlook, mask [K]) -> index [] int32, -1 where all are masked.
    probabilities: (key, state, outlook, mask [K]) -> [K], probability that `select` returns each.
    update: (state, feedback) -> state.
    is_exact: belief -> whether `probabilities` is exact, not a Monte Carlo estimate.
    watch: (state, change [], weight []) -> state, told of every row how far the belief's mean of
      the chosen candidate moved when the row was learnt; None for those that need not know.
    propensity: (key, state, outlook, mask [K], index []) -> [], what `probabilities` says of one
      candidate that is allowed, where that costs less than to say it of all; else None.
    reads_draws_alone: whether `select` looks at draws and nothing else, and passes over those that
      are not finite; `mask` then is that of the context, so that no mean is computed to look at.
  """

  init: Callable[[jax.Array, ArmSpec], State]
  select: Callable[[jax.Array, State, Outlook, jax.Array], jax.Array]
  probabilities: Callable[[jax.Array, State, Outlook, jax.Array], jax.Array]
  update: Callable[[State, Feedback], State]
  is_exact: Callable[[Belief], bool]
  watch: Callable[[State, jax.Array, jax.Array], State] | None = None
  propensity: Callable[[jax.Array, State, Outlook, jax.Array, jax.Array], jax.Array] | None = None
  reads_draws_alone: bool = False
