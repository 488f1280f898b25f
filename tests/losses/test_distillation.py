"""Agreement with a teacher: where the minimum is, and what temperature and masks change."""

import jax
import numpy as np
import pytest
from scipy import special, stats

from rec_jax.losses.distillation import soft_cross_entropy

N = 6
TEMPERATURES = pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
gradient = jax.jit(jax.grad(soft_cross_entropy))


def logits(seed):
  return np.random.default_rng(seed).normal(scale=2, size=N).astype(np.float32)


@TEMPERATURES
def test_the_minimum_is_the_entropy_of_the_teacher(temperature):
  teacher = logits(0)
  entropy = stats.entropy(special.softmax(np.float64(teacher) / temperature))
  least = soft_cross_entropy(teacher + 3, teacher, temperature)
  np.testing.assert_allclose(least, temperature**2 * entropy, rtol=1e-5)
  np.testing.assert_allclose(gradient(teacher + 3, teacher, temperature), 0, atol=1e-5)
  for seed in range(1, 6):
    away = soft_cross_entropy(teacher + 0.3 * logits(seed), teacher, temperature)
    assert away > least + 1e-4


@TEMPERATURES
def test_the_gradient_is_that_of_the_paper(temperature):
  student, teacher = logits(1), logits(0)
  # Hinton et al. 2015, equation 2, times temperature squared.
  tempered = (special.softmax(np.float64(x) / temperature) for x in (student, teacher))
  expected = temperature * np.subtract(*tempered)
  np.testing.assert_allclose(gradient(student, teacher, temperature), expected, atol=1e-5)


def test_a_high_temperature_matches_centred_logits():
  student, teacher = logits(1), logits(0)
  # Hinton et al. 2015, equation 4: the limit for logits of mean zero.
  limit = (student - student.mean() - teacher + teacher.mean()) / N
  actual = gradient(student, teacher, 300.0)
  np.testing.assert_allclose(actual, limit, atol=5e-3)
  assert np.abs(limit).max() > 0.3
  assert np.abs(actual / 300.0 - limit).max() > 0.3


def test_items_left_out_are_as_if_they_were_not_there():
  student, teacher = logits(1), logits(0)
  kept = np.array([0, 2, 3])
  out = np.setdiff1d(np.arange(N), kept)
  masked = (np.where(np.isin(np.arange(N), kept), x, -np.inf) for x in (student, teacher))
  student_masked, teacher_masked = masked
  expected = soft_cross_entropy(student[kept], teacher[kept], 2.0)
  np.testing.assert_allclose(
    soft_cross_entropy(student_masked, teacher_masked, 2.0), expected, rtol=1e-6
  )
  grads = gradient(student_masked, teacher_masked, 2.0)
  np.testing.assert_allclose(grads[kept], gradient(student[kept], teacher[kept], 2.0), atol=1e-6)
  np.testing.assert_array_equal(grads[out], 0)
  assert soft_cross_entropy(student_masked, teacher, 2.0) == np.inf


def test_batches_are_rows():
  student, teacher = (np.stack([logits(s) for s in seeds]) for seeds in ((0, 1), (2, 3)))
  rows = [soft_cross_entropy(s, t, 2.0) for s, t in zip(student, teacher, strict=True)]
  np.testing.assert_allclose(soft_cross_entropy(student, teacher, 2.0), rows, rtol=1e-6)
