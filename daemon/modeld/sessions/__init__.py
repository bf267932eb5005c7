"""Sessions: durable conversations that many clients share, their turns, and what becomes of them at another model."""
