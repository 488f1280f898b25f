"""Online bootstrap: copies of any regression, each of which weighs every row by chance."""

import dataclasses
from collections.abc import Callable

import jax

from rec_jax.bandits.base import Belief, State
from rec_jax.bandits.beliefs.copies import copies
from rec_jax.bandits.beliefs.per_arm import PerArmState
from rec_jax.types import Feedback

DrawPrior = Callable[[jax.Array, State, jax.Array], State]


def bootstrapped(belief: Belief, draw_prior: DrawPrior, num_copies: int = 10) -> Belief:
  """Bootstrapped classifiers (Cortes 2018, algorithms 1 and 3; Eckles & Kaptein 2014).

  Each copy multiplies the weight of a row by a number of Gamma(1, 1), drawn when the row arrives
  (the Bayesian bootstrap, Rubin 1981; `batch_sample_method='gamma'` in contextualbandits). With
  `thompson` it is his BootstrappedTS, with `percentile_ucb` his BootstrappedUCB. What no row tells
  of, Cortes draws from a Beta distribution until an arm has rewards of both kinds; here each copy
  starts from a draw of the prior of its own (Osband et al. 2018), which rows then outweigh.

  Args:
    belief: what each copy is; only its mean is used.
    draw_prior: (key, state of one copy, ids of arms as new) -> state about a draw of its prior;
      called with all arms at first.
    num_copies: M.

  Returns:
    A belief whose draws are its M members.

  Raises:
    InputError: num_copies is below 1.
  """
  return copies(belief, num_copies, draw_prior, _reweighted)


def _reweighted(key: jax.Array, feedback: Feedback) -> Feedback:
  share = jax.random.exponential(key, feedback.weight.shape)
  return dataclasses.replace(feedback, weight=feedback.weight * share)


def draw_arm_weights(key: jax.Array, state: PerArmState, ids: jax.Array) -> PerArmState:
  """For `per_arm` of a regression with a normal posterior: a draw of the prior is its mean."""

  def draw(arm: jax.Array) -> jax.Array:
    noise = jax.random.normal(jax.random.fold_in(key, arm), state.fresh.mean.shape)
    return state.fresh.mean + state.fresh.root @ noise

  mean = state.rows.mean.at[ids].set(jax.vmap(draw)(ids))
  return dataclasses.replace(state, rows=dataclasses.replace(state.rows, mean=mean))
