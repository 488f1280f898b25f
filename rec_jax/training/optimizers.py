"""The one optimizer recipe: AdamW with linear warm-up, decay and clipped gradients."""

from typing import Any

import jax
import optax


def adamw(
  learning_rate: float,
  num_steps: int,
  *,
  weight_decay: float,
  start: int = 0,
  clip_norm: float = 1.0,
) -> optax.GradientTransformation:
  """AdamW (Loshchilov & Hutter 2019) with a warm-up over the first 5 % and a cosine decay to 10 %.

  Args:
    learning_rate: at its peak.
    num_steps: of the whole run.
    weight_decay: decoupled, of matrices and tables alone: a decay of biases and of the scales of
      norms does not regularise, it only shifts activations (Loshchilov & Hutter leave it open, BERT
      and GPT leave them out).
    start: step before which nothing changes; the warm-up and the decay are of the rest.
    clip_norm: largest global norm of a gradient.
  """
  schedule = warmup_cosine(learning_rate, start, num_steps)
  decayed = optax.adamw(schedule, weight_decay=weight_decay, mask=_matrices)
  return optax.chain(optax.clip_by_global_norm(clip_norm), decayed)


def warmup_cosine(peak: float, start: int, end: int) -> optax.Schedule:
  """A rate that is 0 before `start`, warms up, decays to a tenth by `end`."""
  length = max(end - start, 2)
  rise = optax.warmup_cosine_decay_schedule(
    0.0, peak, max(1, length // 20), length, end_value=peak / 10
  )
  return optax.join_schedules([optax.constant_schedule(0.0), rise], [start])


def _matrices(params: Any) -> Any:
  """Which leaves have two axes or more."""
  return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
