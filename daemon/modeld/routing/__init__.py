"""From what a client asked for to the model that answers."""
