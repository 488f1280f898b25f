"""rec_jax: from a pre-trained text encoder to a bandit that explores, in JAX."""

__version__ = '0.1.0'
