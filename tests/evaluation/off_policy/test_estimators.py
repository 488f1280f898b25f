"""Estimators: parity with published code, enumeration, unbiasedness, gradients, invariances."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, MODEL_BASED, SELF_NORMALISED
from tests.evaluation.off_policy import problems

GOLDEN = problems.golden()
GOLDEN_NAMES = {
  'ipw_clip5': functools.partial(estimators.ipw, lambda_=5.0),
  'dr_clip5': functools.partial(estimators.dr, lambda_=5.0),
  'switch_dr_5': functools.partial(estimators.switch_dr, lambda_=5.0),
  'dr_os_5': functools.partial(estimators.dr_os, lambda_=5.0),
  'sg_ipw_.1': functools.partial(estimators.sg_ipw, lambda_=0.1),
  'sg_dr_.1': functools.partial(estimators.sg_dr, lambda_=0.1),
}
# A finite setting for each that takes one, so that the shrinkage is exercised.
SETTINGS = {
  'ipw': {'lambda_': 2.0},
  'dr': {'lambda_': 2.0},
  'switch_dr': {'lambda_': 2.0},
  'dr_os': {'lambda_': 2.0},
  'sg_ipw': {'lambda_': 0.3},
  'sg_dr': {'lambda_': 0.3},
}


@pytest.fixture(autouse=True)
def double_precision():
  with jax.enable_x64(True):
    yield


def value(estimator, log, **settings):
  return estimators.reduce(estimator(problems.matched(log), **settings))


@pytest.mark.parametrize('problem', GOLDEN)
def test_values_of_obp(problem):
  log, expected = GOLDEN[problem]
  by_name = {name: GOLDEN_NAMES.get(name) or ESTIMATORS[name] for name in expected}

  @jax.jit
  def values(log):
    rounds = problems.matched(log)
    return {name: estimators.reduce(by_name[name](rounds)) for name in expected}

  found = values(log)
  for name, golden in expected.items():
    ours = float(found[name])
    assert ours == pytest.approx(golden, rel=1e-10, abs=1e-14), (
      f'{problem} {name}: {ours} is not {golden}, the value of OBP 0.5.7 in '
      f'{problems.GOLDEN.name}; the formula has changed'
    )


def of_all(function, *arguments):
  """name -> what `function` says of an estimator and the arguments; one program for all of them."""

  @jax.jit
  def run(*arguments):
    return {
      name: function(functools.partial(estimator, **SETTINGS.get(name, {})), *arguments)
      for name, estimator in ESTIMATORS.items()
    }

  return jax.device_get(run(*arguments))


def deterministic(seed):
  """A log whose evaluated policy always takes one action."""
  log = problems.log(seed)
  return log | {'action_dist': np.eye(4)[np.argmax(log['action_dist'], axis=1)].swapaxes(1, 2)}


@functools.cache
def contracts():
  rounds = problems.matched(deterministic(0))
  other_model = rounds.replace(q_logged=rounds.q_logged + 1, q_target=rounds.q_target - 1)
  single = jax.tree.map(lambda leaf: leaf.astype(np.float32), jax.device_get(rounds))

  def of(estimator, *logs):
    terms = estimator(logs[0])
    influence = estimators.influence(terms).mean()
    return terms, influence, [estimators.reduce(estimator(log)) for log in logs]

  return of_all(of, rounds, other_model, single)


@pytest.mark.parametrize('name', ESTIMATORS)
def test_contract(name):
  terms, influence, (estimate, other_model, single) = contracts()[name]
  assert all(leaf.shape == (200,) and leaf.dtype == np.float64 for leaf in jax.tree.leaves(terms))
  assert bool((terms.normaliser == 1).all()) == (name not in SELF_NORMALISED)
  assert np.isfinite(estimate)
  assert float(influence) == pytest.approx(float(estimate), rel=1e-12)
  assert (not np.isclose(other_model, estimate)) == (name in MODEL_BASED)
  assert single.dtype == np.float32
  assert float(single) == pytest.approx(float(estimate), rel=1e-4)


@functools.cache
def reordered():
  log, order = deterministic(1), np.random.default_rng(0).permutation(200)
  logs = (
    log,
    {k: v[order] for k, v in log.items()},
    {k: np.concatenate([v, v]) for k, v in log.items()},
  )
  return of_all(
    lambda estimator, *logs: [estimators.reduce(estimator(log)) for log in logs],
    *map(problems.matched, logs),
  )


@pytest.mark.parametrize('name', ESTIMATORS)
def test_order_of_rows_and_copies_of_the_log_do_not_matter(name):
  once, shuffled, twice = map(float, reordered()[name])
  assert shuffled == pytest.approx(once)
  assert twice == pytest.approx(once, rel=1e-12)


@pytest.mark.parametrize('name', ['ipw', 'dr', 'snipw', 'sndr', 'dm', 'switch_dr', 'dr_os'])
def test_expectation_by_enumeration(name):
  """Rows weighted by their probability give what infinitely many rounds would."""
  tiny = problems.Tiny()
  log, probability = tiny.everything()
  terms = ESTIMATORS[name](estimators.match(**log))
  direct, correction, normaliser = (
    float(np.sum(probability * leaf)) for leaf in (terms.direct, terms.correction, terms.normaliser)
  )
  estimate = direct + correction / normaliser
  if name == 'dm':
    assert estimate == pytest.approx((tiny.target * tiny.model).sum(1).mean(), rel=1e-12)
    assert abs(estimate - tiny.value) > 0.05
  else:
    assert estimate == pytest.approx(tiny.value, rel=1e-12)


UNBIASED, NUM_DRAWN = ('ipw', 'dr', 'snipw', 'sndr'), 200_000


@functools.cache
def drawn():
  """By names, for propensities as they are and wrong ones: the estimate and its influences."""
  tiny, rng = problems.Tiny(), np.random.default_rng(0)
  log = tiny.draw(rng, NUM_DRAWN)
  # The evaluated policy's own model hides an error of the weights; without it they must be right.
  logs = (
    estimators.match(**log | {'pscore': log['pscore'] ** scale, 'q_hat': 1 - log['q_hat']})
    for scale in (1.0, 1.5)
  )

  @jax.jit
  def run(*logs):
    terms = {name: [ESTIMATORS[name](log) for log in logs] for name in UNBIASED}
    return jax.tree.map(
      lambda each: (estimators.reduce(each), estimators.influence(each).std()),
      terms,
      is_leaf=lambda each: isinstance(each, estimators.Terms),
    )

  return jax.device_get(run(*logs))


@pytest.mark.parametrize('name', UNBIASED)
def test_unbiased_under_known_propensities_and_found_out_under_wrong_ones(name):
  for (estimate, spread), right in zip(drawn()[name], (True, False), strict=True):
    error, standard_error = estimate - problems.Tiny().value, spread / np.sqrt(NUM_DRAWN)
    assert (abs(error) < 4 * standard_error) == right


def test_replay_is_the_mean_of_the_agreeing_rounds():
  log = deterministic(2)
  agrees = log['action_dist'][np.arange(200), log['action'], log['position']] == 1
  assert float(value(estimators.replay, log)) == pytest.approx(log['reward'][agrees].mean())


def test_limits_of_the_settings():
  log = problems.log(3)
  plain = {name: float(value(ESTIMATORS[name], log)) for name in ('ipw', 'dr', 'dm')}
  assert float(value(estimators.dr, log, lambda_=0.0)) == pytest.approx(plain['dm'])
  for name in ('switch_dr', 'dr_os', 'sg_dr'):
    assert float(value(ESTIMATORS[name], log)) == pytest.approx(plain['dr'])
  for name in ('switch_dr', 'dr_os'):
    assert float(value(ESTIMATORS[name], log, lambda_=0.0)) == pytest.approx(plain['dm'])
  assert float(value(estimators.sg_ipw, log)) == pytest.approx(plain['ipw'])


@functools.cache
def slopes():
  """name -> along one direction of the logits: the gradient, and a finite difference."""
  log = problems.log(4, num_rounds=12)
  logits = np.log(log['action_dist'])
  direction = np.random.default_rng(0).normal(size=logits.shape)

  def of(estimator, logits, step):
    def of_logits(logits):
      return value(estimator, log | {'action_dist': jax.nn.softmax(logits, axis=1)})

    ends = of_logits(logits + step * direction), of_logits(logits - step * direction)
    return jnp.vdot(jax.grad(of_logits)(logits), direction), (ends[0] - ends[1]) / (2 * step)

  return of_all(of, logits, 1e-6)


@pytest.mark.parametrize('name', [name for name in ESTIMATORS if name != 'replay'])
def test_gradients_by_finite_differences(name):
  gradient, slope = slopes()[name]
  assert float(gradient) == pytest.approx(float(slope), rel=1e-6)
  assert abs(float(slope)) > 1e-4


def test_influence_has_the_spread_of_the_jackknife():
  """The jackknife of 200 rounds agrees with the delta method to a few per cent."""
  log = problems.log(5)
  terms = jax.tree.map(np.asarray, estimators.snipw(estimators.match(**log)))
  without = [
    float(estimators.reduce(jax.tree.map(lambda leaf, i=i: np.delete(leaf, i), terms)))
    for i in range(200)
  ]
  jackknife = np.std(without) * np.sqrt(199)
  delta = float(estimators.influence(terms).std()) / np.sqrt(200)
  assert delta == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'action': np.zeros(3, int)}, r'expected action \[200\], got \(3,\)'),
    ({'action_dist': np.zeros((200, 4))}, r'expected action_dist \[200, K, L\], got \(200, 4\)'),
    ({'q_hat': np.zeros((200, 4, 1))}, r'expected q_hat \(200, 4, 2\) as action_dist'),
  ],
)
def test_shapes_are_checked(change, message):
  with pytest.raises(ValueError, match=message):
    estimators.match(**problems.log(0) | change)


def test_a_weight_of_zero_stays_zero_under_the_strongest_shrinkage():
  rounds = estimators.match(np.ones(2), [0, 1], [0.5, 0.5], [[[1.0], [0.0]], [[1.0], [0.0]]])
  value, slope = jax.value_and_grad(
    lambda weight: estimators.reduce(
      estimators.sg_ipw(dataclasses.replace(rounds, weight=weight), lambda_=1.0)
    )
  )(rounds.weight)
  assert value == 0.5
  assert np.isfinite(slope).all()
