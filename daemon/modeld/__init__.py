"""The modeld daemon: provider adapters, sessions and one socket that many clients share."""

__version__ = "0.1.0"
