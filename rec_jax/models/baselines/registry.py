"""Every baseline by its name: how it is fitted, what it scores, what there is to tune."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from rec_jax.models.baselines import (
  bpr_mf,
  ease,
  factorisation_machine,
  gru4rec,
  ials,
  item_knn,
  lightgcn,
  popularity,
  pure_svd,
  recent_popularity,
  slim,
  svd_biases,
  user_knn,
)
from rec_jax.models.baselines.events import Events
from rec_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Range:
  """The values that a setting may take in tuning.

  Attributes:
    default: what it is without tuning; the first trial.
    low: least value.
    high: largest value.
    is_log: whether values are drawn evenly by their logarithm.
    steps: if positive, values are `low` times powers of this number: 2 for widths.
  """

  default: float
  low: float
  high: float
  is_log: bool = True
  steps: int = 0

  def draw(self, rng: np.random.Generator) -> float:
    """A value; whole where the default is."""
    if self.steps:
      powers = round(math.log(self.high / self.low, self.steps))
      value = self.low * self.steps ** int(rng.integers(powers + 1))
    elif self.is_log:
      value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
    else:
      value = rng.uniform(self.low, self.high)
    return round(value) if isinstance(self.default, int) else float(value)


Hyperparameters = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Baseline:
  """A kind of model.

  Attributes:
    title: its name in a table.
    fit: (key, events, settings by keyword) -> params.
    scores: (params, histories [B, L], settings of `scored` by keyword) -> [B, N] float32.
    space: what is tuned.
    scored: settings that are of `scores` and not of `fit`.
    num_bytes: (U, N) -> bytes that a fit takes where these grow as a square.
    user_scores: (params, users [B]) -> [B, N], of users who were fitted, where there is such a way.
  """

  title: str
  fit: Callable[..., Any]
  scores: Callable[..., jax.Array]
  space: Mapping[str, Range] = dataclasses.field(default_factory=dict)
  scored: tuple[str, ...] = ()
  num_bytes: Callable[[int, int], int] = lambda num_users, num_items: 0
  user_scores: Callable[[Any, ArrayLike], jax.Array] | None = None

  @property
  def defaults(self) -> dict[str, float]:
    """The settings of the first trial."""
    return {name: each.default for name, each in self.space.items()}

  def fitted(
    self, key: jax.Array, events: Events, settings: Hyperparameters
  ) -> Callable[[ArrayLike], jax.Array]:
    """Histories -> scores of a model that has been fitted under these settings."""
    asked = {name: value for name, value in settings.items() if name in self.scored}
    fit = {name: value for name, value in settings.items() if name not in self.scored}
    params = self.fit(key, events, **fit)
    return lambda histories: self.scores(params, histories, **asked)


def get(name: str) -> Baseline:
  """The baseline of a name.

  Raises:
    InputError: there is none.
  """
  if name not in BASELINES:
    raise InputError(f'no baseline "{name}": the names are {", ".join(BASELINES)}')
  return BASELINES[name]


def left_out(name: str, num_users: int, num_items: int, limit: float) -> str:
  """One line that says why a baseline is left out, or nothing where it fits into memory.

  Args:
    name: of the baseline.
    num_users: U.
    num_items: N.
    limit: bytes that a fit may take; such as half of `host.memory`.
  """
  needed = get(name).num_bytes(num_users, num_items)
  if needed <= limit:
    return ''
  return f'{name} of {num_items:,} items takes {needed:,} bytes, more than {limit:,.0f}: left out'


def _popularity(key: jax.Array, events: Events) -> popularity.Popularity:
  del key
  reward = np.ones(len(events.item))
  return popularity.fit(events.item, reward, events.num_users, events.num_items)


def _ease(key: jax.Array, events: Events, *, lambda_: float) -> jax.Array:
  del key
  return ease.fit(events.user, events.item, events.num_items, lambda_=lambda_)


def _without_chance(fit: Callable[..., Any]) -> Callable[..., Any]:
  def with_key(key: jax.Array, events: Events, **settings: float) -> Any:
    del key
    return fit(events, **settings)

  return with_key


_DIM = Range(64, 16, 256, steps=2)
_RATE = Range(3e-3, 3e-4, 3e-2)
_L2 = Range(1e-4, 1e-6, 1e-1)
BASELINES = {
  'popularity': Baseline('popularity', _popularity, jax.jit(popularity.scores)),
  'recent_popularity': Baseline(
    'recent popularity',
    _without_chance(recent_popularity.fit),
    jax.jit(recent_popularity.scores),
    {'half_life': Range(30.0, 0.5, 365.0)},
  ),
  'item_knn': Baseline(
    'item-kNN',
    _without_chance(item_knn.fit),
    jax.jit(item_knn.scores),
    {'k': Range(100, 5, 500), 'shrink': Range(10.0, 0.1, 1000.0)},
  ),
  'user_knn': Baseline(
    'user-kNN',
    _without_chance(user_knn.fit),
    jax.jit(user_knn.scores),
    {'k': Range(100, 5, 500), 'shrink': Range(10.0, 0.1, 1000.0)},
  ),
  'ease': Baseline(
    'EASE',
    _ease,
    jax.jit(ease.scores),
    {'lambda_': Range(400.0, 10.0, 10_000.0), 'decay': Range(1.0, 0.4, 1.0, is_log=False)},
    scored=('decay',),
    num_bytes=lambda num_users, num_items: 24 * num_items**2,
  ),
  'slim': Baseline(
    'SLIM',
    _without_chance(slim.fit),
    jax.jit(slim.scores),
    {'l1': Range(5.0, 0.1, 100.0), 'l2': Range(200.0, 1.0, 10_000.0)},
    num_bytes=lambda num_users, num_items: 16 * num_items**2,
  ),
  'ials': Baseline(
    'iALS',
    ials.fit,
    jax.jit(ials.scores),
    {
      'dim': _DIM,
      'alpha': Range(10.0, 1.0, 100.0),
      'regularisation': Range(10.0, 0.1, 1000.0),
    },
    user_scores=ials.user_scores,
  ),
  'pure_svd': Baseline(
    'PureSVD', pure_svd.fit, jax.jit(pure_svd.scores), {'dim': Range(32, 4, 256, steps=2)}
  ),
  'svd_biases': Baseline(
    'SVD with biases',
    svd_biases.fit,
    jax.jit(svd_biases.scores),
    {'dim': _DIM, 'learning_rate': _RATE, 'l2': _L2, 'num_epochs': Range(30, 5, 100)},
    user_scores=svd_biases.user_scores,
  ),
  'bpr_mf': Baseline(
    'BPR-MF',
    bpr_mf.fit,
    jax.jit(bpr_mf.scores),
    {'dim': _DIM, 'learning_rate': _RATE, 'l2': _L2, 'num_epochs': Range(30, 5, 100)},
    user_scores=bpr_mf.user_scores,
  ),
  'factorisation_machine': Baseline(
    'factorisation machine',
    factorisation_machine.fit,
    jax.jit(factorisation_machine.scores),
    {'dim': _DIM, 'learning_rate': _RATE, 'l2': _L2, 'num_epochs': Range(10, 2, 30)},
  ),
  'lightgcn': Baseline(
    'LightGCN',
    lightgcn.fit,
    jax.jit(lightgcn.scores),
    {
      'dim': _DIM,
      'num_layers': Range(2, 1, 4, is_log=False),
      'learning_rate': _RATE,
      'l2': _L2,
      'num_epochs': Range(30, 5, 100),
    },
    user_scores=lightgcn.user_scores,
  ),
  'gru4rec': Baseline(
    'GRU4Rec',
    gru4rec.fit,
    jax.jit(gru4rec.scores),
    {'dim': _DIM, 'learning_rate': _RATE, 'num_epochs': Range(20, 5, 60)},
  ),
}
NAMES = tuple(BASELINES)
