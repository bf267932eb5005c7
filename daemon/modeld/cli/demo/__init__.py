"""`modeld demo`: two clients of a private daemon, a provider on loopback, and everything they can do, in half a minute."""

from .command import run

__all__ = ["run"]
