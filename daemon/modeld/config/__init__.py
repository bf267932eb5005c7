"""models.yaml: its schema, its positions, its problems, and swapping it while running."""
