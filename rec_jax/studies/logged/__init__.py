"""What a log of another policy says: the value of a policy, and a policy that learns from it."""
