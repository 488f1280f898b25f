"""How well joint draws of a belief foresee several outcomes at once."""

import jax
import jax.numpy as jnp


def coin_log_loss(draws: jax.Array, outcomes: jax.Array) -> jax.Array:
  """-log of the joint predictive probability of outcomes of 0 and 1.

  mean over m of the product over n of p_mn^y_n (1 - p_mn)^(1 - y_n): what the marginals say is the
  case n = 1; only the joint one knows what is doubted together (Osband et al. 2022, "The Neural
  Testbed", section 2).

  Args:
    draws: [M, n] joint draws of the probability of a 1, inside (0, 1).
    outcomes: [n] of 0 and 1.

  Returns:
    [] nats.
  """
  logs = jnp.where(outcomes == 1, jnp.log(draws), jnp.log1p(-draws)).sum(axis=1)
  return jnp.log(len(draws)) - jax.nn.logsumexp(logs)
