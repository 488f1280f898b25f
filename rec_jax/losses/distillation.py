"""Losses that make a student agree with a teacher."""

import jax
import jax.numpy as jnp


def soft_cross_entropy(
  student_logits: jax.Array, teacher_logits: jax.Array, temperature: float
) -> jax.Array:
  """Cross-entropy to the teacher's softened distribution (Hinton et al. 2015, section 2).

  Scaled by temperature squared, as there, so that the size of the gradient does not depend on it.

  Args:
    student_logits: [..., N]; -inf leaves an item out, in both.
    teacher_logits: [..., N].
    temperature: T > 0.

  Returns:
    [...] float32, at its minimum (the entropy of the teacher) where both agree up to a constant.
  """
  target = jax.nn.softmax(teacher_logits / temperature)
  log_prob = jax.nn.log_softmax(student_logits / temperature)
  # 0 * -inf would be NaN for items that are left out.
  return -(temperature**2) * jnp.where(target > 0, target * log_prob, 0.0).sum(-1)
