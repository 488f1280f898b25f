"""Off-policy objectives against enumeration of all actions, finite differences, dense algebra."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from rec_jax.losses import off_policy

NUM_CONTEXTS, K, F = 3, 4, 5
RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(NUM_CONTEXTS, K, F))
PARAMS = RNG.normal(size=F)
BEHAVIOUR = special.softmax(RNG.normal(size=(NUM_CONTEXTS, K)), axis=1)
REWARDS = RNG.random((NUM_CONTEXTS, K))
MODEL = REWARDS + RNG.normal(0, 0.5, size=REWARDS.shape)
BASELINE = REWARDS.mean(1) + RNG.normal(size=NUM_CONTEXTS)
CONTEXT, ACTION = (axis.ravel() for axis in np.indices((NUM_CONTEXTS, K)))


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64():
    yield


def policy(params):
  return special.softmax(FEATURES @ params, axis=1)


def value(params, slate_size=1):
  """True expected reward of the policy, or of the distinct items in k draws of it, by a loop."""
  total = 0.0
  for prob, reward in zip(policy(params), REWARDS, strict=True):
    for slate in itertools.product(range(K), repeat=slate_size):
      total += np.prod(prob[list(slate)]) * reward[list(set(slate))].sum()
  return total / NUM_CONTEXTS


def differences(function, params, step=1e-5):
  """Central finite differences."""
  return np.array(
    [
      (function(params + step * unit) - function(params - step * unit)) / (2 * step)
      for unit in np.eye(len(params))
    ]
  )


def objective(name, baseline=None, **values):
  """(params, contexts [n], actions [n]) -> losses [n] of rewards from a baseline [contexts] on."""

  def losses(params, context, action):
    reward = jnp.asarray(REWARDS - (0 if baseline is None else baseline[:, None]))
    logged = jnp.asarray(BEHAVIOUR)[context, action], reward[context, action]
    model = (jnp.asarray(MODEL)[context],) if name == 'dr' else ()
    logits = jnp.asarray(FEATURES)[context] @ params
    return getattr(off_policy, name)(logits, action, *logged, *model, **values)

  return losses


def logged_gradient(name, **values):
  """What the gradient is on average over the choices of the logging policy, exactly."""
  chance = BEHAVIOUR[CONTEXT, ACTION] / NUM_CONTEXTS
  losses = objective(name, **values)
  average = jax.jit(jax.grad(lambda params: chance @ losses(params, CONTEXT, ACTION)))
  return average(jnp.asarray(PARAMS))


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('ipw', {}),
    ('ipw', {'baseline': BASELINE}),
    ('ipw', {'baseline': np.full(NUM_CONTEXTS, -0.7)}),
    ('dr', {}),
    ('top_k', {'slate_size': 1}),
  ],
)
def test_the_expected_gradient_is_that_of_the_true_value(name, values):
  expected = -differences(value, PARAMS)
  np.testing.assert_allclose(logged_gradient(name, **values), expected, rtol=1e-6)
  assert np.abs(expected).max() > 0.02


def test_a_baseline_of_the_context_takes_noise_off_the_gradient_and_its_wrong_sign_adds_some():
  def spread(sign):
    losses = objective('ipw', baseline=sign * REWARDS.mean(1))
    rows = jax.jit(jax.jacfwd(losses))(jnp.asarray(PARAMS), CONTEXT, ACTION)
    chance = BEHAVIOUR[CONTEXT, ACTION] / NUM_CONTEXTS
    return chance @ np.sum(np.square(rows - chance @ np.asarray(rows)), axis=1)

  assert spread(1) < 0.5 * spread(0)
  assert spread(-1) > 1.5 * spread(0)


@pytest.mark.parametrize('slate_size', [2, 3])
def test_top_k_climbs_the_value_of_a_slate_drawn_with_replacement(slate_size):
  expected = -differences(functools.partial(value, slate_size=slate_size), PARAMS)
  gradient = logged_gradient('top_k', slate_size=slate_size)
  np.testing.assert_allclose(gradient, expected, rtol=1e-6)
  # Without the correction it is another one.
  plain = slate_size * logged_gradient('ipw')
  assert np.abs(plain / expected - 1).max() > 0.1


@pytest.mark.parametrize(
  ('name', 'values'), [('ipw', {}), ('dr', {}), ('top_k', {'slate_size': 2})]
)
def test_sampled_gradients_agree_and_those_wrong_by_half_do_not(name, values):
  rng = np.random.default_rng(0)
  context = rng.integers(NUM_CONTEXTS, size=20_000)
  below = rng.random(len(context))[:, None] > np.cumsum(BEHAVIOUR, axis=1)[context]
  losses = objective(name, **values)
  rows = jax.jit(jax.jacfwd(losses))(jnp.asarray(PARAMS), context, below.sum(1))
  mean, error = np.mean(rows, 0), np.std(rows, axis=0) / np.sqrt(len(rows))
  truth = -differences(functools.partial(value, slate_size=values.get('slate_size', 1)), PARAMS)
  assert (np.abs(mean - truth) < 4 * error).all()
  assert (np.abs(mean - 1.5 * truth) > 4 * error).any()


@pytest.mark.parametrize(
  'losses',
  [
    objective('ipw', max_weight=1.2),
    objective('dr', max_weight=1.2),
    lambda params, context, action: off_policy.expected(
      jnp.asarray(FEATURES)[context] @ params, jnp.asarray(MODEL)[context]
    ),
  ],
)
def test_gradients_are_finite_differences(losses):
  total = jax.jit(lambda params: losses(params, CONTEXT, ACTION).sum())
  gradient = jax.jit(jax.grad(total))(PARAMS)
  np.testing.assert_allclose(gradient, differences(total, PARAMS), rtol=1e-6)


def test_values_are_those_of_a_loop():
  logits = FEATURES @ PARAMS
  clipped, robust = (
    jax.jit(objective(name, max_weight=1.2))(PARAMS, CONTEXT, ACTION) for name in ('ipw', 'dr')
  )
  direct = jax.jit(off_policy.expected)(logits, MODEL)
  for row, (x, a) in enumerate(zip(CONTEXT, ACTION, strict=True)):
    weight = min(policy(PARAMS)[x, a] / BEHAVIOUR[x, a], 1.2)
    model = policy(PARAMS)[x] @ MODEL[x]
    assert clipped[row] == pytest.approx(-weight * REWARDS[x, a])
    assert robust[row] == pytest.approx(-model - weight * (REWARDS[x, a] - MODEL[x, a]))
    assert direct[x] == pytest.approx(-model)


def test_a_capped_round_still_counts_in_reinforce_and_not_in_ipw():
  def gradient(name, **values):
    losses = objective(name, **values)
    return jax.jit(jax.jacfwd(losses))(jnp.asarray(PARAMS), CONTEXT, ACTION)

  weight = policy(PARAMS)[CONTEXT, ACTION] / BEHAVIOUR[CONTEXT, ACTION]
  capped = weight > 1.2
  assert capped.any()
  assert not np.any(gradient('ipw', max_weight=1.2)[capped])
  free = gradient('top_k', slate_size=2)
  expected = free * np.minimum(1.2 / weight, 1)[:, None]
  np.testing.assert_allclose(
    gradient('top_k', slate_size=2, max_weight=1.2), expected, rtol=1e-9, atol=1e-12
  )


def test_candidates_left_out_are_as_if_they_were_not_there():
  kept = np.array([0, 2, 3])
  logits = np.where(np.isin(np.arange(K), kept), FEATURES @ PARAMS, -np.inf)
  rows = np.array([0, 1, 2])
  few, many = np.array([0, 1, 2]), kept
  for name, values in (('ipw', {}), ('top_k', {'slate_size': 2})):
    loss = jax.jit(
      functools.partial(
        getattr(off_policy, name), propensity=BEHAVIOUR[rows, 0], reward=REWARDS[rows, 0], **values
      )
    )
    np.testing.assert_allclose(
      loss(jnp.asarray(logits), many), loss(jnp.asarray(logits[:, kept]), few), rtol=1e-12
    )
    gradient = jax.jit(jax.grad(lambda x, loss=loss: loss(x, many).sum()))(logits)
    assert np.isfinite(gradient).all()


def test_counterfactual_risk_is_the_formula_and_its_gradient_the_finite_difference():
  losses = np.random.default_rng(1).normal(size=20)

  @jax.jit
  def risk(losses, penalty=0.7):
    return off_policy.counterfactual_risk(losses, penalty=penalty, num_rounds=30)

  expected = losses.mean() + 0.7 * np.sqrt(losses.var(ddof=1) / 30)
  assert risk(losses) == pytest.approx(expected, rel=1e-12)
  assert risk(losses, 0.0) == pytest.approx(losses.mean(), rel=1e-12)
  gradient = jax.grad(risk)(losses)
  np.testing.assert_allclose(gradient, differences(risk, losses), rtol=1e-6)
  np.testing.assert_allclose(jax.grad(risk)(jnp.ones(20)), 1 / 20)


@pytest.mark.parametrize('damping', [0.0, 0.1])
def test_the_natural_gradient_is_that_of_the_dense_fisher_information(damping):
  def logits_of(params):
    return jnp.asarray(FEATURES) @ params['map'] + params['shift']

  params = {'map': jnp.asarray(PARAMS), 'shift': jnp.full(K, 0.3)}

  def log_policy(flat):
    return jax.nn.log_softmax(logits_of({'map': flat[:F], 'shift': flat[F:]}))

  flat = jnp.concatenate([params['map'], params['shift']])
  score = np.asarray(jax.jit(jax.jacobian(log_policy))(flat))
  prob = np.exp(log_policy(flat))
  fisher = np.einsum('nk,nki,nkj->ij', prob, score, score) / NUM_CONTEXTS
  # A gradient of the policy is a combination of scores, as every objective's is.
  gradient = np.einsum('nk,nki->i', prob * REWARDS, score)
  expected = np.linalg.pinv(fisher + damping * np.eye(F + K), rcond=1e-10) @ gradient
  natural = jax.jit(functools.partial(off_policy.natural_gradient, logits_of, damping=damping))
  actual = natural(params, {'map': jnp.asarray(gradient[:F]), 'shift': jnp.asarray(gradient[F:])})
  np.testing.assert_allclose(
    np.concatenate([actual['map'], actual['shift']]), expected, rtol=1e-3, atol=1e-4
  )
  assert np.abs(expected - gradient).max() > 0.1
