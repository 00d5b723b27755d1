"""Turn token rows into a better policy."""
