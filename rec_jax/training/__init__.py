"""State, step, the one loop, optimizers, sharding and tracking."""
