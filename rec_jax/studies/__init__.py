"""Questions beside the stages: without a chain of models, or of a finished run."""
