"""What any result must beat; each file has fit(...) -> params and scores(params, histories)."""
