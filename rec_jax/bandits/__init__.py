"""The registry of policies: name -> factory. `make('lin_ucb', alpha=0.5)`, `names()`.

A policy is a belief and an explorer, so an entry is one line. Hyperparameters may be traced
numbers, so a sweep is a `vmap` over `make`.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief, Explorer, Policy
from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.clusters import clusters
from rec_jax.bandits.beliefs.constant import constant
from rec_jax.bandits.beliefs.dropout import dropout
from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.bandits.beliefs.epinet import epinet
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.gaussian_process import gaussian_process
from rec_jax.bandits.beliefs.gaussian_unknown_noise import gaussian_unknown_noise
from rec_jax.bandits.beliefs.hypermodel import hypermodel
from rec_jax.bandits.beliefs.last_layer import last_layer_laplace, neural_linear
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.beliefs.linear_hybrid import linear_hybrid
from rec_jax.bandits.beliefs.linear_unknown_noise import linear_unknown_noise
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.beliefs.neighbours import nearest, within
from rec_jax.bandits.beliefs.neural_gradient import neural_gradient
from rec_jax.bandits.beliefs.sample_mean import sample_mean
from rec_jax.bandits.beliefs.tree import tree
from rec_jax.bandits.beliefs.two_tower import two_tower
from rec_jax.bandits.cats import cats
from rec_jax.bandits.combinations import (
  bootstrapped_logistic,
  epoch_linear,
  perturbed_linear,
  perturbed_popularity,
  popularity,
  popularity_linear,
  popularity_matrix_factorisation,
  popularity_per_user_linear,
)
from rec_jax.bandits.corral import corral
from rec_jax.bandits.cover import cover
from rec_jax.bandits.exp3 import exp3
from rec_jax.bandits.exp4 import exp4
from rec_jax.bandits.explorers.counted import kl_ucb, moss, ucb1
from rec_jax.bandits.explorers.elimination import elimination
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.explore_then_commit import explore_then_commit
from rec_jax.bandits.explorers.greedy import greedy
from rec_jax.bandits.explorers.information_directed import information_directed
from rec_jax.bandits.explorers.inverse_gap import falcon, fastcb, squarecb
from rec_jax.bandits.explorers.percentile_ucb import percentile_ucb
from rec_jax.bandits.explorers.softmax import softmax
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.top_two import top_two_thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.explorers.uncertainty_sampling import uncertainty_sampling
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.explorers.vdbe import vdbe
from rec_jax.bandits.policy import combine
from rec_jax.types import InputError

__all__ = ['hyperparameters', 'make', 'names']

_PLAIN = (bool, int, float, str)


def make(name: str, **values: Any) -> Policy:
  """Builds a policy of the registry.

  Args:
    name: one of `names()`.
    **values: hyperparameters, see `hyperparameters(name)`: numbers, traced numbers, arrays or
      Optax schedules, as the factory of each belief and explorer says.

  Returns:
    The policy.

  Raises:
    InputError: the name or a hyperparameter is unknown, or a value is out of its range or no whole
      number where the default is one.
  """
  known = hyperparameters(name)
  for unknown in sorted(set(values) - set(known)):
    raise InputError(
      f'unknown hyperparameter {unknown!r} of policy {name!r}; known: {", ".join(known) or "none"}'
    )
  for key, value in values.items():
    # Most are sizes, which would fail only where they are used.
    if type(known[key]) is int and isinstance(value, float | np.floating):
      raise InputError(f'{key} = {value} is {type(value).__name__}; give an int')
  if all(isinstance(value, _PLAIN) for value in values.values()):
    return _made(name, tuple((key, type(value), value) for key, value in sorted(values.items())))
  return _REGISTRY[name](**values)


@functools.lru_cache(maxsize=1024)
def _made(name: str, values: tuple[tuple[str, type, Any], ...]) -> Policy:
  """The same object for the same numbers, so that what is compiled for it serves all who ask."""
  return _REGISTRY[name](**{key: value for key, _, value in values})


def names() -> tuple[str, ...]:
  """The policies of the registry, sorted."""
  return tuple(sorted(_REGISTRY))


def hyperparameters(name: str) -> dict[str, Any]:
  """The hyperparameters of a policy with their defaults.

  Raises:
    InputError: the name is unknown.
  """
  if name not in _REGISTRY:
    raise InputError(f'unknown policy {name!r}; known: {", ".join(names())}')
  parameters = inspect.signature(_REGISTRY[name]).parameters
  return {parameter.name: parameter.default for parameter in parameters.values()}


def _pair(
  belief: Callable[..., Belief], explorer: Callable[..., Explorer]
) -> Callable[..., Policy]:
  """The factory of `combine(belief(...), explorer(...))` with the keywords of both."""
  of_belief = inspect.signature(belief).parameters
  of_explorer = inspect.signature(explorer).parameters

  def factory(**values: Any) -> Policy:
    return combine(
      belief(**{name: value for name, value in values.items() if name in of_belief}),
      explorer(**{name: value for name, value in values.items() if name in of_explorer}),
    )

  keywords = [*of_belief.values(), *of_explorer.values()]
  factory.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [keyword.replace(kind=inspect.Parameter.KEYWORD_ONLY) for keyword in keywords]
  )
  return factory


_BASES = ('lin_epsilon_greedy', 'popularity_softmax', 'uniform')


def _exp4(
  policies: Sequence[str] = _BASES, learning_rate: ArrayLike = 0.1, mixing: ArrayLike = 0.1
) -> Policy:
  """`exp4` over policies of the registry with their defaults."""
  return exp4([make(name) for name in policies], learning_rate, mixing)


def _corral(
  policies: Sequence[str] = _BASES, learning_rate: ArrayLike = 0.1, horizon: ArrayLike = 10_000.0
) -> Policy:
  """`corral` over policies of the registry with their defaults."""
  return corral([make(name) for name in policies], learning_rate, horizon)


_REGISTRY: dict[str, Callable[..., Policy]] = {
  'bernoulli_ids': _pair(beta_bernoulli, information_directed),
  'bernoulli_ts': _pair(beta_bernoulli, thompson),
  'cats': cats,
  'bootstrapped_logistic_ts': _pair(bootstrapped_logistic, thompson),
  'bootstrapped_logistic_ucb': _pair(bootstrapped_logistic, percentile_ucb),
  'clusters_ts': _pair(clusters, thompson),
  'corral': _corral,
  'disjoint_lin_ts': _pair(linear_disjoint, thompson),
  'disjoint_lin_ucb': _pair(linear_disjoint, ucb),
  'dropout_ts': _pair(dropout, thompson),
  'ensemble_ts': _pair(ensemble, thompson),
  'epinet_ts': _pair(epinet, thompson),
  'epsilon_greedy': _pair(popularity, epsilon_greedy),
  'exp3': exp3,
  'exp4': _exp4,
  'explore_then_commit': _pair(popularity, explore_then_commit),
  'gaussian_top_two_ts': _pair(gaussian, top_two_thompson),
  'gaussian_ts': _pair(gaussian, thompson),
  'gaussian_ucb': _pair(gaussian, ucb),
  'gaussian_unknown_noise_ts': _pair(gaussian_unknown_noise, thompson),
  'gp_ts': _pair(gaussian_process, thompson),
  'gp_ucb': _pair(gaussian_process, ucb),
  'hybrid_lin_ts': _pair(linear_hybrid, thompson),
  'hybrid_lin_ucb': _pair(linear_hybrid, ucb),
  'hypermodel_ts': _pair(hypermodel, thompson),
  'kl_ucb': _pair(sample_mean, kl_ucb),
  'last_layer_laplace_ts': _pair(last_layer_laplace, thompson),
  'lin_cover': cover,
  'lin_elimination': _pair(linear, elimination),
  'lin_epsilon_greedy': _pair(linear, epsilon_greedy),
  'lin_falcon': _pair(epoch_linear, falcon),
  'lin_greedy': _pair(linear, greedy),
  'lin_ids': _pair(linear, information_directed),
  'lin_perturbed_history': _pair(perturbed_linear, thompson),
  'lin_softmax': _pair(linear, softmax),
  'lin_squarecb': _pair(linear, squarecb),
  'lin_ts': _pair(linear, thompson),
  'lin_ucb': _pair(linear, ucb),
  'lin_uncertainty_sampling': _pair(linear, uncertainty_sampling),
  'lin_unknown_noise_ts': _pair(linear_unknown_noise, thompson),
  'lin_unknown_noise_ucb': _pair(linear_unknown_noise, ucb),
  'lin_vdbe': _pair(linear, vdbe),
  'logistic_fastcb': _pair(logistic, fastcb),
  'logistic_ts': _pair(logistic, thompson),
  'logistic_ucb': _pair(logistic, ucb),
  'matrix_factorisation_ts': _pair(popularity_matrix_factorisation, thompson),
  'moss': _pair(sample_mean, moss),
  'nearest_ts': _pair(nearest, thompson),
  'neural_linear_ts': _pair(neural_linear, thompson),
  'neural_linear_ucb': _pair(neural_linear, ucb),
  'neural_ts': _pair(neural_gradient, thompson),
  'neural_ucb': _pair(neural_gradient, ucb),
  'per_user_lin_epsilon_greedy': _pair(popularity_per_user_linear, epsilon_greedy),
  'per_user_lin_greedy': _pair(popularity_per_user_linear, greedy),
  'per_user_lin_ts': _pair(popularity_per_user_linear, thompson),
  'per_user_lin_ucb': _pair(popularity_per_user_linear, ucb),
  'perturbed_history': _pair(perturbed_popularity, thompson),
  'popularity_greedy': _pair(popularity, greedy),
  'popularity_lin_ts': _pair(popularity_linear, thompson),
  'popularity_lin_ucb': _pair(popularity_linear, ucb),
  'popularity_softmax': _pair(popularity, softmax),
  'popularity_ucb': _pair(popularity, ucb),
  'tree_ts': _pair(tree, thompson),
  'two_tower_epsilon_greedy': _pair(two_tower, epsilon_greedy),
  'two_tower_greedy': _pair(two_tower, greedy),
  'two_tower_softmax': _pair(two_tower, softmax),
  'ucb1': _pair(sample_mean, ucb1),
  'uniform': _pair(constant, uniform),
  'within_ts': _pair(within, thompson),
}
