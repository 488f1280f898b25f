"""State, step, the one loop and its tasks, optimizers and tracking."""
