"""Classification as a bandit: a row asks for its class, and only the answer given is judged.

Dudík, Langford & Li (2011), Doubly Robust Policy Evaluation and Learning, section 4.1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class ClassificationData:
  """A table whose rows are the contexts.

  Attributes:
    queries: [M, D] float32, 1 and then the attributes of a row.
    labels: [M] int32 in [0, K), the class of a row.
  """

  queries: jax.Array
  labels: jax.Array


def classification_data(attributes: np.ndarray, labels: np.ndarray) -> ClassificationData:
  """Puts a constant before the attributes, because beliefs have no intercept of their own.

  Args:
    attributes: [M, D - 1] float.
    labels: [M] int in [0, K).
  """
  queries = np.concatenate([np.ones((len(attributes), 1)), attributes], axis=1)
  return ClassificationData(jnp.asarray(queries, jnp.float32), jnp.asarray(labels, jnp.int32))


def classification_environment(num_classes: int) -> Environment:
  """One row a round, in an order that each seed draws, over again after M rounds; K classes.

  The query is the row [D]. The features of an arm are the row in its own D places of K D and 0
  elsewhere, so that what is linear and shared by all arms is one-vs-rest regression; it costs K^2
  times the memory of the same regression by a belief that reads the query and keeps each arm apart.

  Args:
    num_classes: K; arm k is class k, with reward 1 where it is the class of the row and else 0.

  Returns:
    An environment over `ClassificationData` whose state is the order of the rows [M].
  """

  def init(key: jax.Array, data: ClassificationData) -> jax.Array:
    return jax.random.permutation(key, len(data.labels))

  def observe(key: jax.Array, data: ClassificationData, order: jax.Array, t: jax.Array) -> Context:
    del key
    query = data.queries[_row(order, t)]
    return one_user(query, jnp.kron(jnp.eye(num_classes), query))

  def step(
    key: jax.Array,
    data: ClassificationData,
    order: jax.Array,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[jax.Array, Feedback, Metrics]:
    del key
    expected = jax.nn.one_hot(data.labels[_row(order, t)], num_classes)[None]
    reward = jnp.take_along_axis(expected, decision.index, axis=1)
    metrics = known_metrics(context, decision, expected, reward)
    return order, outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)


def _row(order: jax.Array, t: jax.Array) -> jax.Array:
  return order[t % len(order)]
