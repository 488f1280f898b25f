"""Estimators of a policy's value from logged feedback, pure and differentiable.

All of them have one form. `match` reduces the log and the evaluated policy to [n] numbers a
round once; an estimator turns those into `Terms`, and the estimate is

  mean(direct) + mean(correction) / mean(normaliser)

so that intervals and diagnostics are written once for all.

Shape letters: n rounds, K actions, L positions. Arrays keep the precision they come in; inside
`jax.enable_x64()` everything is float64.

  rounds = match(reward, action, pscore, action_dist, q_hat=q_hat)
  value = reduce(dr(rounds, lambda_=10.0))
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike


@struct.dataclass
class Rounds:
  """A log seen by the evaluated policy; all that an estimator reads.

  Attributes:
    reward: [n] what was earned.
    weight: [n] importance weight pi_e(a|x) / pi_b(a|x) of the logged action.
    target: [n] pi_e(a|x), probability of the logged action under the evaluated policy.
    q_logged: [n] reward that the model expects of the logged action; 0 without a model.
    q_target: [n] reward that the model expects of the evaluated policy; 0 without a model.
    second_moment: [n] what the squared weight of a round is expected to be, the sum over actions of
      pi_e^2 / pi_b; None where the whole policy that logged is not known.
    fourth_moment: [n] likewise of its fourth power.
    marginal: [n] weight of the embedding of the logged action, see `embeddings`; or None.
    selected: [n] likewise, of the dimensions that SLOPE keeps.
    convolved: [n] likewise, of the actions like the logged one, see `convolution`.
    notes: (estimator, what its weights are by and what that assumes).
  """

  reward: jax.Array
  weight: jax.Array
  target: jax.Array
  q_logged: jax.Array
  q_target: jax.Array
  second_moment: jax.Array | None = None
  fourth_moment: jax.Array | None = None
  marginal: jax.Array | None = None
  selected: jax.Array | None = None
  convolved: jax.Array | None = None
  notes: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=(), kw_only=True)


@struct.dataclass
class Terms:
  """What each round adds to an estimate: mean(direct) + mean(correction) / mean(normaliser).

  Attributes:
    direct: [n] enters as it is.
    correction: [n] enters over the mean of the normaliser.
    normaliser: [n] all 1 unless the estimator is self-normalised.
  """

  direct: jax.Array
  correction: jax.Array
  normaliser: jax.Array


Estimator = Callable[..., Terms]


def match(
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  action_dist: ArrayLike,
  position: ArrayLike | None = None,
  q_hat: ArrayLike | None = None,
  pi_b: ArrayLike | None = None,
) -> Rounds:
  """Looks the logged actions up in the evaluated policy and in the reward model.

  Args:
    reward: [n].
    action: [n] int in [0, K).
    pscore: [n] probability in (0, 1] with which the logged action was chosen at its position.
    action_dist: [n, K, L] evaluated policy; sums to one over K for each position.
    position: [n] int in [0, L), all 0 if not given.
    q_hat: [n, K, L] expected rewards of a model; zeros if not given.
    pi_b: [n, K, L] the policy that logged, if all of it is known: it says which weights a round
      might have had, whatever was drawn.

  Returns:
    [n] numbers a round. Out of range indices are not seen here: see `validation.check_log`.

  Raises:
    ValueError: if the shapes do not fit.
  """
  reward, action, pscore = jnp.asarray(reward), jnp.asarray(action), jnp.asarray(pscore)
  action_dist = jnp.asarray(action_dist)
  num_rounds = reward.shape[0]
  if action_dist.ndim != 3 or action_dist.shape[0] != num_rounds:
    raise ValueError(f'expected action_dist [{num_rounds}, K, L], got {action_dist.shape}')
  position = jnp.zeros(num_rounds, jnp.int32) if position is None else jnp.asarray(position)
  for name, column in (('action', action), ('pscore', pscore), ('position', position)):
    if column.shape != (num_rounds,):
      raise ValueError(f'expected {name} [{num_rounds}], got {column.shape}')
  policy = at_position(action_dist, position)
  target = _of_action(policy, action)
  if q_hat is None:
    q_logged = q_target = jnp.zeros_like(target)
  else:
    q_hat = jnp.asarray(q_hat)
    if q_hat.shape != action_dist.shape:
      raise ValueError(f'expected q_hat {action_dist.shape} as action_dist, got {q_hat.shape}')
    model = at_position(q_hat, position)
    q_logged, q_target = _of_action(model, action), jnp.sum(policy * model, axis=1)
  rounds = Rounds(reward, target / pscore, target, q_logged, q_target)
  if pi_b is None:
    return rounds
  pi_b = jnp.asarray(pi_b)
  if pi_b.shape != action_dist.shape:
    raise ValueError(f'expected pi_b {action_dist.shape} as action_dist, got {pi_b.shape}')
  behaviour = at_position(pi_b, position)
  # Infinite where the log never takes what the policy does.
  weight = jnp.where(policy > 0, policy / behaviour, 0)
  return dataclasses.replace(
    rounds,
    second_moment=jnp.sum(policy * weight, axis=1),
    fourth_moment=jnp.sum(policy * weight**3, axis=1),
  )


def reduce(terms: Terms) -> jax.Array:
  """The estimate, []; NaN where a self-normalised estimator has no weight at all."""
  return terms.direct.mean() + terms.correction.mean() / terms.normaliser.mean()


def influence(terms: Terms) -> jax.Array:
  """[n] values whose mean is the estimate and whose spread is its standard error times sqrt(n).

  For self-normalised estimators those of the delta method; for the others what the rounds add.
  """
  scale = terms.normaliser.mean()
  ratio = terms.correction.mean() / scale
  return terms.direct + ratio + (terms.correction - ratio * terms.normaliser) / scale


def replay(rounds: Rounds) -> Terms:
  """Replay (Li et al. 2011): mean reward where a deterministic policy agrees with the log.

  Unbiased only where the agreeing rounds were logged with one propensity, see `applicable`.
  """
  agrees = (rounds.target == 1).astype(rounds.weight.dtype)
  return _weighted(rounds.reward, agrees, agrees)


def ipw(rounds: Rounds, *, lambda_: ArrayLike = jnp.inf) -> Terms:
  """Inverse probability weighting (Horvitz & Thompson 1952), weights clipped at `lambda_`."""
  return _weighted(rounds.reward, jnp.minimum(rounds.weight, lambda_))


def snipw(rounds: Rounds) -> Terms:
  """Self-normalised inverse probability weighting (Swaminathan & Joachims 2015)."""
  return _weighted(rounds.reward, rounds.weight, rounds.weight)


def dm(rounds: Rounds) -> Terms:
  """Direct method (Beygelzimer & Langford 2009): the model's rewards under the policy."""
  zeros = jnp.zeros_like(rounds.weight)
  return Terms(rounds.q_target, zeros, jnp.ones_like(zeros))


