"""A bandit policy of the registry in the place of the best logits.

The policy sees what it sees in the stage `explore`: features from the item vectors of the model,
and the popularity of items before the cut as its prior. It learns the history of the user, one
reward an event, and then chooses among what is left.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax import bandits
from rec_jax.bandits import item_prior
from rec_jax.bandits.item_prior import ItemPrior
from rec_jax.models.features import candidate_features
from rec_jax.retrieval.padding import Batch
from rec_jax.types import ArmSpec, Context, Feedback, InputError

# Among the settings that the stage `explore` tunes, of those that it chose on MovieLens-100k.
LAMBDA = 20.0
# Policies whose belief is the model itself: they read user and item vectors as they are.
_OF_MODEL = 'two_tower_'


@struct.dataclass
class Arms:
  """What policies know of C items.

  Attributes:
    features: [C, F].
    a0: [C] and
    b0: [C], prior successes and failures.
    num_events: [C] before the cut.
  """

  features: jax.Array
  a0: jax.Array
  b0: jax.Array
  num_events: jax.Array


def arms(vectors: np.ndarray, prior: ItemPrior, num_features: int, capacity: int) -> Arms:
  """Of N items with vectors [N, W], in C = `capacity` rows; those beyond the prior are new.

  Raises:
    InputError: a vector is not finite.
  """
  missing = len(vectors) - len(prior.a0)
  a0, b0 = (
    np.pad(each, (0, missing), constant_values=value)
    for each, value in zip((prior.a0, prior.b0), item_prior.NEW_ITEM, strict=True)
  )
  features = candidate_features(vectors, a0 / (a0 + b0), min(num_features, vectors.shape[1]))
  if not np.isfinite(features).all():
    raise InputError('the features of items are not all finite numbers: the model is damaged')
  rest = capacity - len(vectors)

  def filled(array: np.ndarray, value: float, number: int) -> jax.Array:
    return jnp.asarray(np.pad(array, (0, number), constant_values=value), jnp.float32)

  return Arms(
    features=jnp.asarray(np.pad(features, ((0, rest), (0, 0)))),
    a0=filled(a0, 1.0, rest),
    b0=filled(b0, 1.0, rest),
    num_events=filled(prior.num_events, 0.0, missing + rest),
  )


def reads_model(policy: str) -> bool:
  """Whether a policy reads item vectors as they are in place of features."""
  return policy.startswith(_OF_MODEL)


def settings_of(policy: str, given: Mapping[str, float]) -> dict[str, float]:
  """The hyperparameters of a policy, with defaults for this use.

  Raises:
    InputError: the policy or a hyperparameter is unknown, a value out of its range, or the policy
      cannot learn from choices that it has not made itself.
  """
  known = bandits.hyperparameters(policy)
  settings = dict(given) if 'lambda_' not in known else {'lambda_': LAMBDA} | dict(given)
  # Made once outside of any trace, where ranges are checked.
  if bandits.make(policy, **settings).info is None:
    raise InputError(f'{policy} learns only from its own choices: a history teaches it nothing')
  return settings


def chosen(
  policy: str,
  settings: Mapping[str, float],
  k: int,
  key: jax.Array,
  known: Arms,
  query: jax.Array,
  part: Batch,
  mask: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """`choose` for the first user of a batch.

  Args:
    policy: name in the registry.
    settings: all that `settings_of` says.
    k: how many items.
    key: of all chance.
    known: C items.
    query: [D], the user vector.
    part: whose first user asks.
    mask: [C] bool, what anybody may be shown.

  Raises:
    InputError: the policy can choose fewer than k.
  """
  sizes = tuple(sorted(item for item in settings.items() if not isinstance(item[1], float)))
  numbers = {name: jnp.float32(each) for name, each in settings.items() if isinstance(each, float)}
  open_ = mask.copy()
  open_[part.excluded[0][part.excluded[0] < len(mask)]] = False
  history, rewards = (jnp.asarray(each)[0] for each in part.asked[:2])
  found = choose(policy, sizes, k, key, numbers, known, query, history, rewards, open_)
  rows, propensity = (np.asarray(each) for each in found)
  if (rows < 0).any():
    raise InputError(f'{policy} expects no finite reward of {k} items: give it other settings')
  return rows, propensity


@functools.partial(jax.jit, static_argnames=('policy', 'sizes', 'k'))
def choose(
  policy: str,
  sizes: tuple[tuple[str, int], ...],
  k: int,
  key: jax.Array,
  settings: Mapping[str, jax.Array],
  known: Arms,
  query: jax.Array,
  history: jax.Array,
  rewards: jax.Array,
  mask: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """What a policy shows one user, and how probable that was.

  Args:
    policy: name in the registry.
    sizes: hyperparameters that are whole numbers, such as of samples.
    k: how many, one after the other.
    key: of all chance.
    settings: the others; other values compile nothing.
    known: C items.
    query: [D], the user vector of the model.
    history: [L] int32, row + 1 in order of time, 0 for padding.
    rewards: [L] int32, 1 where the user liked the item.
    mask: [C] bool, the candidates.

  Returns:
    [k] rows, -1 where nothing is left, and [k] the propensity of each given those before it.
  """
  made = bandits.make(policy, **_with_prior(policy, settings, known), **dict(sizes))
  num_arms, num_features = known.features.shape
  spec = ArmSpec(num_arms, num_arms, len(query), num_features, k, 1)
  start, learn, refresh, select, judge = jax.random.split(key, 5)
  state = made.init(start, spec)
  context = Context(jnp.int32(0), query, known.features, jnp.arange(num_arms), mask)
  row = jnp.maximum(history - 1, 0)
  weight = (history > 0).astype(jnp.float32)
  assert made.info is not None  # `settings_of` has looked.
  feedback = Feedback(
    user_id=jnp.zeros(len(history), jnp.int32),
    query=jnp.broadcast_to(query, (len(history), len(query))),
    features=known.features[row],
    arm_id=row,
    propensity=jnp.ones(len(history)),
    reward=rewards.astype(jnp.float32),
    weight=weight,
    info=made.info(state, context, row),
  )
  state = made.refresh(refresh, made.update(learn, state, feedback))
  decision = made.select(select, state, context)
  return decision.index, made.propensity(judge, state, context, decision)


def _with_prior(
  policy: str, settings: Mapping[str, jax.Array], known: Arms
) -> dict[str, jax.Array | float]:
  """The settings and, of what the world says beforehand, all that the policy can be told."""
  names = bandits.hyperparameters(policy)
  prior: dict[str, jax.Array | float] = {
    'a0': known.a0,
    'b0': known.b0,
    'noise_variance': item_prior.NOISE_VARIANCE,
  }
  if 'item_variance' in names:
    prior |= item_prior.doubt(known.features, known.num_events, settings['lambda_'])
  return {name: value for name, value in prior.items() if name in names} | dict(settings)
