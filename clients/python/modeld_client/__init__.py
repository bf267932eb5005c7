"""The Python client of modeld: `AsyncClient` on asyncio, `Client` without await."""
