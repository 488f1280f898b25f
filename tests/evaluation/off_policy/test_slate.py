"""Slate estimators: expectation over every slate, and what each of them assumes."""

import itertools

import jax
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators, slate


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
      'standard': slate.standard_ips(reward, pscore, target),
      'independent': slate.independent_ips(
        reward, self.marginal(behaviour), self.marginal(evaluated)
      ),
      'interaction': slate.reward_interaction_ips(reward, pscore, target),
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
  for estimator in (slate.standard_ips, slate.independent_ips, slate.reward_interaction_ips):
    ours = estimators.reduce(estimator(reward, pscore, target))
    assert float(ours) == pytest.approx(expected)
