"""A run on disk: its config, directory, manifest, metric rows and resumable parts."""
