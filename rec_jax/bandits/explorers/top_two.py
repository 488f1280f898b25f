"""Top-two Thompson sampling, for finding the best arm."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.hyperparameters import check_range


def top_two_thompson(beta: ArrayLike = 0.5, num_redraws: int = 32) -> Explorer:
  """Top-two Thompson sampling (Russo 2020, section 4.3).

  The leader is a Thompson draw. With probability 1 - beta the choice is instead the first redraw
  that differs from it. If none of `num_redraws` does, the leader stays: it is then the best with
  a probability near one, and the original would redraw for very long.

  Args:
    beta: probability of the leader, in [0, 1].
    num_redraws: most redraws of one decision.

  Raises:
    InputError: beta is outside [0, 1] or num_redraws below 1.
  """
  check_range('beta', beta, 0, 1)
  check_range('num_redraws', num_redraws, 1)
  leader_of = thompson()

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    coin_key, draw_key, tie_key = jax.random.split(key, 3)
    draws = outlook.sample(draw_key, num_redraws + 1)
    ties = jax.random.split(tie_key, num_redraws + 1)
    best = jax.vmap(masked_argmax)(ties, draws, mask & jnp.isfinite(draws))
    # argmax finds the first True, and 0, the leader itself, if there is none.
    challenger = best[jnp.argmax(best != best[0])]
    return jnp.where(jax.random.uniform(coin_key) < beta, best[0], challenger)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    lead = leader_of.probabilities(key, state, outlook, mask)
    # From leader i the first of R redraws that differs is a with probability
    # lead_a (1 - lead_i^R) / (1 - lead_i), and there is none with lead_i^R.
    stay = lead**num_redraws
    odds = jnp.where(lead < 1, lead * (1 - stay) / jnp.maximum(1 - lead, 1e-12), 0)
    challenge = lead * (jnp.sum(odds) - odds) + lead * stay
    return jnp.asarray(beta) * lead + jnp.asarray(1 - beta) * challenge

  return Explorer(
    init_count,
    select,
    probabilities,
    count_rows,
    is_exact=leader_of.is_exact,
    reads_draws_alone=True,
  )
