"""The settings of every factory: their defaults, and the ranges that the docstrings promise.

A default is what published runs and the report were made with, so a change of one changes numbers
everywhere. Where one is changed on purpose, this table changes with it, and the changelog says so.
"""

import inspect

import jax
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.clusters import clusters
from rec_jax.bandits.beliefs.dropout import dropout
from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.bandits.beliefs.epinet import epinet
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.gaussian_process import gaussian_process
from rec_jax.bandits.beliefs.gaussian_unknown_noise import gaussian_unknown_noise
from rec_jax.bandits.beliefs.last_layer import last_layer_laplace, neural_linear
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.beliefs.linear_hybrid import linear_hybrid
from rec_jax.bandits.beliefs.linear_unknown_noise import linear_unknown_noise
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.beliefs.matrix_factorisation import matrix_factorisation
from rec_jax.bandits.beliefs.neighbours import nearest, within
from rec_jax.bandits.beliefs.neural_gradient import neural_gradient
from rec_jax.bandits.beliefs.perturbed_history import perturb_counts, perturbed_history
from rec_jax.bandits.beliefs.tree import tree
from rec_jax.bandits.combinations import bootstrapped_logistic
from rec_jax.bandits.corral import corral
from rec_jax.bandits.cover import cover
from rec_jax.bandits.exp3 import exp3
from rec_jax.bandits.exp4 import exp4
from rec_jax.bandits.explorers.counted import kl_ucb, moss
from rec_jax.bandits.explorers.elimination import elimination
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.explore_then_commit import explore_then_commit
from rec_jax.bandits.explorers.information_directed import information_directed
from rec_jax.bandits.explorers.inverse_gap import falcon, fastcb, squarecb
from rec_jax.bandits.explorers.percentile_ucb import percentile_ucb
from rec_jax.bandits.explorers.softmax import softmax
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.top_two import top_two_thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.explorers.vdbe import vdbe
from rec_jax.bandits.hyperparameters import check_range, value_at
from rec_jax.bandits.offline_to_online import pessimistic_start
from rec_jax.types import InputError

INF = np.inf
# (default, least, greatest, whether the least itself is left out); None where nothing is checked.
POSITIVE = 0, INF, True
NOT_NEGATIVE = 0, INF, False
FORGETTING = (1.0, 0, 1, True)
LAMBDA, NOISE = (1.0, *POSITIVE), (1.0, *POSITIVE)
LINEAR = {'lambda_': LAMBDA, 'noise_variance': NOISE, 'gamma': FORGETTING}
BUFFER = {'hidden': (32, 1, INF, False), 'capacity': (1024, 1, INF, False)}
UNKNOWN_NOISE = {
  'lambda_': LAMBDA,
  'a0': (3.0, 1, INF, True),
  'b0': (2.0, *POSITIVE),
  'gamma': FORGETTING,
}

COUNTS = {'a0': (1.0, *POSITIVE), 'b0': (1.0, *POSITIVE), 'capacity': (4096, 1, INF, False)}

