"""`modeld`: the one command. Each way in imports only what it needs; the forwarder starts in a few milliseconds."""

import sys

from .cli.names import command_at


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments  # behind it is another command
    if "--stdio" in own and "--isolated" not in own and not {"-h", "--help", "--version"}.intersection(own):
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
    import gc

    gc.disable()  # while the parts are imported and made, a seventh of the start; app.quiet_collector turns it on again
    from .cli import serve

    return serve.run(options)


if __name__ == "__main__":
    main()
