"""CATS: continuous actions by a tree of binary classifiers, smoothed over a bandwidth."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief, Explorer, Outlook, Policy
from rec_jax.bandits.choice import uniform_probabilities
from rec_jax.bandits.explorers.by_chance import in_proportion
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at
from rec_jax.bandits.policy import PolicyState, combine
from rec_jax.types import ArmSpec, Context, Decision, Feedback


@struct.dataclass
class CatsInfo:
  """What comes back with the outcome.

  Attributes:
    density: [L] of the action on [0, 1] when it was chosen.
  """

  density: jax.Array


@struct.dataclass
class Tree:
  """2^d - 1 linear classifiers; those of depth l are nodes 2^l - 1 to 2^(l + 1) - 2.

  Attributes:
    weights: [2^d - 1, 1 + D] of a 1 and the query; above 0 is the right child.
    squares: [2^d - 1, 1 + D] sums of squared gradients.
  """

  weights: jax.Array
  squares: jax.Array


def cats(
  epsilon: Hyperparameter = 0.1,
  bandwidth: ArrayLike = 0.1,
  learning_rate: ArrayLike = 0.5,
  depth: int = 4,
) -> Policy:
  """CATS (Majzoub et al. 2020, algorithms 1 and 2), over candidates on a grid of [0, 1].

  A tree of fixed depth d leads a context to one of 2^d actions (i + 1/2) / 2^d. The choice is
  uniform over the candidates within the bandwidth of it (the nearest where there is none), or
  with probability epsilon uniform over all. A loss of 1 - reward, over the density of the action,
  goes to each leaf by how dense the leaf's smoothed choice is at the action; from the leaves up
  each node learns which of its children costs less, weighted by the difference, and hands up the
  cost of the child that it then leads to.

  The density is the propensity times the number of candidates, which is that of a choice within
  the cell of a candidate of an even grid; other candidates are no grid, and their weights are off.
  Classifiers are logistic, by AdaGrad (Duchi et al. 2011), which suits weights of any size.

  Args:
    epsilon: probability of a uniform choice, a number in [0, 1] or an Optax schedule of the rows
      of feedback so far.
    bandwidth: h in (0, 1], on either side of the leaf.
    learning_rate: of AdaGrad, > 0.
    depth: d.

  Returns:
    A policy whose features' first number is the action, clipped to [0, 1], and which reads `query`.

  Raises:
    InputError: a value is out of range.
  """
  check_range('epsilon', epsilon, 0, 1)
  check_range('bandwidth', bandwidth, 0, 1, open_low=True)
  check_range('learning_rate', learning_rate, 0, open_low=True)
  check_range('depth', depth, 1, 12)
  policy = combine(_tree(bandwidth, learning_rate, depth), _smoothed(epsilon, bandwidth))

  def select(key: jax.Array, state: PolicyState, context: Context) -> Decision:
    select_key, log_key = jax.random.split(key)
    decision = policy.select(select_key, state, context)
    propensity = policy.propensity(log_key, state, context, decision)
    num_open = jnp.sum(context.mask & jnp.isfinite(context.features[:, 0]))
    # Each position of a slate has one candidate less.
    density = propensity * (num_open - jnp.arange(len(propensity)))
    return dataclasses.replace(decision, info=CatsInfo(density))

  # What comes back holds the density with which CATS itself chose.
  return policy._replace(select=select, info=None)


def leaf_costs(
  action: jax.Array, loss: jax.Array, density: jax.Array, bandwidth: ArrayLike, depth: int
) -> jax.Array:
  """[2^d] importance-weighted losses of the leaves' smoothed choices (algorithm 1, line 7).

  Args:
    action: [] that was chosen.
    loss: [] that it had.
    density: [] with which it was chosen.
    bandwidth: h.
    depth: d.
  """
  centres = _centres(depth)
  length = jnp.minimum(1.0, centres + bandwidth) - jnp.maximum(0.0, centres - bandwidth)
  within = jnp.abs(action - centres) <= bandwidth
  return jnp.where(within, loss / (length * density), 0.0)


def _centres(depth: int) -> jax.Array:
  """[2^d] the actions of the leaves."""
  return (jnp.arange(2**depth, dtype=jnp.float32) + 0.5) / 2**depth


def _actions(features: jax.Array) -> jax.Array:
  return jnp.clip(features[..., 0], 0.0, 1.0)


def _tree(bandwidth: ArrayLike, learning_rate: ArrayLike, depth: int) -> Belief:
  """The mean of a candidate is minus its distance from the leaf that the context leads to."""

  def init(key: jax.Array, spec: ArmSpec) -> Tree:
    del key
    shape = (2**depth - 1, 1 + spec.query_dim)
    return Tree(jnp.zeros(shape), jnp.zeros(shape))

  def predict(state: Tree, context: Context) -> tuple[jax.Array, jax.Array]:
    scores = state.weights @ _inputs(context.query)
    node = jnp.int32(0)
    for _ in range(depth):
      node = 2 * node + 1 + (scores[node] > 0)
    centre = _centres(depth)[node - (2**depth - 1)]
    mean = -jnp.abs(_actions(context.features) - centre)
    return mean, jnp.zeros_like(mean)

  def sample(key: jax.Array, state: Tree, context: Context, num_samples: int) -> jax.Array:
    del key
    return jnp.tile(predict(state, context)[0], (num_samples, 1))

  def update(key: jax.Array, state: Tree, feedback: Feedback) -> Tree:
    del key

    def row(tree: Tree, row: Feedback) -> tuple[Tree, None]:
      density = jnp.where(row.weight != 0, row.info.density, 1)
      loss = row.weight * (1 - row.reward)
      costs = leaf_costs(_actions(row.features), loss, density, bandwidth, depth)
      return _train(tree, _inputs(row.query), costs, learning_rate, depth), None

    return jax.lax.scan(row, state, feedback)[0]

  return Belief(init, predict, sample, update)


def _inputs(query: jax.Array) -> jax.Array:
  return jnp.concatenate([jnp.ones(1), query])


def _train(
  tree: Tree, inputs: jax.Array, costs: jax.Array, learning_rate: ArrayLike, depth: int
) -> Tree:
  """Algorithm 2: every node from the leaves up, given the costs [2^d] of the leaves."""
  levels = []
  for level in reversed(range(depth)):
    first, end = 2**level - 1, 2 ** (level + 1) - 1
    left, right = costs[0::2], costs[1::2]
    label = jnp.sign(left - right)
    margin = label * (tree.weights[first:end] @ inputs)
    slope = -jnp.abs(left - right) * label * jax.nn.sigmoid(-margin)
    gradient = slope[:, None] * inputs
    squares = tree.squares[first:end] + gradient**2
    rate = learning_rate * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1.0))
    weights = tree.weights[first:end] - rate * gradient
    # The cost of where the node now leads, as its parent has to compare it.
    costs = jnp.where(weights @ inputs > 0, right, left)
    levels.append(Tree(weights, squares))
  return jax.tree.map(lambda *each: jnp.concatenate(each), *reversed(levels))


def _smoothed(epsilon: Hyperparameter, bandwidth: ArrayLike) -> Explorer:
  def chances(state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    nearest = jnp.max(jnp.where(mask, outlook.mean, -jnp.inf))
    window = mask & (outlook.mean >= jnp.minimum(-jnp.asarray(bandwidth), nearest))
    share = jnp.asarray(value_at(epsilon, state))
    smooth = uniform_probabilities(window)
    return share * uniform_probabilities(mask) + (1 - share) * smooth

  return in_proportion(chances)
