"""All models on the same queries, what they cost, and the page of the run."""
