"""The same answers after shorter histories, against models that read them in a known way."""

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models.baselines import ease
from rec_jax.runs.config import Config, FinetuneConfig
from rec_jax.stages.evaluate import by_history, compared_models
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import full_ranking, next_item
from tests.helpers import small
from tests.stages.evaluate.test_ranking_comparison import NUM_ITEMS, contender, dataset


def asked_lengths(data):
  """What each call of a model was asked, by the longest history among the queries."""
  calls = []

  def score(asked):
    calls.append(asked)
    return np.zeros((len(asked), data.items.num_items), np.float32)

  by_history.per_query(Config(), data, ComparedModel([score]))
  return calls


def test_every_length_has_the_same_users_answers_and_candidates():
  data = dataset()
  calls = asked_lengths(data)
  whole = calls[-1]
  most = (whole.history > 0).sum(1)
  for call, number in zip(calls, (*by_history.LENGTHS, 10**6), strict=True):
    np.testing.assert_array_equal((call.history > 0).sum(1), np.minimum(most, number))
    np.testing.assert_array_equal(call.target, whole.target)
    np.testing.assert_array_equal(call.unseen(NUM_ITEMS), whole.unseen(NUM_ITEMS))


def test_what_reads_no_history_is_the_same_at_all_lengths_and_what_does_is_not():
  data = dataset()
  found = by_history.per_query(Config(), data, contender(NUM_ITEMS, 1, 2))
  for number in by_history.LENGTHS:
    metric = f'{by_history.history(number)}{by_history.LESS_WHOLE}, recall@10'
    np.testing.assert_array_equal(found[metric].value, 0)

  def longest_first(asked):
    """Finds the answer if it may read four events or more."""
    reads = (asked.history > 0).sum(1) >= 4
    return np.eye(NUM_ITEMS, dtype=np.float32)[asked.target] * np.where(reads, 1, -1)[:, None]

  found = by_history.per_query(Config(), data, ComparedModel([longest_first]))
  means = {name: values.value.mean() for name, values in found.items()}
  assert means['history of 3, ndcg@10'] == 0
  assert means['history of 5, ndcg@10'] == means['whole history, ndcg@10'] == 1
  assert means['history of 3 minus the whole history, ndcg@10'] == -1
  np.testing.assert_array_equal(
    found['history of 3, ndcg@10'].unit, data.interactions.user[data.split.test_event]
  )


@pytest.mark.parametrize('variant', ['id_only', 'teacher'])
def test_without_a_history_two_towers_answer_all_users_alike(variant):
  data, config = small.dataset(), FinetuneConfig(dim=8, num_heads=2)
  model = next_item.new_model(variant, small.encoder(), config, data.items.num_items, 0)
  model.eval()
  model.towers.items.place_unseen()
  compared = compared_models.of_two_towers([model], data.items.num_items)
  asked = full_ranking.queries(data, data.split.test_event, 10, 4.0).last(0)
  scores = np.asarray(compared.scores[0](asked))
  assert np.isfinite(scores).all()
  np.testing.assert_allclose(scores, scores[:1].repeat(len(scores), 0), rtol=1e-4, atol=1e-5)


def test_a_prior_stands_in_where_there_is_no_history():
  data = small.dataset()
  weights = jnp.asarray(np.random.default_rng(0).normal(size=(24, 24)), jnp.float32)

  def by_weights(asked):
    return ease.scores(weights, asked.history)

  def prior(asked):
    return jnp.broadcast_to(jnp.arange(24.0), (len(asked), 24))

  both = by_history.with_prior(by_weights, prior)
  asked = full_ranking.queries(data, data.split.test_event, 10, 4.0)
  np.testing.assert_array_equal(both(asked), by_weights(asked))
  np.testing.assert_array_equal(both(asked.last(0)), prior(asked))
