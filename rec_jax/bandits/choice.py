"""Choosing one of K candidates, none of them masked, and the probability of each choice."""

import math

import jax
import jax.numpy as jnp

_FACTORS = 0x85EBCA6B, 0xC2B2AE35
_MANY = 10_000
_INVERSES = tuple(pow(factor, -1, 2**32) for factor in _FACTORS)


def masked_argmax(key: jax.Array, scores: jax.Array, mask: jax.Array) -> jax.Array:
  """The best candidate; equal scores are equally likely, NaN scores come last.

  Ties are broken by chance because breaking them by index favours whatever the catalogue lists
  first, which before anything is learnt is a strong and hidden prior.

  Args:
    key: consumed.
    scores: [K].
    mask: [K] bool, False is never chosen.

  Returns:
    [] int32 in [0, K), or -1 where every candidate is masked.
  """
  best = _best(scores, mask)
  # An argmax over pairs is not vectorised on CPU, and K words of threefry cost 40 times this hash
  # of one random salt. The hash is a bijection, so priorities differ and the highest tells its
  # index; the salt's first bit is 1, so none is that of 0, which is 0.
  salt = jax.random.bits(key, (), jnp.uint32) | jnp.uint32(1 << 31)
  index = jnp.arange(len(scores), dtype=jnp.uint32)
  winner = jnp.max(jnp.where(best, _hash(index ^ salt), 0))
  return jnp.where(winner == 0, -1, (_unhash(winner) ^ salt).astype(jnp.int32))


def argmax_probabilities(scores: jax.Array, mask: jax.Array) -> jax.Array:
  """[K] probability that `masked_argmax` returns each candidate; zero if all are masked."""
  best = _best(scores, mask)
  return best / jnp.maximum(jnp.sum(best), 1)


def uniform_probabilities(mask: jax.Array) -> jax.Array:
  """[K] equal over the candidates that are not masked; zero if all are."""
  return mask / jnp.maximum(jnp.sum(mask), 1)


def masked_categorical(key: jax.Array, probabilities: jax.Array, mask: jax.Array) -> jax.Array:
  """[] int32 drawn in proportion to `probabilities` [K]; -1 where every candidate is masked.

  By inversion, of a part of sqrt(K) candidates and then of one in it: two random numbers instead of
  the K of Gumbel noise, and running sums of so few terms that rounding moves no probability by more
  than a ten thousandth of itself among a million.
  """
  width = math.isqrt(len(mask) - 1) + 1
  weights = jnp.where(mask & (probabilities > 0), probabilities, 0)
  parts = jnp.pad(weights, (0, -len(mask) % width)).reshape(-1, width)
  part_key, candidate_key = jax.random.split(key)
  part = _invert(part_key, jnp.sum(parts, axis=1))
  candidate = _invert(candidate_key, parts[part])
  return jnp.where(part < 0, -1, part * width + candidate)


def perturbed_argmax(key: jax.Array, logits: jax.Array, mask: jax.Array) -> jax.Array:
  """[] int32 drawn in proportion to exp(`logits`) [K], by Gumbel noise; -1 where all are masked."""
  noise_key, tie_key = jax.random.split(key)
  # The largest of many uniform numbers of 23 bits are often equal, and so would be their noise.
  mode = 'high' if len(logits) > _MANY else 'low'
  noise = jax.random.gumbel(noise_key, mask.shape, mode=mode)
  return masked_argmax(tie_key, logits + noise, mask)


def _invert(key: jax.Array, weights: jax.Array) -> jax.Array:
  """[] int32 in proportion to `weights` [N]; -1 where all are 0, and never one that is."""
  totals = jnp.cumsum(weights)
  position = jnp.arange(len(weights), dtype=jnp.int32)
  passed = (weights > 0) & (totals > jax.random.uniform(key) * totals[-1])
  first = jnp.min(jnp.where(passed, position, len(weights)))
  # Rounding may let none pass.
  return jnp.minimum(first, jnp.max(jnp.where(weights > 0, position, -1)))


def _best(scores: jax.Array, mask: jax.Array) -> jax.Array:
  scores = jnp.where(mask & ~jnp.isnan(scores), scores, -jnp.inf)
  return mask & (scores == jnp.max(scores))


def _hash(x: jax.Array) -> jax.Array:
  """The finaliser of MurmurHash3 (Appleby 2011): every input bit flips half the output bits."""
  x = (x ^ (x >> 16)) * jnp.uint32(_FACTORS[0])
  x = (x ^ (x >> 13)) * jnp.uint32(_FACTORS[1])
  return x ^ (x >> 16)


def _unhash(x: jax.Array) -> jax.Array:
  """The inverse of `_hash`: a shift by 13 is undone by one by 13 and one by 26."""
  x = (x ^ (x >> 16)) * jnp.uint32(_INVERSES[1])
  x = (x ^ (x >> 13) ^ (x >> 26)) * jnp.uint32(_INVERSES[0])
  return x ^ (x >> 16)
