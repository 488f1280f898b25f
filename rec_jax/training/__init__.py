"""State, step, the one loop, the task that it is given, optimizers and tracking."""
