"""What a run found: figures, one self-contained page, and a short table for the terminal."""