SETTINGS = {
  clusters: {'num_clusters': (8, 1, INF, False), **COUNTS},
  nearest: {'num_neighbours': (5, 1, INF, False), **COUNTS},
  tree: {'depth': (4, 1, 20, False), 'num_bins': (16, 2, INF, False), **COUNTS},
  within: {'radius': (1.0, *NOT_NEGATIVE), **COUNTS},
  beta_bernoulli: {'a0': (1.0, *POSITIVE), 'b0': (1.0, *POSITIVE), 'gamma': FORGETTING},
  gaussian: {'prior_mean': 0.0, **LINEAR},
  gaussian_unknown_noise: {'prior_mean': 0.0, **UNKNOWN_NOISE},
  linear: {'prior_mean': 0.0, 'compensated': True, **LINEAR},
  linear_disjoint: LINEAR,
  linear_hybrid: LINEAR,
  linear_unknown_noise: UNKNOWN_NOISE,
  logistic: {'lambda_': LAMBDA, 'gamma': FORGETTING},
  gaussian_process: {
    'length_scale': (1.0, *POSITIVE),
    'num_features': (64, 1, INF, False),
    **LINEAR,
  },
  matrix_factorisation: {'rank': (8, 1, INF, False), **LINEAR},
  neural_gradient: {**LINEAR, **BUFFER},
  neural_linear: {**LINEAR, **BUFFER},
  last_layer_laplace: {'lambda_': LAMBDA, **BUFFER},
  dropout: {
    'lambda_': LAMBDA,
    'noise_variance': NOISE,
    'rate': (0.2, 0, 0.99, False),
    **BUFFER,
  },
  ensemble: {
    'lambda_': LAMBDA,
    'noise_variance': NOISE,
    'prior_scale': (1.0, *NOT_NEGATIVE),
    'num_members': (10, 1, INF, False),
    **BUFFER,
  },
  epinet: {
    'lambda_': LAMBDA,
    'noise_variance': NOISE,
    'prior_scale': (0.3, *NOT_NEGATIVE),
    'index_dim': (8, 1, INF, False),
    **BUFFER,
  },
  perturbed_history: {
    'num_copies': (16, 1, INF, False),
    'num_pseudo_rewards': (1, 1, INF, False),
  },
  bootstrapped_logistic: {'lambda_': LAMBDA, 'num_copies': (10, 1, INF, False)},
  network.adam: {'num_steps': (100, 1, INF, False), 'learning_rate': (0.01, *POSITIVE)},
  exp3: {'learning_rate': (0.01, *POSITIVE), 'mixing': (0.05, 0, 1, True)},
  exp4: {'learning_rate': (0.1, *POSITIVE), 'mixing': (0.1, 0, 1, True)},
  corral: {'learning_rate': (0.1, *POSITIVE), 'horizon': (10_000.0, 1, INF, True)},
  cover: {
    'num_policies': (4, 1, INF, False),
    'psi': (1.0, *NOT_NEGATIVE),
    'epsilon_scale': (1.0, *POSITIVE),
    'estimator': 'mtr',
    'lambda_': LAMBDA,
  },
  epsilon_greedy: {'epsilon': (0.1, 0, 1, False)},
  explore_then_commit: {'num_explore': (1000, *NOT_NEGATIVE)},
  information_directed: {'num_samples': (128, 1, INF, False)},
  squarecb: {'gamma_scale': (10.0, *POSITIVE), 'gamma_exponent': (0.5, *NOT_NEGATIVE)},
  elimination: {'alpha': (1.0, *NOT_NEGATIVE)},
  fastcb: {'gamma_scale': (10.0, *POSITIVE), 'gamma_exponent': (0.5, *NOT_NEGATIVE)},
  kl_ucb: {'log_log_weight': (0.0, *NOT_NEGATIVE)},
  moss: {'horizon': (10_000.0, 1, INF, False)},
  falcon: {'gamma_scale': (1.0, *POSITIVE)},
  percentile_ucb: {'percentile': (80.0, 0, 100, False)},
  softmax: {'temperature': (0.1, *POSITIVE)},
  thompson: {'scale': (1.0, *NOT_NEGATIVE), 'num_samples': (256, 1, INF, False)},
  top_two_thompson: {'beta': (0.5, 0, 1, False), 'num_redraws': (32, 1, INF, False)},
  ucb: {'alpha': (1.0, *NOT_NEGATIVE)},
  vdbe: {'sensitivity': (0.01, *POSITIVE), 'step_size': (0.01, 0, 1, True)},
}
RANGED = [
  (factory, name, setting[1:])
  for factory, settings in SETTINGS.items()
  for name, setting in settings.items()
  if isinstance(setting, tuple)
]
# What a factory needs before its settings.
FIRST = {corral: ([],), exp4: ([],), perturbed_history: (beta_bernoulli(), perturb_counts(1, 1))}


