"""From a decision and what came of it to what a policy learns from."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.types import Context, Decision, Feedback


def outcome(context: Context, decision: Decision, reward: ArrayLike) -> Feedback:
  """Feedback [L] on every position of one slate; weight 0 where nothing was shown.

  Args:
    context: of the decision.
    decision: as `select` gave it, with or without propensities.
    reward: [L].
  """
  shown = decision.index >= 0
  size = len(decision.index)
  return Feedback(
    user_id=jnp.full(size, context.user_id),
    query=jnp.broadcast_to(context.query, (size, *jnp.shape(context.query))),
    features=jnp.asarray(context.features)[decision.index],
    arm_id=jnp.where(shown, decision.arm_id, 0),
    propensity=decision.propensity,
    reward=jnp.asarray(reward),
    weight=shown.astype(jnp.float32),
    info=decision.info,
  )
