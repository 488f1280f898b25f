"""The two-tower softmax model and its id-only counterpart."""
