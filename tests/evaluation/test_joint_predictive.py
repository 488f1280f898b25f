"""Joint log-loss against the closed form of Beta and coins."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import betaln

from rec_jax.evaluation.joint_predictive import coin_log_loss


def test_coins_of_one_unknown_probability_are_beta_binomial():
  a, b, outcomes = 2.0, 3.0, jnp.array([1, 1, 0, 1])
  rng = np.random.default_rng(0)
  draws = jnp.asarray(rng.beta(a, b, (200_000, 1)))
  got = coin_log_loss(jnp.tile(draws, (1, 4)), outcomes)
  assert got == pytest.approx(betaln(a, b) - betaln(a + 3, b + 1), abs=0.01)
  # The same marginals, each by itself, do not foresee that ones come together.
  apart = jnp.asarray(rng.beta(a, b, (200_000, 4)))
  alone = -3 * np.log(a / (a + b)) - np.log(b / (a + b))
  assert coin_log_loss(apart, outcomes) == pytest.approx(alone, abs=0.01)
  assert alone > got + 0.1


def test_many_unlikely_outcomes_do_not_underflow():
  got = coin_log_loss(jnp.full((5, 400), 0.1), jnp.ones(400))
  assert got == pytest.approx(400 * np.log(10), rel=1e-5)
