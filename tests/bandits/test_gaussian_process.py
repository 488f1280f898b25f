"""The Gaussian process against the exact one in float64."""

import jax
import numpy as np

from rec_jax.bandits.beliefs.gaussian_process import gaussian_process
from tests.bandits import problems

KEY = jax.random.key(0)


def kernel(x, y, length_scale, lambda_):
  distance = np.sum((x[:, None] - y) ** 2, axis=-1)
  return np.exp(-distance / (2 * length_scale**2)) / lambda_


def test_many_random_features_are_near_the_exact_process():
  length_scale, lambda_, noise_variance = 1.5, 0.5, 0.2
  belief = gaussian_process(lambda_, noise_variance, length_scale, num_features=1_000)
  feedback = problems.feedback(0, 10, binary=False)
  context = problems.context(3)
  state = problems.compiled(belief.update)(KEY, belief.init(KEY, problems.SPEC), feedback)
  x, own, reward, weight = (
    np.asarray(value, np.float64)
    for value in (feedback.features, context.features, feedback.reward, feedback.weight)
  )
  gain = kernel(own, x, length_scale, lambda_) @ np.linalg.inv(
    kernel(x, x, length_scale, lambda_) + np.diag(noise_variance / weight)
  )
  mean, variance = belief.predict(state, context)
  np.testing.assert_allclose(mean, gain @ reward, atol=0.12)
  expected = 1 / lambda_ - np.sum(gain * kernel(own, x, length_scale, lambda_), axis=1)
  np.testing.assert_allclose(variance, expected, atol=0.12)
  # A process of 1.5 times the length scale is further off.
  wrong = kernel(own, x, 1.5 * length_scale, lambda_) @ np.linalg.solve(
    kernel(x, x, 1.5 * length_scale, lambda_) + np.diag(noise_variance / weight), reward
  )
  assert np.abs(wrong - mean).max() > 0.2
