"""Generative retrieval: items by semantic ids, generated token by token (Rajput et al. 2023)."""
