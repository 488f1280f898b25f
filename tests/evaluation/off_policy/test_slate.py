"""Slate estimators: expectation over every slate, and what each of them assumes."""

import itertools
import pathlib

import jax
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators, slate, slate_models

GOLDEN = pathlib.Path(__file__).parents[2] / 'data/golden/obp_0_5_10_slates.npz'


@pytest.fixture(autouse=True)
def double_precision():
  with jax.enable_x64(True):
    yield


class Slates:
  """All slates of two positions over three actions, items may repeat."""

  def __init__(self, seed=0):
    rng = np.random.default_rng(seed)
    self.all = np.array(list(itertools.product(range(3), repeat=2)))
    self.policies = [
      (rng.dirichlet(np.ones(3) * 3), rng.dirichlet(np.ones(3) * 3, size=3)) for _ in range(2)
    ]
    self.rng = rng

  def conditional(self, policy):
    """[9, 2] probability of each position given the one before it."""
    first, second = policy
    return np.stack([first[self.all[:, 0]], second[self.all[:, 0], self.all[:, 1]]], axis=1)

  def marginal(self, policy):
    """[9, 2] probability of the item at its position."""
    first, second = policy
    return np.stack([first[self.all[:, 0]], (first @ second)[self.all[:, 1]]], axis=1)

  def rewards(self, kind):
    """[9, 2] with rewards that depend on the item, on those above too, or on the whole slate."""
    own = self.rng.random((2, 3))
    reward = np.stack([own[0][self.all[:, 0]], own[1][self.all[:, 1]]], axis=1)
    if kind != 'independent':
      reward[:, 1] *= self.rng.random(3)[self.all[:, 0]]
    if kind == 'any':
      reward[:, 0] *= self.rng.random(3)[self.all[:, 1]]
    return reward

  def expectations(self, kind):
    """Value of the evaluated policy, and the expectation of each estimator under the other."""
    behaviour, evaluated = self.policies
    reward = self.rewards(kind)
    pscore, target = self.conditional(behaviour), self.conditional(evaluated)
    dist = np.stack([np.tile(evaluated[0], (9, 1)), evaluated[1][self.all[:, 0]]], axis=1)
    # A model may know the logged actions so far, and nothing below.
    q_hat = np.stack(
      [np.tile(self.rng.random(3), (9, 1)), self.rng.random((3, 3))[self.all[:, 0]]], 1
    )
    terms = {
      'standard': slate.ips(reward, slate.standard_weights(pscore, target)),
      'independent': slate.ips(
        reward, slate.independent_weights(self.marginal(behaviour), self.marginal(evaluated))
      ),
      'interaction': slate.ips(reward, slate.interaction_weights(pscore, target)),
      'cascade_dr': slate.cascade_dr(reward, self.all, pscore, target, dist, q_hat),
    }
    chance = pscore.prod(1)
    value = float((target.prod(1) * reward.sum(1)).sum())
    return value, {name: float((chance * t.correction).sum()) for name, t in terms.items()}


@pytest.mark.parametrize(
  ('kind', 'unbiased'),
  [
    ('independent', {'standard', 'independent', 'interaction', 'cascade_dr'}),
    ('cascade', {'standard', 'interaction', 'cascade_dr'}),
    ('any', {'standard'}),
  ],
)
def test_each_is_unbiased_under_its_own_assumption_and_only_there(kind, unbiased):
  value, expectations = Slates().expectations(kind)
  for name, expectation in expectations.items():
    assert (abs(expectation - value) < 1e-12) == (name in unbiased), name


def test_slates_of_one_are_ipw():
  rng = np.random.default_rng(0)
  reward, pscore, target = rng.random((3, 50, 1)) + 0.1
  expected = float((reward * target / pscore).mean())
  weight = target / pscore
  for weights in (
    slate.standard_weights,
    slate.independent_weights,
    slate.interaction_weights,
    slate.pseudo_inverse_weights,
  ):
    found = weights(pscore, target)
    assert float(estimators.reduce(slate.ips(reward, found))) == pytest.approx(expected)
    normalised = float(estimators.reduce(slate.snips(reward, found)))
    assert normalised == pytest.approx(float((reward * weight).sum() / weight.sum()))


def test_self_normalised_ones_have_the_spread_of_the_estimate():
  rng = np.random.default_rng(0)
  weight = rng.gamma(1.0, 1.0, (400, 200, 2))
  # What the weight shifts is shared by all positions' rewards, and cancels.
  reward = 5 + rng.normal(size=weight.shape)
  found = [slate.snips(*pair) for pair in zip(reward, weight, strict=True)]
  values = np.array([float(terms.correction.mean()) for terms in found])
  told = np.mean([float(terms.correction.std()) for terms in found]) / np.sqrt(200)
  assert told == pytest.approx(values.std(), rel=0.12)
  plain = np.mean(
    [float(slate.ips(*pair).correction.std()) for pair in zip(reward[:9], weight[:9], strict=True)]
  )
  assert plain / np.sqrt(200) > 1.5 * values.std()


def permutations(num_actions, num_positions):
  return np.array(list(itertools.permutations(range(num_actions), num_positions)))


