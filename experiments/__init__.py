"""Scripts, flags and wiring only, and declared studies. Each script lists its flags by --help."""
