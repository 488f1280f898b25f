"""A network as the reward model of `reward_models.cross_fit`.

Shape letters: n rounds, m of them, C candidates of a round, D context features, A action features.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rec_jax.evaluation.off_policy.reward_models import Params, RewardModel

Loss = Callable[[jax.Array, Params], jax.Array]


def network(
  optimise: Callable[[jax.Array, Loss, Params], Params], num_hidden: int = 32
) -> RewardModel:
  """A network with one hidden layer of ReLUs and squared error.

  Args:
    optimise: (key, loss, parameters) -> parameters, where loss is (key, parameters) -> [].
    num_hidden: width of the hidden layer.
  """

  def fit(key: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array) -> Params:
    init_key, optimise_key = jax.random.split(key)
    width = inputs.shape[1]
    total = jnp.maximum(weight.sum(), 1)
    params = {
      'hidden': jax.random.normal(init_key, (width, num_hidden)) * jnp.sqrt(2 / width),
      'bias': jnp.zeros(num_hidden),
      # From the mean reward on, so that what is rare need not be learnt first.
      'output': jnp.zeros(num_hidden),
      'mean': weight @ reward / total,
    }

    def loss(key: jax.Array, params: Params) -> jax.Array:
      del key
      hidden = jax.nn.relu(inputs @ params['hidden'] + params['bias'])
      found = hidden @ params['output'] + params['mean']
      return weight @ (found - reward) ** 2 / total

    return optimise(optimise_key, loss, params)

  def predict(
    params: Params, group: jax.Array, context: jax.Array, actions: jax.Array
  ) -> jax.Array:
    own = jax.tree.map(lambda leaf: leaf[group], params)
    split = context.shape[1]
    of_context = jnp.einsum('md,mdh->mh', context, own['hidden'][:, :split]) + own['bias']
    of_actions = jnp.matmul(actions, own['hidden'][:, split:])
    hidden = jax.nn.relu(of_context[:, None] + of_actions)
    return jnp.einsum('mch,mh->mc', hidden, own['output']) + own['mean'][:, None]

  return RewardModel(fit, predict)
