"""Information-directed sampling: little regret for much information about which is best."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import masked_argmax
from rec_jax.bandits.chunks import check_fits
from rec_jax.bandits.explorers.by_chance import in_proportion
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Feedback

_TINY = 1e-30


@struct.dataclass
class InformationDirectedState:
  """What the draws of the next decision follow from.

  Attributes:
    count: [] int32, rows of feedback so far.
    seed: [] uint32, of the draws.
  """

  count: jax.Array
  seed: jax.Array


def information_directed(num_samples: int = 128) -> Explorer:
  """Variance-based information-directed sampling from draws (Russo & Van Roy 2018).

  Minimises (expected regret)^2 / (expected information) over distributions; a best one has at most
  two candidates. The information of a candidate is the variance of its expected reward given
  which candidate is best, estimated from joint draws. The draws follow from the state, so that
  the probabilities of a decision are exact; between two rows of feedback they are the same.

  Args:
    num_samples: M, joint draws of one decision. Time grows with M K and K^2.

  Raises:
    InputError: num_samples is below 1.
  """
  check_range('num_samples', num_samples, 1)

  def init(key: jax.Array, spec: ArmSpec) -> InformationDirectedState:
    return InformationDirectedState(init_count(key, spec), jax.random.bits(key, (), jnp.uint32))

  def weights(state: InformationDirectedState, outlook: Outlook, mask: jax.Array) -> jax.Array:
    # It looks at every pair of candidates, in some eight numbers, and at every draw of each.
    num_candidates = len(mask)
    check_fits(
      f'information-directed sampling among {num_candidates:,} candidates',
      4 * (8 * num_candidates**2 + 3 * num_samples * num_candidates),
    )
    key = jax.random.fold_in(jax.random.key(state.seed), state.count)
    draw_key, tie_key = jax.random.split(key)
    regret, information = regret_and_information(outlook.sample(draw_key, num_samples), mask)
    return best_mixture(tie_key, regret, information, mask)

  def update(state: InformationDirectedState, feedback: Feedback) -> InformationDirectedState:
    return dataclasses.replace(state, count=count_rows(state.count, feedback))

  return in_proportion(weights)._replace(init=init, update=update)


def regret_and_information(draws: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Of each candidate, from joint draws of the expected rewards.

  Args:
    draws: [M, K].
    mask: [K] bool, False cannot be the best.

  Returns:
    [K] how far it is expected to lie below the best, [K] variance of E[reward | which is best].
  """
  allowed = jnp.where(mask, draws, -jnp.inf)
  best = jnp.argmax(allowed, axis=1)
  mean = jnp.mean(draws, axis=0)
  same = (best[:, None] == best).astype(draws.dtype)
  group_size = jnp.sum(same, axis=1, keepdims=True)
  # The mean of the draws that share the best candidate of draw m, [M, K].
  given_best = same @ draws / group_size
  between = jnp.mean((given_best - mean) ** 2, axis=0)
  # Means of few draws differ by chance alone: for each group beyond the first by the variance
  # within groups, of which M - groups degrees of freedom tell (Searle et al. 1992, section 3.6).
  num_draws = len(draws)
  num_groups = jnp.sum(1 / group_size)
  within = jnp.mean((draws - given_best) ** 2, axis=0)
  by_chance = within * (num_groups - 1) / jnp.maximum(num_draws - num_groups, 1)
  information = jnp.maximum(between - by_chance, 0)
  return jnp.mean(jnp.max(allowed, axis=1)) - mean, information


def best_mixture(
  key: jax.Array, regret: jax.Array, information: jax.Array, mask: jax.Array
) -> jax.Array:
  """The distribution of least regret^2 / information (Russo & Van Roy 2018).

  Args:
    key: breaks ties.
    regret: [K].
    information: [K].
    mask: [K] bool.

  Returns:
    [K] probabilities, at most two of them positive; zero if all are masked.
  """
  # Over the share q of j in a pair (i, j), (r + q dr)^2 / (v + q dv) is convex and its slope is
  # zero at r / dr - 2 v / dv. Where dr and dv differ in sign an end is best, and the ends are
  # among the pairs (i, i).
  regret_step = regret - regret[:, None]
  information_step = information - information[:, None]
  inside = regret_step * information_step > 0
  share = regret[:, None] / jnp.where(inside, regret_step, 1)
  share -= 2 * information[:, None] / jnp.where(inside, information_step, 1)
  share = jnp.where(inside, jnp.clip(share, 0, 1), 0)
  ratio = (regret[:, None] + share * regret_step) ** 2
  ratio /= information[:, None] + share * information_step + _TINY
  pair = masked_argmax(key, -ratio.ravel(), (mask[:, None] & mask).ravel())
  first, second = jnp.divmod(jnp.maximum(pair, 0), len(mask))
  probabilities = jnp.zeros(mask.shape).at[first].add(1 - share[first, second])
  return jnp.where(pair < 0, 0, probabilities.at[second].add(share[first, second]))
