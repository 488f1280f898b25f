"""A folder a stage: `run(config, workdir)`, what only it needs, its part of the report."""
