"""Several loggers, estimated weights and embeddings: enumeration, closed forms, loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators, multi, registry
from tests.evaluation.off_policy import problems


@pytest.fixture(autouse=True)
def double_precision():
  with jax.enable_x64(True):
    yield


def two_loggers(num_rounds=40_000):
  """Rounds of two loggers, 1 to 3, one of them far from the evaluated policy."""
  tiny, rng = problems.Tiny(), np.random.default_rng(0)
  first, second = tiny.behaviour, tiny.behaviour[:, ::-1] ** 2
  second = second / second.sum(1, keepdims=True)
  stratum = (np.arange(num_rounds) % 4 != 0).astype(int)
  context = rng.integers(3, size=num_rounds)
  policy = np.where(stratum[:, None] == 0, first[context], second[context])
  action = (rng.random(num_rounds)[:, None] > np.cumsum(policy, axis=1)).sum(1).clip(max=2)
  log = tiny.rounds(context, action, rng.choice([-0.5, 0.5], num_rounds))
  pscores = np.stack([first[context, action], second[context, action]], axis=1)
  log['pscore'] = pscores[np.arange(num_rounds), stratum]
  return tiny, log, pscores, stratum


@pytest.mark.parametrize('with_model', [False, True])
def test_all_three_are_unbiased_and_the_weighted_one_is_sharper(with_model):
  tiny, log, pscores, stratum = two_loggers()
  rounds = estimators.match(**log if with_model else log | {'q_hat': None})
  average = multi.mixture_pscore(pscores, stratum)
  np.testing.assert_allclose(average, pscores @ [0.25, 0.75])
  table = {
    'naive': multi.naive_multi(rounds),
    'balanced': multi.balanced_multi(rounds, average),
    'weighted': multi.weighted_multi(rounds, stratum, 2),
  }
  spread = {}
  for name, terms in table.items():
    spread[name] = float(np.std(estimators.influence(terms))) / 200
    assert abs(float(estimators.reduce(terms)) - tiny.value) < 4 * spread[name], name
  assert spread['balanced'] < spread['naive']
  assert spread['weighted'] < spread['naive']
  wrong = multi.balanced_multi(rounds, average / 1.5)
  if not with_model:
    assert abs(float(estimators.reduce(wrong)) - tiny.value) > 4 * spread['balanced']


def test_weighted_equals_a_loop_over_loggers():
  _, log, _, stratum = two_loggers(200)
  rounds = estimators.match(**log | {'q_hat': None})
  weight = np.asarray(rounds.weight)
  value = weight * np.asarray(rounds.reward)
  total = precisions = 0.0
  for k in (0, 1):
    precision = (stratum == k).sum() / (weight[stratum == k] ** 2).mean()
    total += precision * value[stratum == k].mean()
    precisions += precision
  # A third logger has no round.
  for num_strata in (2, 3):
    ours = float(estimators.reduce(multi.weighted_multi(rounds, stratum, num_strata)))
    assert ours == pytest.approx(total / precisions, rel=1e-12)


def test_a_logger_without_a_click_neither_voids_the_weighted_estimate_nor_pulls_it_down():
  rng = np.random.default_rng(0)
  policy, loggers = rng.dirichlet(np.full(5, 3.0)), rng.dirichlet(np.ones(5), size=10)
  loggers = 0.9 * loggers + 0.02
  chance = np.array([0.01, 0.005, 0.02, 0.01, 0.008])
  stratum, found = np.repeat(np.arange(10), 200), []

  @jax.jit
  def values(rounds):
    both = multi.weighted_multi(rounds, stratum, 10), multi.naive_multi(rounds)
    return jnp.stack([estimators.reduce(terms) for terms in both])

  for _ in range(300):
    action = np.concatenate([rng.choice(5, size=200, p=p) for p in loggers])
    target, zeros = policy[action], np.zeros(2_000)
    reward = (rng.random(2_000) < chance[action]).astype(float)
    rounds = estimators.Rounds(reward, target / loggers[stratum, action], target, zeros, zeros)
    found.append(np.asarray(values(rounds)))
  mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
  assert abs(mean[0] - policy @ chance) < 4 * spread[0] / np.sqrt(300)
  assert spread[0] < 0.95 * spread[1]


def test_a_logger_that_never_does_what_the_policy_does_is_left_out():
  _, log, _, stratum = two_loggers(200)
  rounds = estimators.match(**log | {'q_hat': None})
  never = dataclasses.replace(rounds, weight=np.where(stratum == 0, 0.0, np.asarray(rounds.weight)))
  ours = float(estimators.reduce(multi.weighted_multi(never, stratum, 2)))
  expected = (np.asarray(rounds.weight) * np.asarray(rounds.reward))[stratum == 1].mean()
  assert ours == pytest.approx(expected, rel=1e-12)


def test_marginal_weights_by_enumeration():
  rng = np.random.default_rng(0)
  p_e_a = rng.dirichlet(np.ones(3), size=(4, 2)).swapaxes(1, 2)
  evaluated, behaviour = (problems.distribution(rng, 5, 4, 2) for _ in range(2))
  embed, position = rng.integers(3, size=(5, 2)), rng.integers(2, size=5)
  ours = multi.marginal_weight(evaluated, behaviour, embed, p_e_a, position)
  for i in range(5):
    chance = [p_e_a[a, embed[i, 0], 0] * p_e_a[a, embed[i, 1], 1] for a in range(4)]
    up = sum(evaluated[i, a, position[i]] * chance[a] for a in range(4))
    down = sum(behaviour[i, a, position[i]] * chance[a] for a in range(4))
    assert float(ours[i]) == pytest.approx(up / down)


def test_embeddings_that_tell_actions_apart_give_the_weights_of_ipw():
  log = problems.log(1)
  behaviour = problems.distribution(np.random.default_rng(7), 200, 4, 2)
  row = np.arange(200)
  log['pscore'] = behaviour[row, log['action'], log['position']]
  ours = multi.marginal_weight(
    log['action_dist'], behaviour, log['action'][:, None], np.eye(4)[..., None], log['position']
  )
  np.testing.assert_allclose(ours, estimators.match(**log).weight, rtol=1e-12)


@pytest.mark.parametrize('right', [True, False])
def test_offcem_is_unbiased_where_the_model_is_right_within_clusters(right):
  tiny = problems.Tiny(num_actions=4)
  cluster = np.array([0, 0, 1, 1])
  # Wrong by a constant in each context and cluster; or also within.
  shift = np.random.default_rng(2).normal(size=(3, 2))[:, cluster]
  tiny.model = tiny.mean + shift + (0 if right else 0.5 * np.array([1, -1, 1, -1]))
  # One action of each cluster is never taken: no weight of actions could do this.
  tiny.behaviour[:, [0, 2]] = 0
  tiny.behaviour /= tiny.behaviour.sum(1, keepdims=True)
  log, probability = tiny.everything()
  taken = probability > 0
  log = {name: column[taken] for name, column in log.items()}
  context = np.repeat(np.arange(3), 8)[taken]
  weight = multi.marginal_weight(
    log['action_dist'],
    tiny.behaviour[context][..., None],
    cluster[log['action']][:, None],
    np.eye(2)[cluster][..., None],
  )
  terms = registry.offcem(estimators.match(**log).replace(marginal=weight))
  value = float(probability[taken] @ np.asarray(terms.direct + terms.correction))
  assert (abs(value - tiny.value) < 1e-9) == right
