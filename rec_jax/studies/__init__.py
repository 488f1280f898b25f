"""Questions that need no chain of models."""
