"""Scripts: flags and wiring only. `python -m experiments.<name> --help` lists the flags of each."""
