"""Secrets: where they come from, where they may go, and how they stay out of everything else."""