@pytest.mark.parametrize('factory', SETTINGS, ids=lambda factory: factory.__name__)
def test_defaults_are_those_of_the_table(factory):
  parameters = inspect.signature(factory).parameters
  defaults = {
    name: parameter.default
    for name, parameter in parameters.items()
    if parameter.default is not parameter.empty and name != 'fit'
  }
  expected = {
    name: setting[0] if isinstance(setting, tuple) else setting
    for name, setting in SETTINGS[factory].items()
  }
  assert defaults == expected, 'see the docstring of this file'


@pytest.mark.parametrize(
  ('factory', 'name', 'bounds'), RANGED, ids=lambda x: getattr(x, '__name__', str(x))
)
def test_what_is_just_out_of_range_is_refused_and_what_is_in_it_is_not(factory, name, bounds):
  low, high, is_open = bounds
  margin = 1e-3

  def make(value):
    return factory(*FIRST.get(factory, ()), **{name: value})

  make(low + margin if is_open else low)
  outside = [low if is_open else low - margin]
  if high < INF:
    make(high)
    outside.append(high + margin)
  for value in outside:
    with pytest.raises(InputError, match=f'{name} = '):
      make(value)


@pytest.mark.parametrize('name', ['alpha', 'until'])
def test_the_pessimistic_schedule_refuses_negative_settings(name):
  settings = {'alpha': 0.0, 'until': 0.0}
  pessimistic_start(**settings)
  with pytest.raises(InputError, match=f'{name} = '):
    pessimistic_start(**{**settings, name: -1e-3})


BEGINS_EVEN = (
  'bernoulli_ids',
  'bernoulli_ts',
  'clusters_ts',
  'nearest_ts',
  'perturbed_history',
  'tree_ts',
  'within_ts',
)


def test_popularity_of_the_registry_begins_at_one_success_in_ten():
  names = [name for name in bandits.names() if 'b0' in bandits.hyperparameters(name)]
  for name in names:
    values = bandits.hyperparameters(name)
    prior = values['a0'], values['b0']
    if name in BEGINS_EVEN:
      assert prior == (1.0, 1.0)
    elif 'unknown_noise' in name:
      assert prior == (3.0, 2.0)
    else:
      assert prior == (1.0, 9.0), name
      assert values['gamma'] == 1.0
      assert values.get('lambda_', 1.0) == values.get('noise_variance', 1.0) == 1.0
  assert bandits.hyperparameters('matrix_factorisation_ts')['rank'] == 8
  for name in ('perturbed_history', 'lin_perturbed_history'):
    values = bandits.hyperparameters(name)
    assert (values['num_copies'], values['num_pseudo_rewards']) == (16, 1)
    assert values['gamma'] == 1.0
  assert bandits.hyperparameters('corral')['horizon'] == 10_000.0
  assert bandits.hyperparameters('exp4')['learning_rate'] == 0.1
  assert bandits.hyperparameters('exp4')['mixing'] == 0.1
  assert bandits.hyperparameters('corral')['learning_rate'] == 0.1


def test_a_range_names_the_first_entry_outside_it():
  with pytest.raises(InputError) as error:
    check_range('a0', np.array([1.0, -2.0, -3.0]), 0)
  assert str(error.value) == 'a0 = -2 is outside [0, inf]; give a number in that range'
  with pytest.raises(InputError) as error:
    check_range('gamma', 0.0, 0, 1, open_low=True)
  assert str(error.value) == 'gamma = 0 is outside (0, 1]; give a number in that range'
  with pytest.raises(InputError):
    check_range('gamma', float('nan'), 0)


def test_schedules_and_traced_numbers_pass_and_are_evaluated_at_the_count():
  check_range('alpha', lambda count: -1.0, 0)
  jax.eval_shape(lambda alpha: check_range('alpha', alpha, 0) or alpha, -1.0)
  assert value_at(lambda count: 2 * count, 3) == 6
  assert value_at(0.5, 3) == 0.5
