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
  def values(rounds):
    return {name: estimators.reduce(by_name[name](rounds)) for name in expected}

  found = values(problems.matched(log))
  for name, golden in expected.items():
    ours = float(found[name])
    assert ours == pytest.approx(golden, rel=1e-10, abs=1e-14), (
      f'{problem} {name}: {ours} is not {golden}, the value of OBP 0.5.7 in '
      f'{problems.GOLDEN.name}; the formula has changed'
    )


@pytest.mark.parametrize('name', ESTIMATORS)
def test_contract(name):
  log = problems.log(0)
  log['action_dist'] = np.eye(4)[np.argmax(log['action_dist'], axis=1)].swapaxes(1, 2)
  estimator = functools.partial(ESTIMATORS[name], **SETTINGS.get(name, {}))
  rounds = problems.matched(log)
  terms = jax.jit(estimator)(rounds)
  assert all(leaf.shape == (200,) and leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(terms))
  assert bool((terms.normaliser == 1).all()) == (name not in SELF_NORMALISED)
  estimate = estimators.reduce(terms)
  assert np.isfinite(estimate)
  assert float(estimators.influence(terms).mean()) == pytest.approx(float(estimate), rel=1e-12)
  other_model = rounds.replace(q_logged=rounds.q_logged + 1, q_target=rounds.q_target - 1)
  changed = not np.isclose(estimators.reduce(estimator(other_model)), estimate)
  assert changed == (name in MODEL_BASED)
  single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), rounds)
  assert estimators.reduce(estimator(single)).dtype == jnp.float32
  assert float(estimators.reduce(estimator(single))) == pytest.approx(float(estimate), rel=1e-4)


@pytest.mark.parametrize('name', ESTIMATORS)
def test_order_of_rows_and_copies_of_the_log_do_not_matter(name):
  log = problems.log(1)
  log['action_dist'] = np.eye(4)[np.argmax(log['action_dist'], axis=1)].swapaxes(1, 2)
  estimator = functools.partial(ESTIMATORS[name], **SETTINGS.get(name, {}))
  once = float(value(estimator, log))
  order = np.random.default_rng(0).permutation(200)
  assert float(value(estimator, {k: v[order] for k, v in log.items()})) == pytest.approx(once)
  twice = {k: np.concatenate([v, v]) for k, v in log.items()}
  assert float(value(estimator, twice)) == pytest.approx(once, rel=1e-12)


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


@pytest.mark.parametrize('name', ['ipw', 'dr', 'snipw', 'sndr'])
def test_unbiased_under_known_propensities_and_found_out_under_wrong_ones(name):
  tiny, rng = problems.Tiny(), np.random.default_rng(0)
  log = tiny.draw(rng, 200_000)
  for scale, right in ((1.0, True), (1.5, False)):
    # The evaluated policy's own model hides an error of the weights; without it they must be right.
    skewed = log | {'pscore': log['pscore'] ** scale, 'q_hat': 1 - log['q_hat']}
    terms = ESTIMATORS[name](estimators.match(**skewed))
    error = float(estimators.reduce(terms)) - tiny.value
    standard_error = float(estimators.influence(terms).std()) / np.sqrt(200_000)
    assert (abs(error) < 4 * standard_error) == right


def test_replay_is_the_mean_of_the_agreeing_rounds():
  log = problems.log(2)
  log['action_dist'] = np.eye(4)[np.argmax(log['action_dist'], axis=1)].swapaxes(1, 2)
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


@pytest.mark.parametrize('name', [name for name in ESTIMATORS if name != 'replay'])
def test_gradients_by_finite_differences(name):
  log = problems.log(4, num_rounds=12)
  estimator = functools.partial(ESTIMATORS[name], **SETTINGS.get(name, {}))

  def of_logits(logits):
    return value(estimator, log | {'action_dist': jax.nn.softmax(logits, axis=1)})

  logits = jnp.log(log['action_dist'])
  gradient = jax.grad(of_logits)(logits)
  direction = jnp.asarray(np.random.default_rng(0).normal(size=logits.shape))
  step = 1e-6
  slope = (of_logits(logits + step * direction) - of_logits(logits - step * direction)) / (2 * step)
  assert float(jnp.vdot(gradient, direction)) == pytest.approx(float(slope), rel=1e-6)
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
