"""Choosing one of K candidates, none of them masked, and the probability of each choice."""

import jax
import jax.numpy as jnp


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
  num_candidates = scores.shape[0]
  index = jnp.arange(num_candidates, dtype=jnp.uint32)
  # One reduction over (random bits, index) packed in an integer: an argmax over pairs is not
  # vectorised on CPU, and K words of threefry cost 40 times this hash of one random salt.
  index_bits = max(num_candidates - 1, 1).bit_length()
  priority = _hash(index ^ jax.random.bits(key, (), jnp.uint32)) >> 1
  packed = ((priority >> index_bits) << index_bits | index).astype(jnp.int32)
  winner = jnp.max(jnp.where(best, packed, -1))
  return jnp.where(winner < 0, -1, winner & ((1 << index_bits) - 1))


def argmax_probabilities(scores: jax.Array, mask: jax.Array) -> jax.Array:
  """[K] probability that `masked_argmax` returns each candidate; zero if all are masked."""
  best = _best(scores, mask)
  return best / jnp.maximum(jnp.sum(best), 1)


def uniform_probabilities(mask: jax.Array) -> jax.Array:
  """[K] equal over the candidates that are not masked; zero if all are."""
  return mask / jnp.maximum(jnp.sum(mask), 1)


def masked_categorical(key: jax.Array, probabilities: jax.Array, mask: jax.Array) -> jax.Array:
  """[] int32 drawn in proportion to `probabilities` [K]; -1 where every candidate is masked."""
  noise_key, tie_key = jax.random.split(key)
  noise = jax.random.gumbel(noise_key, mask.shape)
  return masked_argmax(tie_key, jnp.log(probabilities) + noise, mask & (probabilities > 0))


def _best(scores: jax.Array, mask: jax.Array) -> jax.Array:
  scores = jnp.where(mask & ~jnp.isnan(scores), scores, -jnp.inf)
  return mask & (scores == jnp.max(scores))


def _hash(x: jax.Array) -> jax.Array:
  """The finaliser of MurmurHash3 (Appleby 2011): every input bit flips half the output bits."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
  return x ^ (x >> 16)
