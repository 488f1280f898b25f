"""What is known about the reward of each candidate: one file a belief."""
