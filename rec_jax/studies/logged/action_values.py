"""What candidates are taken to be worth while a policy learns, batch by batch.

Shape letters: n rounds, b of them, K actions, C candidates of a batch, D columns of the query.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits import packed
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.off_policy.reward_models import CrossFitted
from rec_jax.studies.logged.objectives import Batch, Rows, across
from rec_jax.types import ArmSpec, Feedback

Model = Callable[[Rows, Batch], jax.Array | None]


def expected(fitted: CrossFitted, origin: float) -> Model:
  """[b, C] float32 expected rewards above an origin, by models that lack the fold of a round."""
  params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), fitted.params)
  width = fitted.context.shape[1]
  table = jnp.asarray(np.asarray(fitted.action_context), jnp.float32)

  def model(rows: Rows, batch: Batch) -> jax.Array:
    context = rows.query[:, :width]

    def predict(offered: jax.Array) -> jax.Array:
      return fitted.model.predict(params, rows.group, context, table[offered]) - origin

    return across(predict, batch)

  return model


def lower_bounds(train: LoggedFeedback, query: np.ndarray, penalty: float, origin: float) -> Model:
  """[b, C] mean minus `penalty` standard deviations of a linear posterior for each action."""
  num_rounds, num_actions = len(train.action), len(train.item_ids)
  belief = linear_disjoint(noise_variance=max(float(train.reward.var()), 1e-6))
  spec = ArmSpec(num_actions, num_actions, query_dim=query.shape[1], arm_dim=1)
  ones = jnp.ones(num_rounds)
  feedback = Feedback(
    user_id=jnp.zeros(num_rounds, jnp.int32),
    query=jnp.asarray(query),
    features=ones[:, None],
    arm_id=jnp.asarray(train.action, jnp.int32),
    propensity=ones,
    reward=jnp.asarray(train.reward - origin, jnp.float32),
    weight=ones,
  )
  init_key, update_key = jax.random.split(jax.random.key(0))
  state = jax.jit(belief.update, donate_argnums=1)(
    update_key, belief.init(init_key, spec), feedback
  )
  mean, covariance = state.posterior.mean, state.covariance

  def model(rows: Rows, batch: Batch) -> jax.Array:
    weight = packed.multiplicity(query.shape[1])
    squares = jax.vmap(packed.square)(rows.query) * weight

    def bound(offered: jax.Array) -> jax.Array:
      if len(offered) == 1:
        expected, variance = rows.query @ mean[offered[0]].T, squares @ covariance[offered[0]].T
      else:
        expected = jnp.einsum('bd,bcd->bc', rows.query, mean[offered])
        variance = jnp.einsum('bp,bcp->bc', squares, covariance[offered])
      return expected - penalty * jnp.sqrt(jnp.maximum(variance, 0))

    return across(bound, batch)

  return model