@pytest.mark.parametrize(('num_actions', 'num_positions'), [(4, 2), (5, 3), (3, 3), (4, 1)])
def test_pseudo_inverses_without_a_matrix_are_those_of_the_matrix(num_actions, num_positions):
  rng = np.random.default_rng(1)
  slates = permutations(num_actions, num_positions)
  indicator = np.zeros((len(slates), num_positions, num_actions))
  for place in range(num_positions):
    indicator[np.arange(len(slates)), place, slates[:, place]] = 1
  flat = indicator.reshape(len(slates), -1)
  evaluated = rng.dirichlet(np.ones(len(slates)))
  marginal = evaluated @ flat
  # Swaminathan et al. (2017), equation 3: q' Gamma^+ 1_s.
  expected = flat @ np.linalg.pinv(flat.T @ flat / len(slates)) @ marginal
  tables = np.tile(marginal.reshape(1, num_positions, num_actions), (len(slates), 1, 1))
  found = slate.pseudo_inverse_of_permutations(slates, tables)
  np.testing.assert_allclose(found, expected[:, None].repeat(num_positions, 1), rtol=1e-9)
  # Of sums of parts the value is right, in expectation over all logged slates.
  parts = rng.random((num_positions, num_actions))
  reward = parts[np.arange(num_positions), slates]
  assert (found * reward).sum(1).mean() == pytest.approx(evaluated @ reward.sum(1))


def test_the_pseudo_inverse_of_positions_drawn_apart_is_that_of_the_matrix():
  rng = np.random.default_rng(2)
  slates = np.array(list(itertools.product(range(3), repeat=2)))
  logging = rng.dirichlet(np.ones(3), 2)
  chance = logging[0, slates[:, 0]] * logging[1, slates[:, 1]]
  flat = np.zeros((9, 6))
  flat[np.arange(9), slates[:, 0]] = flat[np.arange(9), 3 + slates[:, 1]] = 1
  evaluated = rng.dirichlet(np.ones(9))
  marginal = evaluated @ flat
  expected = flat @ np.linalg.pinv(flat.T * chance @ flat) @ marginal
  target = marginal.reshape(2, 3)[[0, 1], slates]
  found = slate.pseudo_inverse_weights(logging[[0, 1], slates], target)
  np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9)


def test_the_model_of_a_cascade_is_that_of_dynamic_programming():
  """Many slates whose rewards are sums of parts: the model finds what is left below."""
  rng = np.random.default_rng(3)
  n, num_actions = 6_000, 4
  action = rng.integers(num_actions, size=(n, 3))
  own = rng.random((3, num_actions))
  reward = own[np.arange(3), action] + 0.1 * rng.normal(size=action.shape)
  action_dist = rng.dirichlet(np.ones(num_actions), 3)
  left = np.append((action_dist * own).sum(1)[::-1].cumsum()[::-1], 0)[1:]
  tables = np.broadcast_to(action_dist, (n, 3, num_actions))
  fold = np.arange(n) % 3
  q_hat = slate_models.cascade_q(
    np.zeros((n, 0)), np.eye(num_actions), action, reward, tables, fold
  )
  np.testing.assert_allclose(q_hat, np.broadcast_to(own + left[:, None], q_hat.shape), atol=0.03)
  # No slate teaches the model that judges it.
  reward[0] += 1e6
  again = slate_models.cascade_q(
    np.zeros((n, 0)), np.eye(num_actions), action, reward, tables, fold
  )
  np.testing.assert_array_equal(again[0], q_hat[0])
  assert np.abs(again[1] - q_hat[1]).max() > 1


def test_what_stands_below_says_nothing_above():
  rng = np.random.default_rng(1)
  action, fold = rng.integers(4, size=(60, 3)), np.arange(60) % 3
  tables = np.broadcast_to(rng.dirichlet(np.ones(4)), (60, 3, 4))
  reward = rng.random((60, 3)) + action.sum(1, keepdims=True)

  def model(action):
    return slate_models.cascade_q(np.zeros((60, 0)), np.eye(4), action, reward, tables, fold)[0]

  lower, upper = action.copy(), action.copy()
  lower[0, 1], upper[0, 0] = (action[0, 1] + 1) % 4, (action[0, 0] + 1) % 4
  np.testing.assert_allclose(model(lower)[:2], model(action)[:2], rtol=1e-9)
  assert np.abs(model(lower)[2] - model(action)[2]).min() > 1e-3
  assert np.abs(model(upper)[1:] - model(action)[1:]).min() > 1e-3


def test_estimates_are_those_of_obp():
  # Written by the slate estimators of sb-obp 0.5.10 on a synthetic log of its own, 40 slates.
  with np.load(GOLDEN) as archive:
    log = {name: archive[name] for name in archive.files}
  reward, first = log['reward'], np.ones((len(log['reward']), 1))
  # There propensities of a cascade are products of all so far.
  pscore, target = (
    log[name] / np.concatenate([first, log[name][:, :-1]], axis=1)
    for name in ('pscore_cascade', 'target_cascade')
  )
  weights = {
    'standard': slate.standard_weights(pscore, target),
    'interaction': slate.interaction_weights(pscore, target),
    'independent': slate.independent_weights(
      log['pscore_item_position'], log['target_item_position']
    ),
  }
  found = {f'{kind}_ips': slate.ips(reward, weight) for kind, weight in weights.items()}
  found |= {f'{kind}_snips': slate.snips(reward, weight) for kind, weight in weights.items()}
  found['cascade_dr'] = slate.cascade_dr(
    reward, log['action'], pscore, target, log['action_dist'], log['q_hat']
  )
  for name, terms in found.items():
    ours, golden = float(estimators.reduce(terms)), float(log[f'value_{name}'])
    assert ours == pytest.approx(golden, rel=1e-10), (
      f'{name}: {ours} is not {golden}, the value of sb-obp 0.5.10 in {GOLDEN.name}'
    )