def dr(rounds: Rounds, *, lambda_: ArrayLike = jnp.inf) -> Terms:
  """Doubly robust (Dudik et al. 2014), weights clipped at `lambda_`."""
  return _doubly_robust(rounds, jnp.minimum(rounds.weight, lambda_))


def sndr(rounds: Rounds) -> Terms:
  """Doubly robust with self-normalised weights (Kallus & Uehara 2019)."""
  return _doubly_robust(rounds, rounds.weight, rounds.weight)


def switch_dr(rounds: Rounds, *, lambda_: ArrayLike = jnp.inf) -> Terms:
  """Switch-DR (Wang et al. 2017): weights above `lambda_` become 0, the model alone counts."""
  return _doubly_robust(rounds, jnp.where(rounds.weight <= lambda_, rounds.weight, 0))


def dr_os(rounds: Rounds, *, lambda_: ArrayLike = jnp.inf) -> Terms:
  """DR with optimistic shrinkage (Su et al. 2020): lambda w / (w^2 + lambda)."""
  # Divided by lambda, so that infinity gives the weight itself; 0 gives the direct method.
  shrunk = rounds.weight / (rounds.weight**2 / lambda_ + 1)
  return _doubly_robust(rounds, jnp.where(jnp.asarray(lambda_) > 0, shrunk, 0))


def sg_ipw(rounds: Rounds, *, lambda_: ArrayLike = 0.0) -> Terms:
  """Sub-Gaussian IPW (Metelli et al. 2021, with s = -1), `lambda_` in [0, 1]."""
  return _weighted(rounds.reward, _sub_gaussian(rounds.weight, lambda_))


def sg_dr(rounds: Rounds, *, lambda_: ArrayLike = 0.0) -> Terms:
  """Doubly robust with the weights of `sg_ipw`."""
  return _doubly_robust(rounds, _sub_gaussian(rounds.weight, lambda_))


def at_position(values: jax.Array, position: jax.Array) -> jax.Array:
  """[n, K, L] -> [n, K], what holds at the position of each round."""
  # With one position a reshape does; a gather would copy gigabytes.
  if values.shape[2] == 1:
    return values[:, :, 0]
  return jnp.take_along_axis(values, position[:, None, None], axis=2)[:, :, 0]


def _of_action(values: jax.Array, action: jax.Array) -> jax.Array:
  return jnp.take_along_axis(values, action[:, None], axis=1)[:, 0]


def _weighted(reward: jax.Array, weight: jax.Array, normaliser: jax.Array | None = None) -> Terms:
  ones = jnp.ones_like(weight) if normaliser is None else normaliser
  return Terms(jnp.zeros_like(weight), weight * reward, ones)


def _doubly_robust(rounds: Rounds, weight: jax.Array, normaliser: jax.Array | None = None) -> Terms:
  residual = _weighted(rounds.reward - rounds.q_logged, weight, normaliser)
  return Terms(rounds.q_target, residual.correction, residual.normaliser)


def _sub_gaussian(weight: jax.Array, lambda_: ArrayLike) -> jax.Array:
  # A weight of 0 stays 0 where lambda is 1 too, which would be 0 / 0.
  positive = weight > 0
  return jnp.where(positive, weight / jnp.where(positive, 1 - lambda_ + lambda_ * weight, 1), 0)
