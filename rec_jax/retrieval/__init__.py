"""A run in use: recommendations, similar items and scores out of its checkpoint."""

from rec_jax.retrieval.answers import Answer, Recommendation
from rec_jax.retrieval.recommender import Recommender

__all__ = ['Answer', 'Recommendation', 'Recommender']
