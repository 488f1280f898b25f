"""The study of baselines on random events, and how published experiments divide theirs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.reproductions import recbole_bpr, tfrs_retrieval
from experiments.studies import baselines, chain
from rec_jax.models.baselines import registry
from rec_jax.runs.study import override
from rec_jax.stages.evaluate.compared_models import ComparedModel
from tests.helpers import small


@pytest.fixture
def prepared(monkeypatch):
  dataset = small.dataset()
  monkeypatch.setattr(chain, 'prepared', lambda config, root: dataset)
  return dataset


def asked(model, **fields):
  return baselines.BaselinesConfig(model=model, cuts='0.5,0.7', num_trials=3, **fields)


def test_every_baseline_is_a_variant_and_the_two_towers_are():
  variants = baselines.get_study().variants
  named = {fields['model'] for fields in variants.values()}
  assert named == {*registry.NAMES, 'id_only', 'teacher'}
  assert len(variants) == len(named)


def test_a_baseline_is_tuned_at_each_cut(prepared, tmp_path):
  found = baselines.measure(asked('recent_popularity'), tmp_path)
  values = found['next item, ndcg@10']
  assert len(values.value) == 2 * len(prepared.split.test_event)
  trials = json.loads((tmp_path / 'trials/recent_popularity, cut 0.7, seed 0.json').read_text())
  assert len(trials) == 3
  assert trials[0]['ndcg@10'] >= trials[1]['ndcg@10'] >= trials[2]['ndcg@10']
  assert len(list(tmp_path.glob('trials/*'))) == 2


def test_what_does_not_fit_says_what_it_takes(prepared, tmp_path, capsys):
  found = baselines.measure(asked('slim', memory_bound=1e3), tmp_path)
  assert list(found) == [baselines.LEFT_OUT]
  assert found[baselines.LEFT_OUT].value.tolist() == [16 * 24**2 / 1e9] * 2
  assert 'slim of 24 items takes 9,216 bytes, more than 1,000: left out' in capsys.readouterr().out


def test_a_trial_of_a_two_tower_model_trains_one(prepared, monkeypatch, tmp_path):
  trained = []

  def two_tower(config, root):
    trained.append((config.finetune.variants, config.finetune.learning_rate))
    better = trained[-1][1] != 2e-3
    target = prepared.interactions.item[prepared.split.validation_event]
    right = jnp.zeros((len(target), 24)).at[jnp.arange(len(target)), target].set(1)
    rows = dict(zip(users, right, strict=True))

    def score(asked):
      known = jnp.stack([rows[user] for user in asked.user.tolist()])
      return known if better else -known

    return prepared, ComparedModel([score])

  users = prepared.interactions.user[prepared.split.validation_event].tolist()
  monkeypatch.setattr(chain, 'two_tower', two_tower)
  config = override(asked('id_only', two_tower_trials=2), {'cuts': '0.7'})
  baselines.measure(config, tmp_path)
  # Two trials, and the better one, whose run is at hand, once more.
  assert [variant for variant, _ in trained] == ['id_only'] * 3
  assert trained[0][1] == 2e-3 != trained[1][1] == trained[2][1]


def test_ratings_are_divided_by_user_in_eight_to_one_to_one():
  user = np.repeat(np.arange(3), [40, 5, 2])
  user = np.random.default_rng(0).permutation(user)
  part = recbole_bpr.divide(user, np.random.default_rng(1))
  counts = [np.bincount(part[user == each], minlength=3).tolist() for each in range(3)]
  assert counts == [[32, 4, 4], [3, 1, 1], [2, 0, 0]]
  assert (part != recbole_bpr.divide(user, np.random.default_rng(2))).any()


def test_metrics_are_means_over_users_with_a_target():
  scores = np.array([[3.0, 2, 1, 0], [3, 2, 1, 0], [3, 2, 1, 0]])
  mask = np.array([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], bool)
  targets = np.array([[0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
  found = recbole_bpr.evaluate(scores, mask, targets)
  assert found['mrr@10'] == pytest.approx((1 + 1 / 2) / 2)
  assert found['precision@10'] == pytest.approx((0.1 + 0.2) / 2)
  first = recbole_bpr._reciprocal_rank(jnp.eye(3), jnp.asarray(scores.T), ~mask, targets)
  assert float(first) == pytest.approx(found['mrr@10'])


def test_ranks_of_the_tutorial_count_all_that_score_more():
  items = jnp.array([[1.0], [3.0], [2.0]])
  ranks = tfrs_retrieval.ranks(jnp.ones((1, 1)), items, jnp.zeros(3, int), jnp.arange(3))
  np.testing.assert_array_equal(ranks, [3, 1, 2])


def test_the_loss_of_the_tutorial_is_a_sum_of_softmaxes_in_the_batch():
  users, items = jax.random.normal(jax.random.key(0), (2, 4, 3))
  user, item = jnp.array([0, 2, 2]), jnp.array([1, 1, 3])
  logits = np.asarray(users[user] @ items[item].T)
  expected = -sum(row[i] - np.log(np.exp(row).sum()) for i, row in enumerate(logits))
  np.testing.assert_allclose(tfrs_retrieval.loss((users, items), user, item), expected, rtol=1e-5)
