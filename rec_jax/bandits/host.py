"""One decision at a time from outside of jit, with every input checked.

  state = policy.init(key, spec)
  decision = host.select(key, policy, spec, state, context)
  state = host.update(key, policy, spec, state, feedback)

Under jit nothing can be raised: there `select` answers -1 where all candidates are masked, and
`update` counts the rows that are not finite and leaves them out. Here both are an error.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.bandits.base import Policy, State
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError


def select(
  key: jax.Array, policy: Policy, spec: ArmSpec, state: State, context: Context
) -> Decision:
  """`policy.select` on one checked context. Compiled once for each policy object and `spec`.

  Args:
    key: consumed.
    policy: decides.
    spec: what `state` was made for.
    state: of the policy.
    context: arrays of JAX or NumPy; NaN is allowed in what is masked.

  Returns:
    The decision; of a slate, positions for which no candidate is left are -1.

  Raises:
    InputError: every candidate is masked, a shape or type is wrong, an id is out of range, or a
      feature is NaN or infinite.
  """
  num_candidates = spec.num_candidates
  _check_shapes(
    'context',
    context,
    {
      'user_id': (),
      'query': (spec.query_dim,),
      'features': (num_candidates, spec.arm_dim),
      'arm_ids': (num_candidates,),
      'mask': (num_candidates,),
    },
  )
  mask = np.asarray(context.mask)
  if mask.dtype != bool:
    raise InputError(
      f'context.mask holds {mask.dtype}; give True for each candidate to choose from'
    )
  if not mask.any():
    raise InputError(
      f'context.mask: all {num_candidates} candidates are masked; leave at least one to choose from'
    )
  _check_ids('context.user_id', context.user_id, spec.num_users)
  _check_ids('context.arm_ids', context.arm_ids, spec.num_arms)
  _check_finite('context.query', context.query)
  _check_finite('context.features', context.features, mask)
  return _select(key, policy, state, context)


def update(
  key: jax.Array, policy: Policy, spec: ArmSpec, state: State, feedback: Feedback
) -> State:
  """`policy.update` on checked feedback. Compiled once for each policy object, `spec` and B.

  Args:
    key: consumed.
    policy: learns.
    spec: what `state` was made for.
    state: of the policy.
    feedback: of B rows, arrays of JAX or NumPy; a propensity of NaN says that none was recorded.

  Returns:
    The state after.

  Raises:
    InputError: a shape or type is wrong, a number is NaN or infinite, a weight is negative,
      an id is out of range, a propensity is outside (0, 1], or `info` is not what `select` gave.
  """
  shape = np.shape(feedback.reward)
  if len(shape) != 1:
    raise InputError(f'feedback.reward has shape {shape}; expected one number a row, (B,)')
  (num_rows,) = column = shape
  _check_shapes(
    'feedback',
    feedback,
    {
      'user_id': column,
      'query': (num_rows, spec.query_dim),
      'features': (num_rows, spec.arm_dim),
      'arm_id': column,
      'propensity': column,
      'weight': column,
    },
  )
  for name in ('query', 'features', 'reward', 'weight'):
    _check_finite(f'feedback.{name}', getattr(feedback, name))
  weight = np.asarray(feedback.weight)
  _check_rows('feedback.weight', weight, weight >= 0, 'is negative')
  # A position that nothing was shown at has weight 0, arm -1 and propensity 0.
  padding = weight == 0
  _check_ids('feedback.user_id', feedback.user_id, spec.num_users, padding)
  _check_ids('feedback.arm_id', feedback.arm_id, spec.num_arms, padding)
  propensity = np.asarray(feedback.propensity)
  possible = np.isnan(propensity) | ((propensity > 0) & (propensity <= 1)) | padding
  _check_rows('feedback.propensity', propensity, possible, 'is not in (0, 1]')
  _check_info(policy, spec, feedback.info, num_rows)
  return _update(key, policy, state, feedback)


@functools.partial(jax.jit, static_argnames='policy')
def _select(key: jax.Array, policy: Policy, state: State, context: Context) -> Decision:
  return policy.select(key, state, context)


@functools.partial(jax.jit, static_argnames='policy')
def _update(key: jax.Array, policy: Policy, state: State, feedback: Feedback) -> State:
  return policy.update(key, state, feedback)


def _check_shapes(what: str, value: Any, shapes: dict[str, tuple[int, ...]]) -> None:
  for name, wanted in shapes.items():
    shape = np.shape(getattr(value, name))
    if shape != wanted:
      raise InputError(f'{what}.{name} has shape {shape}; expected {wanted}, see ArmSpec')


def _check_ids(name: str, ids: Any, size: int, padding: ArrayLike = False) -> None:
  ids = np.asarray(ids)
  if not np.issubdtype(ids.dtype, np.integer):
    raise InputError(f'{name} holds {ids.dtype}; give integers in 0..{size - 1}')
  _check_rows(name, ids, (ids >= 0) & (ids < size) | padding, f'is not in 0..{size - 1}')


def _check_finite(name: str, values: Any, mask: np.ndarray | None = None) -> None:
  values = np.asarray(values)
  finite = np.isfinite(values)
  if mask is not None:
    finite |= ~mask[:, None]
  _check_rows(name, values, finite, 'is not finite; leave the row out or mend it')


def _check_rows(name: str, values: Any, right: np.ndarray, complaint: str) -> None:
  """Raises on the first entry that is not right."""
  if not right.all():
    place = tuple(int(i) for i in np.argwhere(~right)[0])
    at = f'[{", ".join(map(str, place))}]' if place else ''
    raise InputError(f'{name}{at} = {np.asarray(values)[place]} {complaint}')


def _check_info(policy: Policy, spec: ArmSpec, info: Any, num_rows: int) -> None:
  leaves, structure = jax.tree.flatten(_info(policy, spec))
  if not leaves:
    return
  if jax.tree.structure(info) != structure:  # type: ignore[operator]
    raise InputError(
      'feedback.info is not what this policy wants back; hand it decision.info of `select`'
    )
  for leaf, one in zip(jax.tree.leaves(info), leaves, strict=True):
    if np.shape(leaf) != (num_rows, *one.shape[1:]):
      raise InputError(
        f'feedback.info has a leaf of shape {np.shape(leaf)}; '
        f'expected {(num_rows, *one.shape[1:])}, one row for each reward'
      )


@functools.lru_cache(maxsize=64)
def _info(policy: Policy, spec: ArmSpec) -> Any:
  """The shapes of `decision.info`, whose leaves have a leading [L]; nothing is computed."""

  def info() -> Any:
    key = jax.random.key(0)
    context = Context(
      user_id=jnp.zeros((), jnp.int32),
      query=jnp.zeros(spec.query_dim),
      features=jnp.zeros((spec.num_candidates, spec.arm_dim)),
      arm_ids=jnp.zeros(spec.num_candidates, jnp.int32),
      mask=jnp.ones(spec.num_candidates, bool),
    )
    return policy.select(key, policy.init(key, spec), context).info

  return jax.eval_shape(info)
