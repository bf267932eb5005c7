"""Cassettes: recorded exchanges with providers, scrubbed, in files that a person can read; recorded, replayed, tested against."""
