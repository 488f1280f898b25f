"""Models of sums are those of the rounds that were summed."""

import jax
import numpy as np
import pytest

from rec_jax.evaluation.off_policy.grouped_models import cross_fit_sums
from rec_jax.evaluation.off_policy.reward_models import cross_fit, logistic, ridge

NUM_ROUNDS, NUM_CONTEXTS, NUM_ACTIONS = 400, 5, 3


@pytest.mark.parametrize('kind', [ridge, logistic])
def test_models_of_sums_are_those_of_the_rounds(kind):
  rng = np.random.default_rng(0)
  contexts, actions = rng.normal(size=(NUM_CONTEXTS, 2)), rng.normal(size=(NUM_ACTIONS, 2))
  user, action = rng.integers(NUM_CONTEXTS, size=NUM_ROUNDS), rng.integers(3, size=NUM_ROUNDS)
  fold, position = rng.integers(2, size=NUM_ROUNDS), rng.integers(2, size=NUM_ROUNDS)
  reward = (contexts[user, 0] + action + rng.normal(size=NUM_ROUNDS) > 1).astype(float)
  count, total = np.zeros((2, 2, 2, NUM_CONTEXTS, NUM_ACTIONS))
  np.add.at(count, (fold, position, user, action), 1)
  np.add.at(total, (fold, position, user, action), reward)
  found = cross_fit_sums(
    jax.random.key(0),
    kind(2.0),
    context=contexts,
    action_context=actions,
    count=count,
    total=total,
  )
  expected = cross_fit(
    jax.random.key(0),
    kind(2.0),
    context=contexts[user],
    action_context=actions,
    action=action,
    reward=reward,
    fold=fold,
    position=position,
    num_positions=2,
  )
  for place in range(2):
    np.testing.assert_allclose(found[fold, place, user], expected[..., place], atol=2e-4)
  assert np.ptp(found) > 0.2
  with pytest.raises(ValueError, match='two folds'):
    cross_fit_sums(
      jax.random.key(0),
      kind(2.0),
      context=contexts,
      action_context=actions,
      count=count[:1],
      total=total[:1],
    )
