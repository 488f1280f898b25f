"""Off-policy evaluation: what a policy would have earned on the rounds that another one logged."""
