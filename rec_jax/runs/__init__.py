"""A run on disk: config, directory, manifest, metric rows, resumable parts; and studies."""
