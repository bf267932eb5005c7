"""The command line: each command a thin client of the daemon, or the daemon itself."""
