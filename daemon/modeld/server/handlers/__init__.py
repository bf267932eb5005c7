"""One file per group of methods."""
