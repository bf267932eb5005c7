"""`modeld`: the one command. Each way in imports only what it needs; the forwarder starts in a few milliseconds."""

import sys

from .cli.names import command_at


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    if "--stdio" in arguments and "--isolated" not in arguments and not {"-h", "--help", "--version"}.intersection(arguments):
        from .cli import stdio

        return stdio.run(arguments)
    place = command_at(arguments)
    if place is not None:
        from .cli import commands

        return commands.run(arguments, place)
    if any(word.partition("=")[0] == "--check-config" for word in arguments):
        from .cli import check

        return check.run(arguments)
    from .cli import daemon_options

    options = daemon_options.parse(arguments)
    from .cli import serve

    return serve.run(options)


if __name__ == "__main__":
    main()
