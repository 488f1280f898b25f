"""Models of users, items and text, and the baselines that they must beat."""
