"""One function `run(config, workdir)` a stage: what each script calls."""
