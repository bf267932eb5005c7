"""`modeld`: the one command. Each way in imports only what it needs; the forwarder starts in a few milliseconds."""

import sys

_SUBCOMMANDS = ("status", "stop", "models", "usage", "ask", "chat", "demo", "simulate", "doctor", "schema")


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    command = next((word for word in arguments if word in _SUBCOMMANDS), None)
    if command is not None and not _is_value(arguments, command):
        from .cli import commands

        return commands.run(arguments)
    if "--check-config" in arguments:
        from .cli import check

        return check.run(arguments)
    if "--stdio" in arguments and "--isolated" not in arguments:
        from .cli import stdio

        return stdio.run(arguments)
    from .cli import serve

    return serve.run(arguments)


def _is_value(arguments: list[str], word: str) -> bool:
    """Whether a word that looks like a subcommand is the value of the option before it (`--config status`)."""
    at = arguments.index(word)
    return at > 0 and arguments[at - 1] in ("--socket", "--config", "--state-dir", "--tcp", "--check-config")


if __name__ == "__main__":
    main()
