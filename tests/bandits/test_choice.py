"""Ties and draws among few candidates and many: as likely as `probabilities` says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rec_jax.bandits.choice import masked_argmax, masked_categorical, perturbed_argmax

pytestmark = pytest.mark.usefixtures('optimised')
SOAK = pytest.mark.soak


def draws(function, num_draws, seed=0):
  keys = jax.random.split(jax.random.key(seed), num_draws)
  return np.asarray(jax.lax.map(function, keys))


@pytest.mark.parametrize(
  'num_candidates', [3, 65_537, *(pytest.param(number, marks=SOAK) for number in (2, 1_000_000))]
)
def test_each_part_of_a_catalogue_gets_its_share_of_ties(num_candidates):
  scores, mask = jnp.zeros(num_candidates), jnp.ones(num_candidates, bool)
  num_draws = 400 if num_candidates > 100_000 else 2_000
  chosen = draws(lambda key: masked_argmax(key, scores, mask), num_draws)
  num_parts = min(num_candidates, 10)
  counts, _ = np.histogram(chosen, np.linspace(0, num_candidates, num_parts + 1))
  # Parts of a catalogue of two or three are its candidates.
  expected = [len(part) for part in np.array_split(np.arange(num_candidates), num_parts)]
  assert stats.chisquare(counts, num_draws * np.array(expected) / num_candidates).pvalue > 1e-3
  # Low bits are as free as high ones.
  num_even = (num_candidates + 1) // 2
  even = int((chosen % 2 == 0).sum())
  assert stats.binomtest(even, num_draws, num_even / num_candidates).pvalue > 1e-3


def test_only_the_best_that_are_open_are_drawn_however_they_lie():
  rng = np.random.default_rng(0)
  scores = rng.integers(0, 3, 5_000).astype(np.float32)
  mask = rng.random(5_000) < 0.5
  best = np.flatnonzero(mask & (scores == 2))
  chosen = draws(lambda key: masked_argmax(key, jnp.asarray(scores), jnp.asarray(mask)), 4_000)
  assert np.isin(chosen, best).all()
  counts = np.bincount(np.searchsorted(best, chosen), minlength=len(best))
  parts = np.array([part.sum() for part in np.array_split(counts, 20)])
  sizes = np.array([len(part) for part in np.array_split(best, 20)])
  assert stats.chisquare(parts, sizes / len(best) * 4_000).pvalue > 1e-3


@pytest.mark.parametrize('num_candidates', [5, 12_000, pytest.param(50_000, marks=SOAK)])
def test_draws_are_in_proportion_however_many_candidates_there_are(num_candidates):
  # The first fifth is four times as likely as the rest together.
  first = jnp.arange(num_candidates) < num_candidates // 5
  weights = jnp.where(first, 4.0, 0.25)
  probabilities = weights / weights.sum()
  mask = jnp.ones(num_candidates, bool)
  for draw in (
    lambda key: masked_categorical(key, probabilities, mask),
    lambda key: perturbed_argmax(key, jnp.log(weights), mask),
  ):
    share = int((draws(draw, 1_000) < num_candidates // 5).sum())
    assert stats.binomtest(share, 1_000, 0.8).pvalue > 1e-3
    assert stats.binomtest(share, 1_000, 0.7).pvalue < 1e-3


def test_among_many_the_noise_is_of_more_than_23_bits():
  """Of a million the largest of 23 bits are equal one time in ten, which the rare ones pay for."""
  logits = jnp.linspace(0, 1, 20_000)
  mask = jnp.ones(20_000, bool)

  @jax.jit
  def both(key):
    noise = jax.random.gumbel(jax.random.split(key)[0], (20_000,), mode='high')
    return perturbed_argmax(key, logits, mask), jnp.argmax(logits + noise)

  for seed in range(4):
    chosen, expected = both(jax.random.key(seed))
    assert chosen == expected


@pytest.mark.parametrize('num_candidates', [1, 101, 1_000, pytest.param(2, marks=SOAK)])
def test_each_candidate_is_drawn_as_often_as_its_probability_says(num_candidates):
  rng = np.random.default_rng(num_candidates)
  weights = rng.gamma(0.5, size=num_candidates).astype(np.float32)
  # Zeros and masked ones at both ends of the list, of its parts, and alone.
  mask = rng.random(num_candidates) < 0.7
  weights[rng.random(num_candidates) < 0.2] = 0
  weights[num_candidates // 2], mask[num_candidates // 2] = 1, True
  chosen = draws(
    lambda key: masked_categorical(key, jnp.asarray(weights), jnp.asarray(mask)), 9_000
  )
  shares = np.where(mask, weights, 0).astype(np.float64)
  assert (shares[chosen] > 0).all()
  likely = np.flatnonzero(shares > 0)
  counts, expected = np.bincount(chosen, minlength=num_candidates)[likely], shares[likely]
  # Rare ones are counted together.
  order = np.argsort(expected)
  cuts = np.unique(np.floor(np.cumsum(expected[order]) / expected.sum() * 40), return_index=True)[1]
  counts, expected = (np.add.reduceat(x[order], cuts) for x in (counts, expected))
  expected *= len(chosen) / expected.sum()
  assert len(cuts) == 1 or stats.chisquare(counts, expected).pvalue > 1e-3


def test_a_categorical_without_candidates_has_no_choice():
  none, draw = np.zeros(10, np.float32), jax.jit(masked_categorical)
  for weights, mask in ((none, none == 0), (none + 1, none > 0)):
    assert draw(jax.random.key(0), weights, mask) == -1
