"""Raw files to indexed events, item text as tokens, and the split."""
