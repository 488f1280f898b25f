"""Where feedback comes from, and the rollout of a policy in it."""
